"""One SVI slice without constraints between strikes or expiries: variable projection.

w(k) = a + u p(k) + v q(k) with p = (r - y)/2, q = (r + y)/2, y = k - m, r = sqrt(y^2 + sigma^2): linear in (a, u, v),
so only (m, ln sigma) is searched (Golub and Pereyra 1973; for SVI: De Marco and Martini 2009, Zeliade). A coarse grid
gives the start, Gauss-Newton on the projected problem with Levenberg's damping the rest.
"""

import math
from typing import Final

import numpy as np

from app.quant.arrays import FloatArray
from app.quant.compiled import kernel

SLOPE_LEAST: Final = 1e-6
SLOPE_MOST: Final = 1.999
WIDTHS: Final = (0.02, 0.06, 0.15, 0.4, 1.0)
"""sigma of the start grid, in units of the quoted range of k."""
CENTRES: Final = (-0.3, -0.15, 0.0, 0.15, 0.3)
"""m of the start grid around the strike with the least variance, in the same units."""
WIDTH_LEAST: Final = 0.004
WIDTH_MOST: Final = 3.0
"""Bounds of sigma in units of the quoted range."""
SPAN_LEAST: Final = 1e-6
"""Range of k taken when all quotes have one strike."""
STEP_CENTRE: Final = 0.3
STEP_LOG_WIDTH: Final = 0.9
"""Largest steps of m (in ranges) and ln sigma."""


@kernel
def moments(
    k: FloatArray, w: FloatArray, weight: FloatArray, m: float, sigma: float, normal: FloatArray, rhs: FloatArray
) -> float:
    """Write the 3 x 3 normal equations of w on (1, p, q); return the weighted sum of w^2."""
    s0 = s1 = s2 = s11 = s12 = s22 = t0 = t1 = t2 = total = 0.0
    for j in range(k.shape[0]):
        y = k[j] - m
        r = math.sqrt(y * y + sigma * sigma)
        p = 0.5 * (r - y)
        q = 0.5 * (r + y)
        a = weight[j]
        b = a * w[j]
        s0 += a
        s1 += a * p
        s2 += a * q
        s11 += a * p * p
        s12 += a * p * q
        s22 += a * q * q
        t0 += b
        t1 += b * p
        t2 += b * q
        total += b * w[j]
    normal[0, 0], normal[0, 1], normal[0, 2] = s0, s1, s2
    normal[1, 0], normal[1, 1], normal[1, 2] = s1, s11, s12
    normal[2, 0], normal[2, 1], normal[2, 2] = s2, s12, s22
    rhs[0], rhs[1], rhs[2] = t0, t1, t2
    return total


@kernel
def misfit(normal: FloatArray, rhs: FloatArray, total: float, linear: FloatArray) -> float:
    """Return the weighted sum of squares at ``linear`` from the moments."""
    value = total
    for i in range(3):
        value -= 2.0 * linear[i] * rhs[i]
        for j in range(3):
            value += linear[i] * normal[i, j] * linear[j]
    return max(value, 0.0)


@kernel
def level_and_slope(normal: FloatArray, rhs: FloatArray, fixed: int, slope: float, linear: FloatArray) -> None:
    """Write the best (a, u, v) with the wing ``fixed`` (1 or 2) held at ``slope`` and the other one in its bounds."""
    free = 3 - fixed
    r0 = rhs[0] - slope * normal[0, fixed]
    r1 = rhs[free] - slope * normal[free, fixed]
    spread = normal[free, free] - normal[0, free] * normal[0, free] / normal[0, 0]
    best = (r1 - normal[0, free] * r0 / normal[0, 0]) / max(spread, 1e-14 * normal[free, free] + 1e-300)
    best = min(max(best, SLOPE_LEAST), SLOPE_MOST)
    linear[fixed] = slope
    linear[free] = best
    linear[0] = (r0 - best * normal[0, free]) / normal[0, 0]


@kernel
def bounded_linear(normal: FloatArray, rhs: FloatArray, total: float, linear: FloatArray) -> float:
    """Write the best (a, u, v) with u, v in [SLOPE_LEAST, SLOPE_MOST]; return its misfit.

    The problem is convex, so the optimum is the free one or lies on one of the four edges.
    """
    d1 = normal[1, 1] - normal[0, 1] * normal[0, 1] / normal[0, 0]
    d12 = normal[1, 2] - normal[0, 1] * normal[0, 2] / normal[0, 0]
    d2 = normal[2, 2] - normal[0, 2] * normal[0, 2] / normal[0, 0]
    e1 = rhs[1] - normal[0, 1] * rhs[0] / normal[0, 0]
    e2 = rhs[2] - normal[0, 2] * rhs[0] / normal[0, 0]
    determinant = d1 * d2 - d12 * d12
    if determinant > 1e-12 * d1 * d2:
        u = (e1 * d2 - e2 * d12) / determinant
        v = (e2 * d1 - e1 * d12) / determinant
        if SLOPE_LEAST <= u <= SLOPE_MOST and SLOPE_LEAST <= v <= SLOPE_MOST:
            linear[1] = u
            linear[2] = v
            linear[0] = (rhs[0] - u * normal[0, 1] - v * normal[0, 2]) / normal[0, 0]
            return misfit(normal, rhs, total, linear)
    best = math.inf
    edge = np.empty(3)
    for fixed in range(1, 3):
        for bound in range(2):
            level_and_slope(normal, rhs, fixed, SLOPE_LEAST if bound == 0 else SLOPE_MOST, edge)
            value = misfit(normal, rhs, total, edge)
            if value < best:
                best = value
                for p in range(3):
                    linear[p] = edge[p]
    return best


