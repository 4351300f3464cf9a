"""Calendar arbitrage of two neighbouring slices: a proof that w_later > w_earlier on the whole line.

In forward log-moneyness, no calendar arbitrage is w non-decreasing in t at fixed k (Gatheral and Jacquier 2014,
lemma 2.1). The proof splits the line in three:
 - beyond K on either side, with y = k - m and wing slope beta, w = a + beta |y| + b (R - |y|) and
   0 <= R - |y| <= sigma^2/(2 |y|), so a slope gap and one inequality at K settle the whole tail;
 - between the residuals' supports and K, and under the residuals between their knots, the difference is bounded below
   on a cell by its third-order Taylor polynomial and sup |w''''| of both slices, halving the cell until positive.
"""

import math
from typing import Final

import numpy as np

from app.quant.arrays import FloatArray, IntArray
from app.quant.calendar_gap import least_ratios, supports
from app.quant.compiled import inner_kernel, kernel
from app.quant.margins import Margins
from app.quant.published_slices import PublishedSlices
from app.quant.svi_jet import ROUNDING, slice_jet

MAX_CELLS: Final = 20_000
"""Cells before a pair is given up as not proven; one on the market takes about 50."""

STACK: Final = 64
"""Halvings of one cell; its width then is 1e-19 of the first."""

DOUBLINGS: Final = 60
"""Doublings of K in search of the place from which the tail bound holds: slopes that differ by 1e-15 are too close."""


@inner_kernel
def tail_start(early: FloatArray, late: FloatArray, side: float, start: float) -> float:
    """Return K >= ``start`` with w_late > w_early proven for all side * k >= K, NaN where the tail is not proven."""
    a1, b1, rho1, m1, sigma1 = early[0], early[1], early[2], early[3], early[4]
    a2, b2, rho2, m2, sigma2 = late[0], late[1], late[2], late[3], late[4]
    beta1 = b1 * (1.0 + side * rho1)
    beta2 = b2 * (1.0 + side * rho2)
    parallel = b1 == b2 and (b1 == 0.0 or rho1 == rho2)
    if not parallel and not beta2 - beta1 > ROUNDING * (beta1 + beta2):
        return math.nan
    slope = 0.0 if parallel else beta2 - beta1
    intercept = (a2 - side * beta2 * m2) - (a1 - side * beta1 * m1)
    fixed = ROUNDING * (abs(a1) + abs(a2) + beta1 * abs(m1) + beta2 * abs(m2))
    k: float = max(start, abs(m1) + sigma1, abs(m2) + sigma2)
    for _ in range(DOUBLINGS):
        guard = fixed if parallel else fixed + ROUNDING * (beta1 + beta2) * k
        if intercept + slope * k - 0.5 * b1 * sigma1 * sigma1 / (k - side * m1) > guard:
            return k
        k *= 2.0
    return math.nan


@inner_kernel
def difference_bounds(
    early: tuple[float, float, float, float, float, float, float, float, float],
    late: tuple[float, float, float, float, float, float, float, float, float],
    r: float,
) -> tuple[float, float]:
    """Return lower bounds of w_late - w_early on a cell of radius ``r`` and at its centre, from the jets there.

    The quadratic Taylor polynomial is minimised exactly, the cubic term and the remainder are taken at the ends.
    """
    d0 = late[0] - early[0]
    d1 = late[1] - early[1]
    d2 = late[2] - early[2]
    d3 = late[3] - early[3]
    quadratic = d0 - 0.5 * d1 * d1 / d2 if d2 * r > abs(d1) else d0 - r * (abs(d1) - 0.5 * r * d2)
    remainder = r * r * r * (abs(d3) / 6.0 + r * (early[4] + late[4]) / 24.0)
    at_centre = early[5] + late[5]
    guard = at_centre + r * (early[6] + late[6] + r * (0.5 * (early[7] + late[7]) + r * (early[8] + late[8]) / 6.0))
    return quadratic - remainder * (1.0 + ROUNDING) - 2.0 * guard, d0 - 2.0 * at_centre


@inner_kernel
def cell_proven(
    raw: FloatArray,
    frame: FloatArray,
    cubics: FloatArray,
    i: int,
    piece: IntArray,
    low: float,
    high: float,
) -> int:
    """Prove w_late > w_early on [low, high], in ``piece[0]`` of slice i and ``piece[1]`` of the next: cells, or -1."""
    start = np.empty(STACK + 1)
    stop = np.empty(STACK + 1)
    start[0] = low
    stop[0] = high
    top = 1
    cells = 0
    while top > 0:
        cells += 1
        a = start[top - 1]
        b = stop[top - 1]
        centre = 0.5 * (a + b)
        radius = max(b - centre, centre - a) * (1.0 + ROUNDING)
        early = slice_jet(raw[i], frame[i], cubics[i], piece[0], centre, radius)
        late = slice_jet(raw[i + 1], frame[i + 1], cubics[i + 1], piece[1], centre, radius)
        bound, at_centre = difference_bounds(early, late, radius)
        if bound > 0.0:
            top -= 1
        elif at_centre > 0.0 and top < STACK and cells < MAX_CELLS:
            start[top] = centre
            stop[top] = b
            stop[top - 1] = centre
            top += 1
        else:
            return -1
    return cells


