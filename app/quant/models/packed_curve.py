"""A slice as kernels see it: SVI coordinates x plus a B-spline residual, one point at a time.

The residual is the one of svi_curve.SplineResidual: w(k) = svi(k) + w0 sum_j c_j B(asinh(k / scale) / spacing - first
- j). ``knots`` is (scale, spacing, first, count); count 0 means plain SVI and costs nothing.
"""

import math
from typing import Final

import numpy as np

from app.quant.arrays import FloatArray
from app.quant.compiled import inner_kernel
from app.quant.elementary import natural_log
from app.quant.models.svi_coordinates import geometry, geometry_jacobian

MAX_COEFFICIENTS: Final = 20
SUPPORT: Final = 4
"""Cubic B-splines that do not vanish at a point."""
KNOT_NUMBERS: Final = 4
"""Scale, spacing, first and count of a residual."""

SHORT_OF_REORDERING: Final = {"contract", "nsz", "arcp"}
"""What a loop over points may do to be fast and yet give the same sums in the same order."""


@inner_kernel
def spline_pieces(t: float, basis: FloatArray) -> None:
    """Write B, B', B'' of the four splines alive at a point ``t`` in [0, 1) past its knot, shape (3, 4)."""
    p = 1.0 - t
    basis[0, 0] = p * p * p / 6.0
    basis[0, 1] = 2.0 / 3.0 - t * t * (1.0 - 0.5 * t)
    basis[0, 2] = 2.0 / 3.0 - p * p * (1.0 - 0.5 * p)
    basis[0, 3] = t * t * t / 6.0
    basis[1, 0] = -0.5 * p * p
    basis[1, 1] = t * (1.5 * t - 2.0)
    basis[1, 2] = -p * (1.5 * p - 2.0)
    basis[1, 3] = 0.5 * t * t
    basis[2, 0] = p
    basis[2, 1] = 3.0 * t - 2.0
    basis[2, 2] = 3.0 * p - 2.0
    basis[2, 3] = t


@inner_kernel(forceinline=True)
def knot_place(knots: FloatArray, k: float) -> float:
    """Return where ``k`` lies, in knot cells from the centre of the first spline: asinh(k / scale) / spacing - first.

    The inverse hyperbolic sine is written out: the library's is a call, at which a loop over points stays scalar.
    """
    ratio = abs(k) / knots[0]
    place: float = math.copysign(natural_log(ratio + math.sqrt(1.0 + ratio * ratio)), k) / knots[1] - knots[2]
    return place


@inner_kernel
def knot_places(knots: FloatArray, k: FloatArray, n: int, place: FloatArray) -> None:
    """Write :func:`knot_place` of the first ``n`` points."""
    for j in range(n):
        place[j] = knot_place(knots, k[j])


@inner_kernel
def spline_basis(knots: FloatArray, k: float, basis: FloatArray) -> int:
    """Write d^i/dk^i of the four splines alive at ``k`` (3, 4); return the index of the first, maybe outside [0, n)."""
    scale, spacing = knots[0], knots[1]
    z = knot_place(knots, k)
    cell = math.floor(z)
    spline_pieces(z - cell, basis)
    r2 = k * k + scale * scale
    z1 = 1.0 / (spacing * math.sqrt(r2))
    z2 = -k * z1 / r2
    for j in range(SUPPORT):
        slope = basis[1, j]
        basis[1, j] = slope * z1
        basis[2, j] = basis[2, j] * z1 * z1 + slope * z2
    return int(cell) - 1


