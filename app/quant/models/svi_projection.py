"""An SVI slice with its linear part projected out: what is left is a problem in (m, ln sigma).

w(k) = a + u p(k) + v q(k) with p = (r - y)/2, q = (r + y)/2, y = k - m, r = sqrt(y^2 + sigma^2): linear in (a, u, v)
(Golub and Pereyra 1973; for SVI: De Marco and Martini 2009, Zeliade).
"""

import math
from typing import Final

from app.quant.arrays import FloatArray
from app.quant.compiled import inner_kernel
from app.quant.models.packed_curve import SHORT_OF_REORDERING

SLOPE_LEAST: Final = 1e-6
SLOPE_MOST: Final = 1.999
PIVOT_LEAST: Final = 1e-12
"""A pivot below this share of its diagonal is rounding: that direction is not projected out."""


@inner_kernel
def quote_moments(k: FloatArray, w: FloatArray, weight: FloatArray, fixed: FloatArray) -> None:
    """Write the weighted sums of 1, k, k^2, w, k w, w^2: what a fit needs of the quotes whatever m and sigma."""
    fixed[:] = 0.0
    for j in range(k.shape[0]):
        a = weight[j]
        b = a * w[j]
        fixed[0] += a
        fixed[1] += a * k[j]
        fixed[2] += a * k[j] * k[j]
        fixed[3] += b
        fixed[4] += b * k[j]
        fixed[5] += b * w[j]


@inner_kernel(fastmath=SHORT_OF_REORDERING, forceinline=True)
def distances(k: FloatArray, m: float, sigma: float, distance: FloatArray) -> None:
    """Write y and r of each quote, the rows of ``distance`` (2, n). Apart from the sums it runs on several lanes."""
    s2 = sigma * sigma
    for j in range(k.shape[0]):
        y = k[j] - m
        distance[0, j] = y
        distance[1, j] = math.sqrt(y * y + s2)


@inner_kernel(fastmath=SHORT_OF_REORDERING, forceinline=True)
def moments(
    k: FloatArray,
    w: FloatArray,
    weight: FloatArray,
    fixed: FloatArray,
    m: float,
    sigma: float,
    distance: FloatArray,
    normal: FloatArray,
    rhs: FloatArray,
) -> None:
    """Write the 3 x 3 normal equations of w on (1, p, q), and ``distance`` (2, n) as :func:`distances`.

    Only the sums with r need the quotes again: r^2 = y^2 + sigma^2, and those of y follow from those of k.
    """
    distances(k, m, sigma, distance)
    s2 = sigma * sigma
    sr = sry = trw = 0.0
    for j in range(k.shape[0]):
        r = weight[j] * distance[1, j]
        sr += r
        sry += r * distance[0, j]
        trw += r * w[j]
    s0 = fixed[0]
    sy = fixed[1] - m * s0
    syy = fixed[2] - m * (fixed[1] + sy)
    ty = fixed[4] - m * fixed[3]
    normal[0, 0] = s0
    normal[0, 1] = normal[1, 0] = 0.5 * (sr - sy)
    normal[0, 2] = normal[2, 0] = 0.5 * (sr + sy)
    normal[1, 1] = 0.5 * (syy - sry) + 0.25 * s2 * s0
    normal[1, 2] = normal[2, 1] = 0.25 * s2 * s0
    normal[2, 2] = 0.5 * (syy + sry) + 0.25 * s2 * s0
    rhs[0] = fixed[3]
    rhs[1] = 0.5 * (trw - ty)
    rhs[2] = 0.5 * (trw + ty)


@inner_kernel
def misfit(normal: FloatArray, rhs: FloatArray, total: float, linear: FloatArray) -> float:
    """Return the weighted sum of squares at ``linear`` from the moments."""
    value = total
    for i in range(3):
        value -= 2.0 * linear[i] * rhs[i]
        for j in range(3):
            value += linear[i] * normal[i, j] * linear[j]
    return max(value, 0.0)


@inner_kernel
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


