"""The previous surface as a prior: quiet while the market is quiet, out of the way when it moves.

The mids' innovations against the previous surface, e_j = mid_j - previous vol(k_j), are regressed robustly on level and
skew. What is significant moves the prior at once: each component c with standard error s is multiplied by the
positive-part James-Stein factor max(0, 1 - (kappa s / c)^2) (Efron and Morris 1973), nothing for noise and all of it
for a move. That error is the innovations' own scatter, not the quotes' noise: where a mid lies within its spread is
uncertain by several times what it changes by from chain to chain. What the shift leaves unexplained weakens the prior:
its weight is divided by the mean squared standardised innovation where that exceeds 1, as a Kalman gain would. The
shifted previous smile enters the fit as pseudo quotes over a little more than the quoted range, which also steadies the
wings.
"""

import math
from typing import Final

import numpy as np

from app.quant.arrays import FloatArray, IntArray
from app.quant.compiled import inner_kernel, kernel
from app.quant.models.packed_curve import SUPPORT, add_residual, knot_places, spline_pieces_by_cell, svi_variances
from app.quant.models.previous_slices import PreviousSlices
from app.quant.models.quote_loss import MID, OUTSIDE, POINTS, UNBOUNDED_SCALE, WEIGHT, WIDTH, K
from app.quant.models.surface_problem import SurfaceProblem
from app.quant.models.svi_coordinates import SLICE_SIZE, from_raw

PSEUDO_QUOTES: Final = 13
"""Pseudo quotes a slice."""
REACH: Final = 1.15
"""Their range in units of the quoted one."""
UNIT: Final = 1.2
"""Weight of a prior of strength 1 in units of the quotes': at the default strength a quiet market's jitter halves."""
HUBER_PASSES: Final = 3
HUBER_CUT: Final = 1.345
SIGNIFICANCE: Final = 1.8
"""kappa: standard errors a shift must exceed to count at all."""
COMMON_NOISE: Final = 0.02
"""Share of the variance of innovations that all quotes of a slice have in common, which averaging does not reduce."""


@inner_kernel
def innovations(
    previous: PreviousSlices, i: int, residual: bool, k: FloatArray, mid: FloatArray, out: FloatArray
) -> None:
    """Write mid - previous vol at each k, in vol points; with ``residual`` the previous vol has its spline."""
    x = np.empty(SLICE_SIZE)
    from_raw(previous.raw[i], x)
    n = k.shape[0]
    w = np.empty(n)
    svi_variances(x, k, n, w)
    count = int(previous.knots[i, 3])
    if residual and count > 0:
        place = np.empty(n)
        knot_places(previous.knots[i], k, n, place)
        cubics = np.empty((count + 3, SUPPORT))
        spline_pieces_by_cell(previous.coefficients[i], count, cubics)
        add_residual(cubics, count, x[0], place, n, w)
    for j in range(n):
        out[j] = mid[j] - POINTS * math.sqrt(max(w[j], 0.0) / previous.t[i])


@inner_kernel
def level_and_skew(k: FloatArray, e: FloatArray, noise: FloatArray, out: FloatArray) -> None:
    """Write (centre, level, skew and their standard errors) of e ~ level + skew (k - centre).

    Weighted by 1/noise^2 and by Huber's function of the standardised rest, whose mean square scales the errors, at most
    to those of the noise itself; COMMON_NOISE of the variance counts as shared by all quotes.
    """
    n = k.shape[0]
    precision = np.empty(n)
    for j in range(n):
        precision[j] = 1.0 / noise[j]
    centre, level, skew, s0, spread = 0.0, 0.0, 0.0, 0.0, 0.0
    for passage in range(HUBER_PASSES):
        s0 = s1 = s2 = t0 = t1 = 0.0
        for j in range(n):
            weight = precision[j] * precision[j]
            if passage > 0:
                r = abs(e[j] - level - skew * (k[j] - centre)) * precision[j]
                if r > HUBER_CUT:
                    weight *= HUBER_CUT / r
            s0 += weight
            s1 += weight * k[j]
            s2 += weight * k[j] * k[j]
            t0 += weight * e[j]
            t1 += weight * e[j] * k[j]
        centre = s1 / s0
        spread = max(s2 - s1 * centre, 1e-12 * s2 + 1e-300)
        level = t0 / s0
        skew = (t1 - centre * t0) / spread
    scatter = 0.0
    for j in range(n):
        r = abs(e[j] - level - skew * (k[j] - centre)) * precision[j]
        scatter += r * min(r, HUBER_CUT)
    # n - 2 degrees of freedom, and the variance of Student's t with as many.
    variance = min(1.0, scatter / max(n - 4.0, 1.0)) * (1.0 - COMMON_NOISE + COMMON_NOISE * n)
    level_error, skew_error = math.sqrt(variance / s0), math.sqrt(variance / spread)
    out[0], out[1], out[2], out[3], out[4] = centre, level, skew, level_error, skew_error


