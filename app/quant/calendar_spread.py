"""Calendar arbitrage of two neighbouring slices: a proof that w_later > w_earlier on the whole line, and the least gap.

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

from app.quant.arrays import BoolArray, FloatArray, IntArray
from app.quant.compiled import kernel
from app.quant.line_search import DROP, FAR, raw_samples
from app.quant.svi_jet import ROUNDING, slice_jet, slice_point

MAX_CELLS: Final = 20_000
"""Cells before a pair is given up as not proven; one on the market takes about 50."""

STACK: Final = 64
"""Halvings of one cell; its width then is 1e-19 of the first."""

DOUBLINGS: Final = 60
"""Doublings of K in search of the place from which the tail bound holds: slopes that differ by 1e-15 are too close."""


SAMPLES: Final = 25
"""Samples a slice of the search for the least gap: steps of about a half in asinh((k - m)/sigma)."""


NEWTON_STEPS: Final = 8
"""Steps in one valley: Newton doubles the digits of a place known to a tenth of a knot interval."""


@kernel
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
    k: float = max(start, abs(m1) + sigma1, abs(m2) + sigma2)
    for _ in range(DOUBLINGS):
        guard = ROUNDING * (abs(a1) + abs(a2) + beta1 * (abs(m1) + k) + beta2 * (abs(m2) + k))
        if intercept + slope * k - 0.5 * b1 * sigma1 * sigma1 / (k - side * m1) > guard:
            return k
        k *= 2.0
    return math.nan


@kernel
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


@kernel
def cell_proven(
    raw: FloatArray,
    frame: FloatArray,
    cubics: FloatArray,
    earlier_piece: int,
    later_piece: int,
    low: float,
    high: float,
) -> int:
    """Prove w_late > w_early on [low, high], which no knot divides. Return the cells it took, -1 for "not proven"."""
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
        early = slice_jet(raw[0], frame[0], cubics[0], earlier_piece, centre, radius)
        late = slice_jet(raw[1], frame[1], cubics[1], later_piece, centre, radius)
        bound, at_centre = difference_bounds(early, late, radius)
        if bound > 0.0:
            top -= 1
            continue
        if not at_centre > 0.0 or top == STACK or cells > MAX_CELLS:
            return -1
        start[top] = centre
        stop[top] = b
        stop[top - 1] = centre
        top += 1
    return cells


@kernel
def supports(count: IntArray, knots: FloatArray) -> tuple[float, float]:
    """Return the ends of the union of two residuals' supports, (0, 0) where there is none."""
    left = math.inf
    right = -math.inf
    for i in range(2):
        if count[i] > 0:
            left = min(left, knots[i, 0])
            right = max(right, knots[i, count[i] + 3])
    return (left, right) if left < right else (0.0, 0.0)


@kernel
def pair_proven(raw: FloatArray, frame: FloatArray, count: IntArray, knots: FloatArray, cubics: FloatArray) -> int:
    """Prove w_late > w_early on the whole line; arrays hold the two slices. Return the cells, -1 for "not proven"."""
    left, right = supports(count, knots)
    upper = tail_start(raw[0], raw[1], 1.0, right)
    lower = -tail_start(raw[0], raw[1], -1.0, -left)
    if math.isnan(upper) or math.isnan(lower):
        return -1
    cells = 0
    at = lower
    piece = np.full(2, -1)
    following = np.zeros(2, np.int64)
    while at < upper:
        end = upper
        for i in range(2):
            if count[i] > 0 and following[i] < count[i] + 4:
                end = min(end, knots[i, following[i]])
        used = cell_proven(raw, frame, cubics, piece[0], piece[1], at, end) if end > at else 0
        if used < 0:
            return -1
        cells += used
        for i in range(2):
            if count[i] > 0 and following[i] < count[i] + 4 and knots[i, following[i]] == end:
                piece[i] = following[i] if following[i] < count[i] + 3 else -1
                following[i] += 1
        at = end
    return cells


