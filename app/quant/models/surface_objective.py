"""The objective of a surface fit, its gradient and its Gauss-Newton blocks.

Misfit is 100 (sqrt(w(k)/t) - mid vol), in vol points, through the loss of quote_loss. A stage says which parameters
move: SVI coordinates (5 a slice) or the coefficients of the residual on a frozen SVI.
"""

import math
from typing import Final, NamedTuple, cast

import numpy as np

from app.quant.arrays import FloatArray, IntArray
from app.quant.compiled import kernel
from app.quant.models.packed_curve import MAX_COEFFICIENTS, SHORT_OF_REORDERING, SUPPORT, spline_basis, svi_variances
from app.quant.models.quote_loss import MID, OUTSIDE, WEIGHT, WIDTH, K, loss
from app.quant.models.svi_coordinates import geometry, geometry_jacobian

SVI_STAGE: Final = cast(int, np.int64(0))
RESIDUAL_STAGE: Final = cast(int, np.int64(1))
VALUE: Final = cast(bool, np.bool_(False))
DERIVATIVES: Final = cast(bool, np.bool_(True))
"""Numpy scalars, because numba compiles a kernel anew for every literal it is called with."""

INVERSE_T, SLOPE_MIN, RIDGE, SMOOTHNESS = 0, 1, 2, 3
"""Columns of the slice array: 1/t, gentlest wing, ridge and second-difference weights of the residual, ..."""
SHAPE_CENTRE: Final = 4
SHAPE_WEIGHT: Final = 8
"""... centre and weight of the shape prior on (s, l, ln u, ln v)."""
SLICE_COLUMNS: Final = 12
INFINITE: Final = 1e300
"""Objective of a point outside the domain: variance not positive at a quote."""


class SurfaceProblem(NamedTuple):
    """What a fit is given: quotes by slice, and numbers by slice."""

    loss_kind: int
    offsets: IntArray
    """(n + 1): the quotes of slice i are offsets[i]:offsets[i + 1]."""
    quotes: FloatArray
    """(QUOTE_ROWS, quotes)"""
    slices: FloatArray
    """(n, SLICE_COLUMNS)"""
    knots: FloatArray
    """(n, 4): scale, spacing, first, count of the residual; count 0 without one."""
    plain: FloatArray
    """(quotes): w of the frozen SVI; empty in the SVI stage."""
    basis: FloatArray
    """(quotes, SUPPORT): the residual's splines at the quotes; empty in the SVI stage."""
    first: IntArray
    """(quotes): index of the first of them."""


@kernel
def tabulate_quotes(problem: SurfaceProblem, svi: FloatArray) -> None:
    """Write w of plain SVI and the splines alive at every quote; a spline outside [0, count) gets value 0."""
    pieces = np.empty((3, SUPPORT))
    for i in range(svi.shape[0]):
        knots = problem.knots[i]
        count = int(knots[3])
        a, b = problem.offsets[i], problem.offsets[i + 1]
        svi_variances(svi[i], problem.quotes[K, a:b], b - a, problem.plain[a:b])
        for j in range(a, b):
            start = spline_basis(knots, problem.quotes[K, j], pieces)
            place = min(max(start, 0), MAX_COEFFICIENTS - SUPPORT)
            problem.first[j] = place
            for m in range(SUPPORT):
                source = place + m - start
                alive = 0 <= source < SUPPORT and place + m < count
                problem.basis[j, m] = pieces[0, source] if alive else 0.0


@kernel(fastmath=SHORT_OF_REORDERING)
def svi_vols(x: FloatArray, k: FloatArray, inverse_t: float, root: FloatArray, w: FloatArray, vol: FloatArray) -> None:
    """Write the hyperbola's root R, w and sqrt(w/t) of plain SVI at ``k``; the vol of negative w is 0."""
    y0, sigma, c, d, r0 = geometry(x)
    s2 = sigma * sigma
    base = x[0] - c * r0
    for j in range(k.shape[0]):
        y = k[j] + y0
        root[j] = math.sqrt(y * y + s2)
        w[j] = base + d * k[j] + c * root[j]
        vol[j] = math.sqrt(max(w[j], 0.0) * inverse_t)