@inner_kernel
def bounded_linear(normal: FloatArray, rhs: FloatArray, total: float, edge: FloatArray, linear: FloatArray) -> float:
    """Write the best (a, u, v) with u, v in [SLOPE_LEAST, SLOPE_MOST]; return its misfit.

    The problem is convex, so the optimum is the free one or lies on one of the four edges. ``edge`` (3): room to work.
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
    for fixed in range(1, 3):
        for bound in range(2):
            level_and_slope(normal, rhs, fixed, SLOPE_LEAST if bound == 0 else SLOPE_MOST, edge)
            value = misfit(normal, rhs, total, edge)
            if value < best:
                best = value
                for p in range(3):
                    linear[p] = edge[p]
    return best


@inner_kernel(fastmath=SHORT_OF_REORDERING)
def curvature(
    w: FloatArray,
    weight: FloatArray,
    distance: FloatArray,
    sigma: float,
    linear: FloatArray,
    normal: FloatArray,
    H: FloatArray,
) -> tuple[float, float]:
    """Return the gradient of half the misfit in (m, ln sigma), and write those two rows of its Hessian.

    With c = (u + v)/2, d = (v - u)/2 the model is w = a + d y + c r, its derivatives -(d + c y / r) and c sigma^2 / r:
    all sums are those of y^i / r^j and of the error e times them. sum e = 0, as ``linear`` has the best a. ``H`` (5, 5)
    is in the order (a, u, v, m, ln sigma), its lower triangle alone.
    """
    c = 0.5 * (linear[1] + linear[2])
    d = 0.5 * (linear[2] - linear[1])
    s2 = sigma * sigma
    by_r = y_by_r = by_r2 = y_by_r2 = e_by_r = ey_by_r = e_by_r3 = ey_by_r3 = 0.0
    for j in range(w.shape[0]):
        y, r = distance[0, j], distance[1, j]
        inverse = 1.0 / r
        per_r = weight[j] * inverse
        by_r += per_r
        y_by_r += per_r * y
        per_r2 = per_r * inverse
        by_r2 += per_r2
        y_by_r2 += per_r2 * y
        error = per_r * (linear[0] + d * y + c * r - w[j])
        e_by_r += error
        ey_by_r += error * y
        error_per_r2 = error * inverse * inverse
        e_by_r3 += error_per_r2
        ey_by_r3 += error_per_r2 * y
    s0, sy, sr = normal[0, 0], normal[0, 2] - normal[0, 1], normal[0, 2] + normal[0, 1]
    cs2 = c * s2
    my = -d * sy - c * (sr - s2 * by_r)
    mr = -d * sr - c * sy - ey_by_r
    ay, ar = cs2 * y_by_r, cs2 * s0 + s2 * e_by_r
    H[3, 0], H[3, 1], H[3, 2] = -d * s0 - c * y_by_r, 0.5 * (mr - my), 0.5 * (mr + my)
    H[3, 3] = d * d * s0 + 2.0 * c * d * y_by_r + c * c * (s0 - s2 * by_r2) + cs2 * e_by_r3
    H[4, 0], H[4, 1], H[4, 2] = cs2 * by_r, 0.5 * (ar - ay), 0.5 * (ar + ay)
    H[4, 3] = cs2 * (ey_by_r3 - d * by_r - c * y_by_r2)
    H[4, 4] = cs2 * (cs2 * by_r2 + 2.0 * e_by_r - s2 * e_by_r3)
    return -c * ey_by_r, cs2 * e_by_r


@inner_kernel
def projected_curvature(
    w: FloatArray,
    weight: FloatArray,
    distance: FloatArray,
    sigma: float,
    linear: FloatArray,
    normal: FloatArray,
    H: FloatArray,
) -> tuple[float, float, float, float, float]:
    """Return gradient (2) and Hessian (11, 12, 22) of half the misfit in (m, ln sigma) at its best ``linear``.

    a and the wings off their bounds are projected out: S = H_zz - H_zl H_ll^-1 H_lz. Where S is not positive its
    modulus (S^2)^(1/2) stands for it: downhill along every axis. ``distance`` and ``normal`` are those of
    (m, sigma), ``H`` (5, 5) room to work.
    """
    g1, g2 = curvature(w, weight, distance, sigma, linear, normal, H)
    for p in range(3):
        for z in range(p + 1):
            H[p, z] = normal[p, z]
    for p in range(3):
        if H[p, p] <= PIVOT_LEAST * normal[p, p] or (p > 0 and not SLOPE_LEAST < linear[p] < SLOPE_MOST):
            continue
        for q in range(p + 1, 5):
            ratio = H[q, p] / H[p, p]
            for z in range(p + 1, q + 1):
                H[q, z] -= ratio * H[z, p]
    h11, h12, h22 = H[3, 3], H[4, 3], H[4, 4]
    determinant = h11 * h22 - h12 * h12
    if determinant <= 0.0 or h11 <= 0.0:
        modulus = abs(determinant)
        trace = math.sqrt(h11 * h11 + 2.0 * h12 * h12 + h22 * h22 + 2.0 * modulus) + 1e-300
        h11, h12, h22 = (
            (h11 * h11 + h12 * h12 + modulus) / trace,
            h12 * (h11 + h22) / trace,
            (h22 * h22 + h12 * h12 + modulus) / trace,
        )
    return g1, g2, h11, h12, h22