@kernel
def ratio(
    raw: FloatArray, frame: FloatArray, count: IntArray, cubics: FloatArray, k: float
) -> tuple[float, float, float]:
    """Return w_late/w_early (-inf where w_early <= 0), its slope, and its curvature where the slope is zero."""
    early, early1, early2 = slice_point(raw[0], frame[0], count[0], cubics[0], k)
    late, late1, late2 = slice_point(raw[1], frame[1], count[1], cubics[1], k)
    if not early > 0.0:
        return -math.inf, 0.0, 0.0
    inverse = 1.0 / early
    value = late * inverse
    return value, (late1 - value * early1) * inverse, (late2 - value * early2) * inverse


@kernel
def least_ratio_near(
    ks: FloatArray, raw: FloatArray, frame: FloatArray, count: IntArray, cubics: FloatArray, best: float, where: float
) -> tuple[float, float]:
    """Return the least of ``best`` and of w_late/w_early around ``ks`` (ascending), and its place.

    Each sampled valley that may hold the least value is searched by Newton's method on the slope, kept in its bracket
    by bisection.
    """
    n = ks.shape[0]
    value = np.empty(n)
    for i in range(n):
        value[i] = ratio(raw, frame, count, cubics, ks[i])[0]
        if value[i] < best:
            best = value[i]
            where = ks[i]
    for i in range(1, n - 1):
        drop = DROP * max(value[i - 1] - value[i], value[i + 1] - value[i])
        if value[i] <= value[i - 1] and value[i] <= value[i + 1] and value[i] - drop < best:
            low = ks[i - 1]
            high = ks[i + 1]
            k = ks[i]
            for _ in range(NEWTON_STEPS):
                least, slope, curvature = ratio(raw, frame, count, cubics, k)
                if least < best:
                    best = least
                    where = k
                if slope > 0.0:
                    high = k
                else:
                    low = k
                k = k - slope / curvature if curvature > 0.0 else low
                if not low < k < high:
                    k = 0.5 * (low + high)
    return best, where


@kernel
def least_ratio(
    raw: FloatArray, frame: FloatArray, count: IntArray, knots: FloatArray, cubics: FloatArray
) -> tuple[float, float]:
    """Return the least w_late/w_early over the line and its k (infinite where it is a wing's limit).

    A search, not a proof: samples even in asinh((k - m)/sigma) of either slice outside the residuals and at the knots
    inside, then Newton's method in every sampled valley that may hold the least value.
    """
    best = ratio(raw, frame, count, cubics, 0.0)[0]
    where = 0.0
    for side in (-1.0, 1.0):
        beta = raw[0, 1] * (1.0 + side * raw[0, 2])
        if beta > 0.0:
            limit = raw[1, 1] * (1.0 + side * raw[1, 2]) / beta
            if limit < best:
                best = limit
                where = side * math.inf
    left, right = supports(count, knots)
    for s in range(2):
        ks = raw_samples(raw[s], FAR * max(1.0, abs(raw[s, 3])), SAMPLES, left, right)
        best, where = least_ratio_near(ks, raw, frame, count, cubics, best, where)
        if count[s] > 0:
            best, where = least_ratio_near(knots[s, : count[s] + 4], raw, frame, count, cubics, best, where)
    return best, where


@kernel
def calendar_margins(
    raw: FloatArray, frame: FloatArray, count: IntArray, knots: FloatArray, cubics: FloatArray
) -> tuple[BoolArray, FloatArray, FloatArray]:
    """Return for every neighbouring pair: proven free of calendar arbitrage, its least gap, and where."""
    n = raw.shape[0] - 1
    proven = np.empty(n, np.bool_)
    least = np.empty(n)
    where = np.empty(n)
    for i in range(n):
        j = i + 2
        proven[i] = pair_proven(raw[i:j], frame[i:j], count[i:j], knots[i:j], cubics[i:j]) > 0
        lowest, where[i] = least_ratio(raw[i:j], frame[i:j], count[i:j], knots[i:j], cubics[i:j])
        least[i] = lowest - 1.0
        proven[i] = proven[i] and least[i] > 0.0
    return proven, least, where