@kernel(fastmath=SHORT_OF_REORDERING)
def svi_vol_jacobian(
    x: FloatArray, k: FloatArray, inverse_t: float, root: FloatArray, vol: FloatArray, jacobian: FloatArray
) -> None:
    """Write the vol points' derivatives in (w0, y0, sigma, c, d), shape (5, n), from what ``svi_vols`` gave."""
    y0, sigma, c, _, r0 = geometry(x)
    for j in range(k.shape[0]):
        vega = 50.0 * inverse_t / vol[j]
        inverse = 1.0 / root[j]
        jacobian[0, j] = vega
        jacobian[1, j] = vega * c * ((k[j] + y0) * inverse - y0 / r0)
        jacobian[2, j] = vega * c * sigma * (inverse - 1.0 / r0)
        jacobian[3, j] = vega * (root[j] - r0)
        jacobian[4, j] = vega * k[j]


@kernel
def svi_objective(
    problem: SurfaceProblem, i: int, x: FloatArray, derivatives: bool, H: FloatArray, g: FloatArray
) -> float:
    """Return slice ``i``'s objective in its SVI coordinates; with ``derivatives`` write H (lower triangle) and g."""
    a, n = problem.offsets[i], problem.offsets[i + 1] - problem.offsets[i]
    inverse_t = problem.slices[i, INVERSE_T]
    k = problem.quotes[K, a : a + n]
    root, w, vol = np.empty(n), np.empty(n), np.empty(n)
    jacobian = np.empty((5, n if derivatives else 0))
    svi_vols(x, k, inverse_t, root, w, vol)
    if derivatives:
        svi_vol_jacobian(x, k, inverse_t, root, vol, jacobian)
    natural_h = np.zeros((5, 5))
    natural_g = np.zeros(5)
    q = problem.quotes
    value = 0.0
    for j in range(n):
        if w[j] <= 1e-10 * x[0]:
            return INFINITE
        cost, slope, curvature = loss(
            problem.loss_kind, 100.0 * vol[j] - q[MID, a + j], q[WEIGHT, a + j], q[OUTSIDE, a + j], q[WIDTH, a + j]
        )
        value += cost
        if derivatives:
            for p in range(5):
                natural_g[p] += slope * jacobian[p, j]
                scaled = curvature * jacobian[p, j]
                for m in range(p + 1):
                    natural_h[p, m] += scaled * jacobian[m, j]
    if derivatives:
        to_coordinates(x, natural_h, natural_g, H, g)
    return value + shape_prior(problem.slices[i], x, derivatives, H, g)


@kernel
def to_coordinates(x: FloatArray, natural_h: FloatArray, natural_g: FloatArray, H: FloatArray, g: FloatArray) -> None:
    """Carry the normal equations from (w0, y0, sigma, c, d) to the coordinates: A' H A and A' g."""
    chain = np.empty((4, 5))
    geometry_jacobian(x, chain)
    A = np.zeros((5, 5))
    A[0, 0] = 1.0
    for p in range(5):
        for r in range(4):
            A[1 + r, p] = chain[r, p]
        for m in range(p):
            natural_h[m, p] = natural_h[p, m]
    product = np.zeros((5, 5))
    for p in range(5):
        for r in range(5):
            a = A[r, p]
            if a != 0.0:
                for m in range(5):
                    product[p, m] += a * natural_h[r, m]
    for p in range(5):
        total = 0.0
        for r in range(5):
            total += A[r, p] * natural_g[r]
        g[p] = total
        for m in range(p + 1):
            total = 0.0
            for r in range(5):
                total += product[p, r] * A[r, m]
            H[p, m] = total


@kernel
def shape_prior(numbers: FloatArray, x: FloatArray, derivatives: bool, H: FloatArray, g: FloatArray) -> float:
    """Return sum_j weight_j (q_j - centre_j)^2/2 over q = (s, l, ln u, ln v), adding its derivatives to H and g."""
    value = 0.0
    for j in range(4):
        weight = numbers[SHAPE_WEIGHT + j]
        if weight == 0.0:
            continue
        p = j + 1
        slope = 1.0
        q = x[p]
        if j >= 2:
            slope = 1.0 / q
            q = math.log(q)
        gap = q - numbers[SHAPE_CENTRE + j]
        value += 0.5 * weight * gap * gap
        if derivatives:
            g[p] += weight * gap * slope
            H[p, p] += weight * slope * slope
    return value