@inner_kernel
def spline_value(coefficients: FloatArray, count: int, z: float) -> tuple[float, float, float]:
    """Return sum_j c_j B(z - j) of the first ``count`` coefficients and its two derivatives in z."""
    cell = math.floor(z)
    first = int(cell) - 1
    if first <= -SUPPORT or first >= count:
        return 0.0, 0.0, 0.0
    t = z - cell
    p = 1.0 - t
    c0 = coefficients[first] if first >= 0 else 0.0
    c1 = coefficients[first + 1] if 0 <= first + 1 < count else 0.0
    c2 = coefficients[first + 2] if 0 <= first + 2 < count else 0.0
    c3 = coefficients[first + 3] if first + 3 < count else 0.0
    b = (
        (c0 * p * p * p + c3 * t * t * t) / 6.0
        + c1 * (2.0 / 3.0 - t * t * (1.0 - 0.5 * t))
        + c2 * (2.0 / 3.0 - p * p * (1.0 - 0.5 * p))
    )
    b1 = 0.5 * (c3 * t * t - c0 * p * p) + c1 * t * (1.5 * t - 2.0) - c2 * p * (1.5 * p - 2.0)
    b2 = c0 * p + c1 * (3.0 * t - 2.0) + c2 * (3.0 * p - 2.0) + c3 * t
    return b, b1, b2


@inner_kernel
def spline_pieces_by_cell(coefficients: FloatArray, count: int, cubics: FloatArray) -> None:
    """Write the residual's polynomial in each of its count + 3 knot cells, powers of the way past the knot ascending.

    Row c is the cell from c - 2 to c - 1, in knot cells from the centre of the first spline.
    """
    for c in range(count + 3):
        c0 = coefficients[c - 3] if c >= 3 else 0.0
        c1 = coefficients[c - 2] if 2 <= c < count + 2 else 0.0
        c2 = coefficients[c - 1] if 1 <= c < count + 1 else 0.0
        c3 = coefficients[c] if c < count else 0.0
        cubics[c, 0] = (c0 + 4.0 * c1 + c2) / 6.0
        cubics[c, 1] = 0.5 * (c2 - c0)
        cubics[c, 2] = 0.5 * (c0 + c2) - c1
        cubics[c, 3] = (c3 - c0) / 6.0 + 0.5 * (c1 - c2)


@inner_kernel
def add_residual(cubics: FloatArray, count: int, level: float, place: FloatArray, n: int, w: FloatArray) -> None:
    """Add ``level`` times the residual to ``w`` at places in knot cells; ``cubics`` as spline_pieces_by_cell."""
    for j in range(n):
        z = place[j] + 2.0
        if 0.0 <= z < count + 3.0:
            cell = int(z)
            t = z - cell
            w[j] += level * (cubics[cell, 0] + t * (cubics[cell, 1] + t * (cubics[cell, 2] + t * cubics[cell, 3])))


@inner_kernel
def add_residual_derivatives(
    cubics: FloatArray,
    count: int,
    level: float,
    place: FloatArray,
    stretch: FloatArray,
    n: int,
    w: FloatArray,
    w1: FloatArray,
    w2: FloatArray,
) -> None:
    """Add ``level`` times the residual and its derivatives in k; ``stretch`` (2, points) is the place's derivatives."""
    for j in range(n):
        z = place[j] + 2.0
        if 0.0 <= z < count + 3.0:
            cell = int(z)
            t = z - cell
            p1, p2, p3 = cubics[cell, 1], cubics[cell, 2], cubics[cell, 3]
            slope = p1 + t * (2.0 * p2 + t * 3.0 * p3)
            w[j] += level * (cubics[cell, 0] + t * (p1 + t * (p2 + t * p3)))
            w1[j] += level * slope * stretch[0, j]
            w2[j] += level * ((2.0 * p2 + 6.0 * t * p3) * stretch[0, j] * stretch[0, j] + slope * stretch[1, j])


@inner_kernel(fastmath=SHORT_OF_REORDERING)
def svi_variances(x: FloatArray, grid: FloatArray, n: int, w: FloatArray) -> None:
    """Write plain SVI's w on the grid."""
    y0, sigma, c, d, r0 = geometry(x)
    s2 = sigma * sigma
    base = x[0] - c * r0
    for j in range(n):
        y = grid[j] + y0
        w[j] = base + d * grid[j] + c * math.sqrt(y * y + s2)


