"""Durrleman's g of one slice: its value, a lower bound on a cell, and its least value over the line.

g(k) = (1 - k w'/(2w))^2 - (w'^2/4)(1/w + 1/4) + w''/2 (Durrleman 2003; Roper 2010): the density of ln(S_t/F) is g
times a Gaussian, so a slice is free of butterfly arbitrage where g >= 0.
"""

import math
from typing import Final

import numpy as np

from app.quant.arrays import FloatArray, IntArray
from app.quant.compiled import ZERO, inner_kernel, kernel
from app.quant.line_search import DROP, FAR, GOLDEN, SECTIONS, bracket, raw_samples, subdivided
from app.quant.svi_jet import ROUNDING, slice_point, slice_points

RESOLUTION: Final = 2.0**-20
"""Values inside a cell are bounded with errors inflated by 1/RESOLUTION; so every computed factor is within
RESOLUTION of its bound, and a computed first derivative of g (products of at most four) within 16 RESOLUTION of its
magnitude. This only enters multiplied by the cell's radius, where it is harmless."""

SAMPLES: Final = 129.0
"""Samples of raw SVI in the search for g's least value: steps of about a sixth in asinh((k - m)/sigma)."""

SMALLEST_SLOPE: Final = 1e-12
"""Keeps a/b finite where the search chooses how far out to look; flatter slices have g = 1 but for 1e-12."""


@inner_kernel
def durrleman_lower_bound(
    k: float,
    r: float,
    jet: tuple[float, float, float, float, float, float, float, float, float],
) -> tuple[float, float]:
    """Return lower bounds of g on [k - r, k + r] and at ``k`` itself (-inf while w > 0 is not proven there).

    With p = w'/w and q = k p/2: p' = w''/w - p^2, p'' = w'''/w - p w''/w - 2 p p', q' = (p + k p')/2,
    q'' = p' + k p''/2, and
      g   = (1 - q)^2 - w' p/4 - w'^2/16 + w''/2
      g'  = -2 (1 - q) q' - (w'' p + w' p')/4 - w' w''/8 + w'''/2
      g'' = 2 q'^2 - 2 (1 - q) q'' - (w''' p + 2 w'' p' + w' p'')/4 - (w''^2 + w' w''')/8 + w''''/2.
    The bound is g(k) - r |g'(k)| - r^2/2 sup|g'' - 2 q'^2|, the supremum by the triangle inequality.
    """
    w, w1, w2, w3, w4, e0, e1, e2, e3 = jet
    m1 = abs(w1) + r * (abs(w2) + r * (abs(w3) / 2.0 + r * w4 / 6.0)) + e1 / RESOLUTION
    least = w - r * (abs(w1) + r * (abs(w2) / 2.0 + r * (abs(w3) / 6.0 + r * w4 / 24.0))) - e0 / RESOLUTION
    if not w > e0 / RESOLUTION:
        return -math.inf, -math.inf
    p = w1 / w
    q = 0.5 * k * p
    ep = (e1 + abs(p) * e0) / w
    g = (1.0 - q) ** 2 - 0.25 * w1 * p - w1 * w1 / 16.0 + 0.5 * w2
    error = abs(k * (1.0 - q)) * ep + 0.25 * (abs(w1) * ep + abs(p) * e1) + abs(w1) * e1 / 8.0 + 0.5 * e2
    error += ROUNDING * ((1.0 + abs(q)) ** 2 + 0.25 * abs(w1 * p) + w1 * w1 / 16.0 + 0.5 * abs(w2))
    at_centre = g - 2.0 * error
    if not least > 0.0:
        return -math.inf, at_centre

    m2 = abs(w2) + r * (abs(w3) + r * w4 / 2.0) + e2 / RESOLUTION
    m3 = abs(w3) + r * w4 + e3 / RESOLUTION
    far = abs(k) + r
    mp = m1 / least
    curvature = m2 / least
    mp1 = curvature + mp * mp
    mp2 = m3 / least + mp * (curvature + 2.0 * mp1)
    mq1 = 0.5 * (mp + far * mp1)
    mh = min(abs(1.0 - q) + r * mq1 + RESOLUTION, 1.0 + 0.5 * far * mp)
    first = 2.0 * mh * mq1 + 0.25 * (m2 * mp + m1 * mp1) + m1 * m2 / 8.0 + 0.5 * m3
    second = (
        2.0 * mh * (mp1 + 0.5 * far * mp2)
        + 0.25 * (m3 * mp + 2.0 * m2 * mp1 + m1 * mp2)
        + 0.125 * (m2 * m2 + m1 * m3)
        + 0.5 * w4
    )
    p1 = w2 / w - p * p
    slope = -(1.0 - q) * (p + k * p1) - 0.25 * (w2 * p + w1 * p1) - 0.125 * w1 * w2 + 0.5 * w3
    return at_centre - r * (abs(slope) + 16.0 * RESOLUTION * first + 0.5 * r * second), at_centre