@kernel
def projected_step(
    k: FloatArray,
    w: FloatArray,
    weight: FloatArray,
    m: float,
    sigma: float,
    linear: FloatArray,
    damping: float,
    span: float,
    at_bound: float,
    step: FloatArray,
) -> None:
    """Write the damped Gauss-Newton step in (m / span, ln sigma) with (a, and wings off their bounds) projected out.

    ``at_bound`` is the sign of the bound ln sigma sits on, 0 off both; a step across it moves m alone.
    """
    u, v = linear[1], linear[2]
    c = 0.5 * (u + v)
    d = 0.5 * (v - u)
    H = np.zeros((5, 5))
    g = np.zeros(5)
    jac = np.empty(5)
    s2 = sigma * sigma
    for j in range(k.shape[0]):
        y = k[j] - m
        r = math.sqrt(y * y + s2)
        jac[0] = 1.0
        jac[1] = 0.5 * (r - y) if SLOPE_LEAST < u < SLOPE_MOST else 0.0
        jac[2] = 0.5 * (r + y) if SLOPE_LEAST < v < SLOPE_MOST else 0.0
        jac[3] = -span * (d + c * y / r)
        jac[4] = c * s2 / r
        error = linear[0] + d * y + c * r - w[j]
        for p in range(5):
            g[p] += weight[j] * error * jac[p]
            for z in range(p, 5):
                H[p, z] += weight[j] * jac[p] * jac[z]
    for p in range(3):
        pivot = H[p, p]
        if pivot <= 1e-300:
            continue
        for r in range(p + 1, 5):
            ratio = H[p, r] / pivot
            for z in range(r, 5):
                H[r, z] -= ratio * H[p, z]
            g[r] -= ratio * g[p]
    h11 = H[3, 3] * (1.0 + damping) + 1e-300
    h22 = H[4, 4] * (1.0 + damping) + 1e-300
    determinant = max(h11 * h22 - H[3, 4] * H[3, 4], 1e-12 * h11 * h22)
    step[0] = -(h22 * g[3] - H[3, 4] * g[4]) / determinant
    step[1] = -(h11 * g[4] - H[3, 4] * g[3]) / determinant
    if at_bound * step[1] > 0.0:
        step[0] = -g[3] / h11
        step[1] = 0.0
    excess = max(abs(step[0]) / STEP_CENTRE, abs(step[1]) / STEP_LOG_WIDTH)
    if excess > 1.0:
        step[0] /= excess
        step[1] /= excess


@kernel
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
    normal = np.empty((3, 3))
    rhs = np.empty(3)
    linear = np.empty(3)
    kept = np.empty(3)
    step = np.zeros(2)
    m, log_sigma, best = 0.0, 0.0, math.inf
    for centre in CENTRES:
        for width in WIDTHS:
            total = moments(k, w, weight, lowest + centre * span, width * span, normal, rhs)
            value = bounded_linear(normal, rhs, total, linear)
            if value < best:
                best = value
                m = lowest + centre * span
                log_sigma = math.log(width * span)
                for p in range(3):
                    kept[p] = linear[p]
    damping = 1e-4
    narrowest = math.log(WIDTH_LEAST * span)
    widest = math.log(WIDTH_MOST * span)
    for _ in range(max_iterations):
        at_bound = -1.0 if log_sigma <= narrowest else (1.0 if log_sigma >= widest else 0.0)
        projected_step(k, w, weight, m, math.exp(log_sigma), kept, damping, span, at_bound, step)
        trial_m = min(max(m + span * step[0], low - span), high + span)
        trial_log = min(max(log_sigma + step[1], narrowest), widest)
        total = moments(k, w, weight, trial_m, math.exp(trial_log), normal, rhs)
        value = bounded_linear(normal, rhs, total, linear)
        if value < best:
            gain = best - value
            best = value
            m, log_sigma = trial_m, trial_log
            for p in range(3):
                kept[p] = linear[p]
            damping = max(damping * 0.2, 1e-9)
            if gain < tolerance * best:
                break
        else:
            damping = max(damping, 1e-6) * 8.0
            if damping > 1e4:
                break
    u, v = kept[1], kept[2]
    raw[0] = kept[0]
    raw[1] = 0.5 * (u + v)
    raw[2] = (v - u) / (u + v)
    raw[3] = m
    raw[4] = math.exp(log_sigma)
    return best