@inner_kernel
def james_stein(component: float, error: float) -> float:
    """Return the component shrunk by max(0, 1 - (SIGNIFICANCE error / component)^2)."""
    if abs(component) <= SIGNIFICANCE * error:
        return 0.0
    ratio = SIGNIFICANCE * error / component
    return component * (1.0 - ratio * ratio)


@kernel
def add_pseudo_quotes(
    problem: SurfaceProblem,
    noise: FloatArray,
    previous: PreviousSlices,
    residual: bool,
    strength: float,
    offsets: IntArray,
    quotes: FloatArray,
) -> None:
    """Copy the quotes to ``quotes`` and append PSEUDO_QUOTES of each known slice; ``offsets`` gets the new bounds."""
    move = np.empty(5)
    zero = np.zeros(PSEUDO_QUOTES)
    place = np.empty(PSEUDO_QUOTES)
    gap = np.empty(PSEUDO_QUOTES)
    at = 0
    for i in range(problem.slices.shape[0]):
        a, b = problem.offsets[i], problem.offsets[i + 1]
        n = b - a
        for row in range(quotes.shape[0]):
            for j in range(n):
                quotes[row, at + j] = problem.quotes[row, a + j]
        at += n
        if previous.kept[i] == 1:
            k = problem.quotes[K, a:b]
            e = np.empty(n)
            innovations(previous, i, residual, k, problem.quotes[MID, a:b], e)
            level_and_skew(k, e, noise[a:b], move)
            level = james_stein(move[1], move[3])
            skew = james_stein(move[2], move[4])
            rest = 0.0
            for j in range(n):
                r = (e[j] - level - skew * (k[j] - move[0])) / noise[a + j]
                rest += min(r * r, 9.0) / n
            weight = 0.0
            for j in range(a, b):
                weight += problem.quotes[WEIGHT, j] + 0.05 * problem.quotes[OUTSIDE, j]
            weight *= UNIT * strength / (PSEUDO_QUOTES * max(1.0, rest))
            middle = 0.5 * (k[0] + k[n - 1])
            half = 0.5 * REACH * (k[n - 1] - k[0])
            for j in range(PSEUDO_QUOTES):
                place[j] = middle + half * (2.0 * j / (PSEUDO_QUOTES - 1) - 1.0)
            innovations(previous, i, residual, place, zero, gap)
            for j in range(PSEUDO_QUOTES):
                quotes[K, at + j] = place[j]
                quotes[MID, at + j] = -gap[j] + level + skew * (place[j] - move[0])
                quotes[WEIGHT, at + j] = weight
                quotes[OUTSIDE, at + j] = 0.0
                quotes[WIDTH, at + j] = UNBOUNDED_SCALE
            at += PSEUDO_QUOTES
        offsets[i + 1] = at


def with_prior(
    problem: SurfaceProblem, noise: FloatArray, previous: PreviousSlices, residual: bool, strength: float
) -> SurfaceProblem:
    """Return ``problem`` with the previous surface as pseudo quotes, of ``strength`` times the quotes' total weight.

    ``noise`` in vol points; ``residual`` tells whether the previous surface counts with its spline.
    """
    if strength == 0.0 or previous.matches == 0:
        return problem
    extra = PSEUDO_QUOTES * previous.matches
    offsets = np.zeros_like(problem.offsets)
    quotes = np.empty((problem.quotes.shape[0], problem.quotes.shape[1] + extra))
    add_pseudo_quotes(problem, noise, previous, residual, strength, offsets, quotes)
    return problem._replace(offsets=offsets, quotes=quotes)