@kernel
def residual_objective(
    problem: SurfaceProblem,
    i: int,
    x: FloatArray,
    coefficients: FloatArray,
    derivatives: bool,
    H: FloatArray,
    g: FloatArray,
) -> float:
    """Return slice ``i``'s objective in the residual's coefficients on the frozen SVI ``x``.

    Splines that share no point do not meet in H, whose entries SUPPORT and more off the diagonal are left as they are.
    """
    inverse_t = problem.slices[i, INVERSE_T]
    count = int(problem.knots[i, 3])
    value = 0.0
    if derivatives:
        for r in range(count):
            g[r] = 0.0
            for m in range(max(r - SUPPORT + 1, 0), r + 1):
                H[r, m] = 0.0
    for j in range(problem.offsets[i], problem.offsets[i + 1]):
        first = problem.first[j]
        residual = 0.0
        for m in range(SUPPORT):
            residual += coefficients[first + m] * problem.basis[j, m]
        w = problem.plain[j] + x[0] * residual
        if w <= 1e-10 * x[0]:
            return INFINITE
        vol = math.sqrt(w * inverse_t)
        q = problem.quotes
        cost, slope, curvature = loss(
            problem.loss_kind, 100.0 * vol - q[MID, j], q[WEIGHT, j], q[OUTSIDE, j], q[WIDTH, j]
        )
        value += cost
        if derivatives:
            vega = 50.0 * inverse_t / vol * x[0]
            for m in range(min(SUPPORT, count - first)):
                jac = vega * problem.basis[j, m]
                g[first + m] += slope * jac
                for z in range(m + 1):
                    H[first + m, first + z] += curvature * jac * vega * problem.basis[j, z]
    return value + roughness(problem.slices[i], count, coefficients, derivatives, H, g)


@kernel
def roughness(
    numbers: FloatArray, count: int, coefficients: FloatArray, derivatives: bool, H: FloatArray, g: FloatArray
) -> float:
    """Return ridge |c|^2/2 + smoothness |second differences of c, zero beyond both ends|^2/2, adding derivatives."""
    ridge = numbers[RIDGE]
    smoothness = numbers[SMOOTHNESS]
    value = 0.0
    for r in range(count):
        value += 0.5 * ridge * coefficients[r] * coefficients[r]
        if derivatives:
            g[r] += ridge * coefficients[r]
            H[r, r] += ridge
    for r in range(-1, count + 1):
        bend = 0.0
        for p in range(-1, 2):
            if 0 <= r + p < count:
                bend += (-2.0 if p == 0 else 1.0) * coefficients[r + p]
        value += 0.5 * smoothness * bend * bend
        if derivatives:
            for p in range(-1, 2):
                if not 0 <= r + p < count:
                    continue
                factor = smoothness * (-2.0 if p == 0 else 1.0)
                g[r + p] += factor * bend
                for z in range(-1, p + 1):
                    if 0 <= r + z < count:
                        H[r + p, r + z] += factor * (-2.0 if z == 0 else 1.0)
    return value


@kernel
def surface_objective(
    stage: int,
    problem: SurfaceProblem,
    size: IntArray,
    svi: FloatArray,
    coefficients: FloatArray,
    derivatives: bool,
    H: FloatArray,
    g: FloatArray,
) -> float:
    """Return the objective over the slices that move (size > 0), INFINITE outside the domain."""
    value = 0.0
    for i in range(size.shape[0]):
        if size[i] == 0:
            continue
        if stage == SVI_STAGE:
            value += svi_objective(problem, i, svi[i], derivatives, H[i], g[i])
        else:
            value += residual_objective(problem, i, svi[i], coefficients[i], derivatives, H[i], g[i])
        if value >= INFINITE:
            return INFINITE
    return value