@inner_kernel(fastmath=SHORT_OF_REORDERING)
def svi_derivatives(x: FloatArray, grid: FloatArray, n: int, w: FloatArray, w1: FloatArray, w2: FloatArray) -> None:
    """Write plain SVI's w, w', w'' on the grid."""
    y0, sigma, c, d, r0 = geometry(x)
    s2 = sigma * sigma
    base = x[0] - c * r0
    for j in range(n):
        y = grid[j] + y0
        r = math.sqrt(y * y + s2)
        inverse = 1.0 / r
        w[j] = base + d * grid[j] + c * r
        w1[j] = d + c * y * inverse
        w2[j] = c * s2 * inverse * inverse * inverse


@inner_kernel
def slice_point(
    x: FloatArray,
    shape: tuple[float, float, float, float, float],
    knots: FloatArray,
    coefficients: FloatArray,
    k: float,
) -> tuple[float, float, float]:
    """Return (w, w', w'') at ``k``; ``shape`` is ``geometry(x)``."""
    y0, sigma, c, d, r0 = shape
    y = k + y0
    s2 = sigma * sigma
    r = math.sqrt(y * y + s2)
    w = x[0] + d * k + c * (r - r0)
    w1 = d + c * y / r
    w2 = c * s2 / (r * r * r)
    count = int(knots[3])
    if count > 0:
        b, b1, b2 = spline_value(coefficients, count, knot_place(knots, k))
        r2 = k * k + knots[0] * knots[0]
        z1 = 1.0 / (knots[1] * math.sqrt(r2))
        w += x[0] * b
        w1 += x[0] * b1 * z1
        w2 += x[0] * (b2 * z1 * z1 - b1 * k * z1 / r2)
    return w, w1, w2


@inner_kernel
def durrleman(k: float, w: float, w1: float, w2: float) -> float:
    """Return g = (1 - k w'/(2w))^2 - w'^2/4 (1/w + 1/4) + w''/2; the density is positive exactly where g is.

    Durrleman (2005), Gatheral and Jacquier (2014), lemma 2.2. Variance that is not positive counts as far below 0.
    """
    if w <= 1e-12:
        return -1e3
    h = 1.0 - 0.5 * k * w1 / w
    return h * h - 0.25 * w1 * w1 * (1.0 / w + 0.25) + 0.5 * w2


@inner_kernel
def durrleman_gradient(k: float, w: float, w1: float) -> tuple[float, float, float]:
    """Return (dg/dw, dg/dw', dg/dw'')."""
    v = max(w, 1e-9)
    h = 1.0 - 0.5 * k * w1 / v
    g_w = (h * k * w1 + 0.25 * w1 * w1) / (v * v)
    g_w1 = -h * k / v - 0.5 * w1 * (1.0 / v + 0.25)
    return g_w, g_w1, 0.5


@inner_kernel
def svi_point_jacobian(x: FloatArray, k: float, jacobian: FloatArray) -> None:
    """Write d(w, w', w'')/dx of plain SVI at ``k`` into ``jacobian[:, :5]``."""
    y0, sigma, c, _, r0 = geometry(x)
    chain = np.empty((4, 5))
    geometry_jacobian(x, chain)
    y = k + y0
    s2 = sigma * sigma
    r = math.sqrt(y * y + s2)
    r3 = r * r * r
    r5 = r3 * r * r
    for p in range(5):
        dy, ds, dc, dd = chain[0, p], chain[1, p], chain[2, p], chain[3, p]
        jacobian[0, p] = dy * c * (y / r - y0 / r0) + ds * c * (sigma / r - sigma / r0) + dc * (r - r0) + dd * k
        jacobian[1, p] = dy * c * s2 / r3 - ds * c * y * sigma / r3 + dc * y / r + dd
        jacobian[2, p] = -3.0 * dy * c * s2 * y / r5 + ds * c * sigma * (2.0 / r3 - 3.0 * s2 / r5) + dc * s2 / r3
    jacobian[0, 0] += 1.0