@inner_kernel
def durrleman(raw: FloatArray, frame: FloatArray, count: int, cubics: FloatArray, k: float) -> float:
    """Return g(k) of the slice with its residual, -inf where w <= 0: no density at all."""
    w, w1, w2 = slice_point(raw, frame, count, cubics, k)
    if not w > 0.0:
        return -math.inf
    return (1.0 - 0.5 * k * w1 / w) ** 2 - 0.25 * w1 * w1 * (1.0 / w + 0.25) + 0.5 * w2


@inner_kernel
def least_durrleman_near(
    ks: FloatArray,
    alive: int,
    raw: FloatArray,
    frame: FloatArray,
    count: int,
    cubics: FloatArray,
    best: float,
    where: float,
) -> tuple[float, float]:
    """Return the least of ``best`` and of g around ``ks`` (ascending), and its place.

    ``alive`` is 0 instead of ``count`` where ``ks`` lie beyond the residual; a valley between two may hold it whole.
    """
    n = ks.shape[0]
    g, w, w1, w2 = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    slice_points(raw, frame, alive, cubics, ks, w, w1, w2)
    for i in range(n):
        h = 1.0 - 0.5 * ks[i] * w1[i] / w[i]
        value = h * h - 0.25 * w1[i] * w1[i] * (1.0 / w[i] + 0.25) + 0.5 * w2[i]
        g[i] = value if w[i] > 0.0 else -math.inf
    for i in range(n):
        if g[i] < best:
            best = g[i]
            where = ks[i]
    for i in range(1, n - 1):
        drop = DROP * max(g[i - 1] - g[i], g[i + 1] - g[i])
        if g[i] <= g[i - 1] and g[i] <= g[i + 1] and g[i] - drop < best:
            low = ks[i - 1]
            middle = ks[i]
            at_middle = g[i]
            high = ks[i + 1]
            for _ in range(SECTIONS):
                k = middle + GOLDEN * (high - middle if high - middle > middle - low else low - middle)
                at_k = durrleman(raw, frame, count, cubics, k)
                low, middle, high, at_middle = bracket(low, middle, high, at_middle, k, at_k)
            if at_middle < best:
                best = at_middle
                where = middle
    return best, where


@kernel
def least_durrleman(
    raw: FloatArray, frame: FloatArray, count: IntArray, knots: FloatArray, cubics: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the least g of each slice and its k (infinite where it is a wing's limit (4 - slope^2)/16).

    A search, not a proof: samples even in asinh((k - m)/sigma) outside the residual, at and between its knots inside,
    then a golden section in every sampled valley that may hold the least value. Close to 1e-10 where g is smooth at
    the samples' spacing.
    """
    n = raw.shape[0]
    least = np.ones(n)
    where = np.zeros(n)
    for i in range(n):
        a, b, rho, m = raw[i, 0], raw[i, 1], raw[i, 2], raw[i, 3]
        best = 1.0
        place = 0.0
        if b > 0.0:
            for side in (-1.0, 1.0):
                slope = b * (1.0 + side * rho)
                limit = (4.0 - slope * slope) / 16.0
                if limit < best:
                    best = limit
                    place = side * math.inf
        # Inside the residual first: the least g is mostly there, and spares the valleys outside a search.
        for outside in (False, True):
            if outside and b > 0.0:
                reach = FAR * max(1.0, abs(m), abs(a) / max(b, SMALLEST_SLOPE))
                left, right = (knots[i, 0], knots[i, count[i] + 3]) if count[i] > 0 else (m, m)
                ks = raw_samples(raw[i], reach, SAMPLES, left, right)
            elif not outside and count[i] > 0:
                ks = subdivided(knots[i], count[i])
            else:
                continue
            alive = ZERO if outside else count[i]
            best, place = least_durrleman_near(ks, alive, raw[i], frame[i], count[i], cubics[i], best, place)
        least[i] = best
        where[i] = place
    return least, where