@inner_kernel
def raw_difference(early: FloatArray, late: FloatArray, k: float) -> tuple[float, float]:
    """Return w_late - w_early at ``k`` without residuals, and its rounding error."""
    a1, b1, rho1, m1, sigma1 = early[0], early[1], early[2], early[3], early[4]
    a2, b2, rho2, m2, sigma2 = late[0], late[1], late[2], late[3], late[4]
    y1, y2 = k - m1, k - m2
    root1, root2 = math.sqrt(y1 * y1 + sigma1 * sigma1), math.sqrt(y2 * y2 + sigma2 * sigma2)
    magnitude = abs(a1) + abs(a2) + b1 * (abs(rho1 * y1) + root1) + b2 * (abs(rho2 * y2) + root2)
    return (a2 - a1) + b2 * (rho2 * y2 + root2) - b1 * (rho1 * y1 + root1), ROUNDING * magnitude


@inner_kernel
def largest_curvature(raw: FloatArray, low: float, high: float) -> float:
    """Return the largest w'' = b sigma^2/R^3 on [low, high] without a residual: where it is nearest to m."""
    y = max(low - raw[3], raw[3] - high, 0.0)
    r2 = y * y + raw[4] * raw[4]
    return float(raw[1] * raw[4] * raw[4] / (r2 * math.sqrt(r2)))


@inner_kernel
def residual_range(frame: FloatArray, cubics: FloatArray, piece: int, count: int) -> tuple[float, float]:
    """Return bounds of a residual over a whole piece, rounding included; (0, 0) where ``piece`` is negative.

    With v in [-1/2, 1/2] the odd powers move by |c1|/2 + |c3|/8 to either side, and c2 v^2 from 0 to c2/4.
    """
    if piece < 0:
        return 0.0, 0.0
    c0, c1, c2, c3 = cubics[piece, 0], cubics[piece, 1], cubics[piece, 2], cubics[piece, 3]
    swing = 0.5 * abs(c1) + 0.125 * abs(c3)
    guard = ROUNDING * frame[3] * (1.0 + abs(frame[2]) + count + 2.0 + 1.0 / frame[1])
    return c0 - swing + 0.25 * min(c2, 0.0) - guard, c0 + swing + 0.25 * max(c2, 0.0) + guard


@kernel
def pair_cells(raw: FloatArray, frame: FloatArray, count: IntArray, knots: FloatArray, cubics: FloatArray) -> IntArray:
    """Prove w_late > w_early on the whole line for each neighbouring pair: the cells it took, -1 for "not proven"."""
    used = np.full(raw.shape[0] - 1, -1)
    piece = np.empty(2, np.int64)
    for i in range(raw.shape[0] - 1):
        left, right = supports(count, knots, i)
        upper = tail_start(raw[i], raw[i + 1], 1.0, right)
        lower = -tail_start(raw[i], raw[i + 1], -1.0, -left)
        if math.isnan(upper) or math.isnan(lower):
            continue
        cells = 0
        at = lower
        gap, error = raw_difference(raw[i], raw[i + 1], at)
        early, late = -1, -1
        early_knots = count[i] + 4 if count[i] > 0 else 0
        late_knots = count[i + 1] + 4 if count[i + 1] > 0 else 0
        while at < upper and cells >= 0:
            next_early = knots[i, early + 1] if early + 1 < early_knots else math.inf
            next_late = knots[i + 1, late + 1] if late + 1 < late_knots else math.inf
            end = min(next_early, next_late, upper)
            if end > at:
                piece[0] = early if early + 1 < early_knots else -1
                piece[1] = late if late + 1 < late_knots else -1
                gap_before, error_before = gap, error
                gap, error = raw_difference(raw[i], raw[i + 1], end)
                # A convex curve lies below its chord, so its sag bounds how far the difference may dip between the
                # ends: nearly all pieces are settled by that, without the jets.
                sag = (end - at) ** 2 / 8.0 * largest_curvature(raw[i + 1], at, end)
                highest = residual_range(frame[i], cubics[i], piece[0], count[i])[1]
                lowest = residual_range(frame[i + 1], cubics[i + 1], piece[1], count[i + 1])[0]
                bound = min(gap_before, gap) - sag * (1.0 + ROUNDING) + (lowest - highest)
                proven = 1
                if not bound > 2.0 * max(error_before, error):
                    proven = cell_proven(raw, frame, cubics, i, piece, at, end)
                cells = cells + proven if proven > 0 else -1
            early += next_early == end
            late += next_late == end
            at = end
        used[i] = cells
    return used


def calendar_margins(slices: PublishedSlices) -> Margins:
    """Return for every neighbouring pair: proven free of calendar arbitrage, its least gap, and where."""
    s = slices
    least, where = least_ratios(s.raw, s.frame, s.count, s.knots, s.cubics)
    proven = pair_cells(s.raw, s.frame, s.count, s.knots, s.cubics) > 0
    return Margins(proven, least - 1.0, where)
