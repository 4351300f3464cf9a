"""The least ratio w_later/w_earlier of neighbouring slices over the line: the margin against calendar arbitrage."""

import math
from typing import Final

import numpy as np

from app.quant.arrays import FloatArray, IntArray
from app.quant.compiled import inner_kernel, kernel
from app.quant.line_search import DROP, FAR, raw_samples
from app.quant.svi_jet import slice_point, slice_variances

SAMPLES: Final = 33.0
"""Samples a slice of the search for the least gap: steps of about a half in asinh((k - m)/sigma)."""


NEWTON_STEPS: Final = 8
"""Steps in one valley: Newton doubles the digits of a place known to a tenth of a knot interval."""


@inner_kernel
def supports(count: IntArray, knots: FloatArray, i: int) -> tuple[float, float]:
    """Return the ends of the union of the supports of residuals ``i`` and i + 1, (0, 0) where there is none."""
    left = math.inf
    right = -math.inf
    for j in (i, i + 1):
        if count[j] > 0:
            left = min(left, knots[j, 0])
            right = max(right, knots[j, count[j] + 3])
    return (left, right) if left < right else (0.0, 0.0)


@inner_kernel
def ratio(
    raw: FloatArray, frame: FloatArray, count: IntArray, cubics: FloatArray, i: int, k: float
) -> tuple[float, float, float]:
    """Return w_late/w_early of pair ``i`` (-inf where w_early <= 0), its slope, and its curvature where that is 0."""
    early, early1, early2 = slice_point(raw[i], frame[i], count[i], cubics[i], k)
    late, late1, late2 = slice_point(raw[i + 1], frame[i + 1], count[i + 1], cubics[i + 1], k)
    if not early > 0.0:
        return -math.inf, 0.0, 0.0
    inverse = 1.0 / early
    value = late * inverse
    return value, (late1 - value * early1) * inverse, (late2 - value * early2) * inverse


@inner_kernel
def least_ratio_near(
    ks: FloatArray,
    alive: IntArray,
    raw: FloatArray,
    frame: FloatArray,
    count: IntArray,
    cubics: FloatArray,
    i: int,
    best: float,
    where: float,
) -> tuple[float, float]:
    """Return the least of ``best`` and of pair ``i``'s w_late/w_early around ``ks`` (ascending), and its place.

    Each sampled valley that may hold the least value is searched by Newton's method on the slope, kept in its bracket
    by bisection. ``alive`` is zeros instead of ``count`` where ``ks`` lie beyond the residuals; a valley between two
    may hold them whole.
    """
    n = ks.shape[0]
    w, value = np.empty((2, n)), np.empty(n)
    for side in range(2):
        j = i + side
        slice_variances(raw[j], frame[j], alive[j], cubics[j], ks, w[side])
    for j in range(n):
        value[j] = w[1, j] / w[0, j] if w[0, j] > 0.0 else -math.inf
        if value[j] < best:
            best = value[j]
            where = ks[j]
    for j in range(1, n - 1):
        drop = DROP * max(value[j - 1] - value[j], value[j + 1] - value[j])
        if value[j] <= value[j - 1] and value[j] <= value[j + 1] and value[j] - drop < best:
            low = ks[j - 1]
            high = ks[j + 1]
            k = ks[j]
            for _ in range(NEWTON_STEPS):
                least, slope, curvature = ratio(raw, frame, count, cubics, i, k)
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
def least_ratios(
    raw: FloatArray, frame: FloatArray, count: IntArray, knots: FloatArray, cubics: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the least w_late/w_early of each pair and its k (infinite where it is a wing's limit).

    A search, not a proof: samples even in asinh((k - m)/sigma) of either slice outside the residuals and at the knots
    inside, then Newton's method in every sampled valley that may hold the least value.
    """
    n = raw.shape[0] - 1
    least = np.empty(n)
    where = np.empty(n)
    none = np.zeros_like(count)
    for i in range(n):
        best = ratio(raw, frame, count, cubics, i, 0.0)[0]
        place = 0.0
        for side in (-1.0, 1.0):
            beta = raw[i, 1] * (1.0 + side * raw[i, 2])
            if beta > 0.0:
                limit = raw[i + 1, 1] * (1.0 + side * raw[i + 1, 2]) / beta
                if limit < best:
                    best = limit
                    place = side * math.inf
        left, right = supports(count, knots, i)
        # The knots of either slice first: the least ratio is mostly there, and spares the valleys outside a search.
        for part in range(4):
            j = i + part % 2
            if part < 2:
                ks = knots[j, : count[j] + 4 if count[j] > 0 else 0]
            else:
                ks = raw_samples(raw[j], FAR * max(1.0, abs(raw[j, 3])), SAMPLES, left, right)
            alive = count if part < 2 else none
            best, place = least_ratio_near(ks, alive, raw, frame, count, cubics, i, best, place)
        least[i] = best
        where[i] = place
    return least, where
