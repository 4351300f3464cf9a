"""One SVI slice without constraints between strikes or expiries: a search over (m, ln sigma) alone.

The rest is linear and projected out (svi_projection.py). A coarse grid gives the start, Newton's method on the
projected problem with Levenberg's damping the rest.
"""

import math
from typing import Final

import numpy as np

from app.quant.arrays import FloatArray
from app.quant.compiled import inner_kernel
from app.quant.models.svi_projection import bounded_linear, moments, projected_curvature, quote_moments

WIDTHS: Final = (0.03, 0.12, 0.45)
"""sigma of the start grid, in units of the quoted range of k."""
CENTRES: Final = (-0.25, 0.0, 0.25)
"""m of the start grid around the strike with the least variance, in the same units."""
WIDTH_LEAST: Final = 0.004
WIDTH_MOST: Final = 3.0
"""Bounds of sigma in units of the quoted range."""
SPAN_LEAST: Final = 1e-6
"""Range of k taken when all quotes have one strike."""
STEP_CENTRE: Final = 0.3
STEP_LOG_WIDTH: Final = 0.9
"""Largest steps of m (in ranges) and ln sigma."""
DAMPING_START: Final = 1e-3


@inner_kernel
def side(value: float, low: float, high: float) -> float:
    """Return the sign of the bound that ``value`` sits on, 0 between them."""
    return -1.0 if value <= low else (1.0 if value >= high else 0.0)


@inner_kernel
def damped_step(
    shape: tuple[float, float, float, float, float], damping: float, span: float, bounds: tuple[float, float]
) -> tuple[float, float, float]:
    """Return Levenberg's step in (m / span, ln sigma) and the fall of the misfit that the quadratic predicts.

    ``bounds`` are the sides of (m, ln sigma); a coordinate that would cross its bound stays and the other moves alone.
    """
    g1, g2 = span * shape[0], shape[1]
    h11 = span * span * shape[2] * (1.0 + damping) + 1e-300
    h12 = span * shape[3]
    h22 = shape[4] * (1.0 + damping) + 1e-300
    determinant = max(h11 * h22 - h12 * h12, 1e-12 * h11 * h22)
    by_m = -(h22 * g1 - h12 * g2) / determinant
    by_s = -(h11 * g2 - h12 * g1) / determinant
    if bounds[0] * by_m > 0.0:
        by_m, by_s = 0.0, -g2 / h22
    if bounds[1] * by_s > 0.0:
        by_m, by_s = -g1 / h11, 0.0
        if bounds[0] * by_m > 0.0:
            by_m = 0.0
    shrink = 1.0 / max(1.0, abs(by_m) / STEP_CENTRE, abs(by_s) / STEP_LOG_WIDTH)
    return shrink * by_m, shrink * by_s, -shrink * (g1 * by_m + g2 * by_s)


@inner_kernel
def fit_slice(
    k: FloatArray, w: FloatArray, weight: FloatArray, max_iterations: int, tolerance: float, raw: FloatArray
) -> float:
    """Write raw SVI (a, b, rho, m, sigma) minimising sum weight (w_svi(k) - w)^2; return that minimum.

    ``k`` (n), ``w`` total variances, ``weight`` > 0; n >= 5 and distinct k. The minimum of w may come out negative and
    the slice may admit arbitrage: it is a start, not a result.
    """
    low, high, lowest, least = k[0], k[0], k[0], w[0]
    for j in range(k.shape[0]):
        low = min(low, k[j])
        high = max(high, k[j])
        if w[j] < least:
            least = w[j]
            lowest = k[j]
    span = max(high - low, SPAN_LEAST)
    sums, normal, H, room = np.empty(6), np.empty((3, 3)), np.empty((5, 5)), np.empty((4, 3))
    rhs, linear, edge, kept = room[0], room[1], room[2], room[3]
    distance = np.empty((2, k.shape[0]))
    quote_moments(k, w, weight, sums)
    m, log_sigma, best = 0.0, 0.0, math.inf
    for centre in CENTRES:
        for width in WIDTHS:
            moments(k, w, weight, sums, lowest + centre * span, width * span, distance, normal, rhs)
            value = bounded_linear(normal, rhs, sums[5], edge, linear)
            if value < best:
                best = value
                m = lowest + centre * span
                log_sigma = math.log(width * span)
    leftmost, rightmost = low - span, high + span
    narrowest, widest = math.log(WIDTH_LEAST * span), math.log(WIDTH_MOST * span)
    trial_m, trial_log, best, damping = m, log_sigma, math.inf, DAMPING_START
    shape = (0.0, 0.0, 0.0, 0.0, 0.0)
    for _ in range(max_iterations):
        sigma = math.exp(trial_log)
        moments(k, w, weight, sums, trial_m, sigma, distance, normal, rhs)
        value = bounded_linear(normal, rhs, sums[5], edge, linear)
        if value < best:
            best = value
            m, log_sigma = trial_m, trial_log
            for p in range(3):
                kept[p] = linear[p]
            shape = projected_curvature(w, weight, distance, sigma, linear, normal, H)
            damping *= 0.2
        else:
            damping = max(damping, 1e-6) * 8.0
            if damping > 1e4:
                break
        bounds = side(m, leftmost, rightmost), side(log_sigma, narrowest, widest)
        by_m, by_s, fall = damped_step(shape, damping, span, bounds)
        if fall < tolerance * best:
            break
        trial_m = min(max(m + span * by_m, leftmost), rightmost)
        trial_log = min(max(log_sigma + by_s, narrowest), widest)
    u, v = kept[1], kept[2]
    raw[0] = kept[0]
    raw[1] = 0.5 * (u + v)
    raw[2] = (v - u) / (u + v)
    raw[3] = m
    raw[4] = math.exp(log_sigma)
    return best
