"""The objective of one slice in its SVI coordinates, its gradient and its Gauss-Newton block."""

import math

import numpy as np

from app.quant.arrays import FloatArray
from app.quant.compiled import inner_kernel
from app.quant.models.packed_curve import SHORT_OF_REORDERING
from app.quant.models.quote_loss import MID, OUTSIDE, POINTS, WEIGHT, WIDTH, K, loss
from app.quant.models.surface_problem import INFINITE, INVERSE_T, SHAPE_CENTRE, SHAPE_WEIGHT, SurfaceProblem
from app.quant.models.svi_coordinates import SLICE_SIZE, geometry, geometry_jacobian


@inner_kernel(fastmath=SHORT_OF_REORDERING)
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


@inner_kernel(fastmath=SHORT_OF_REORDERING)
def svi_vol_jacobian(
    x: FloatArray, k: FloatArray, inverse_t: float, root: FloatArray, vol: FloatArray, jacobian: FloatArray
) -> None:
    """Write the vol points' derivatives in (w0, y0, sigma, c, d), shape (5, n), from what ``svi_vols`` gave."""
    y0, sigma, c, _, r0 = geometry(x)
    for j in range(k.shape[0]):
        vega = 0.5 * POINTS * inverse_t / vol[j]
        inverse = 1.0 / root[j]
        jacobian[0, j] = vega
        jacobian[1, j] = vega * c * ((k[j] + y0) * inverse - y0 / r0)
        jacobian[2, j] = vega * c * sigma * (inverse - 1.0 / r0)
        jacobian[3, j] = vega * (root[j] - r0)
        jacobian[4, j] = vega * k[j]


@inner_kernel
def svi_objective(
    problem: SurfaceProblem, i: int, x: FloatArray, derivatives: bool, H: FloatArray, g: FloatArray
) -> float:
    """Return slice ``i``'s objective in its SVI coordinates; with ``derivatives`` write H (lower triangle) and g."""
    a, b = problem.offsets[i], problem.offsets[i + 1]
    inverse_t = problem.slices[i, INVERSE_T]
    k = problem.quotes[K, a:b]
    tables = np.empty((3 + SLICE_SIZE if derivatives else 3, b - a))
    root, w, vol = tables[0], tables[1], tables[2]
    svi_vols(x, k, inverse_t, root, w, vol)
    for j in range(b - a):
        if w[j] <= 1e-10 * x[0]:
            return INFINITE
    if not derivatives:
        value = 0.0
        q = problem.quotes
        for j in range(a, b):
            error = POINTS * vol[j - a] - q[MID, j]
            value += loss(problem.loss_kind, error, q[WEIGHT, j], q[OUTSIDE, j], q[WIDTH, j])[0]
        return value + shape_prior(problem.slices[i], x, derivatives, H, g)
    jacobian = tables[3:]
    svi_vol_jacobian(x, k, inverse_t, root, vol, jacobian)
    natural = np.empty((SLICE_SIZE + 1, SLICE_SIZE))
    value = normal_equations(problem, a, vol, jacobian, natural)
    to_coordinates(x, natural, H, g)
    return value + shape_prior(problem.slices[i], x, derivatives, H, g)


@inner_kernel
def normal_equations(
    problem: SurfaceProblem, start: int, vol: FloatArray, jacobian: FloatArray, out: FloatArray
) -> float:
    """Write the lower triangle of the quotes' Gauss-Newton block and below it their gradient, (6, 5); return the
    objective. ``vol`` (n) of the quotes from ``start`` on and its ``jacobian`` (5, n), as :func:`svi_vol_jacobian`
    writes it."""
    q = problem.quotes
    value = g0 = g1 = g2 = g3 = g4 = 0.0
    h00 = h10 = h11 = h20 = h21 = h22 = h30 = h31 = h32 = h33 = h40 = h41 = h42 = h43 = h44 = 0.0
    for i in range(vol.shape[0]):
        j = start + i
        cost, slope, curvature = loss(
            problem.loss_kind, POINTS * vol[i] - q[MID, j], q[WEIGHT, j], q[OUTSIDE, j], q[WIDTH, j]
        )
        value += cost
        d0, d1, d2, d3, d4 = jacobian[0, i], jacobian[1, i], jacobian[2, i], jacobian[3, i], jacobian[4, i]
        c0, c1, c2, c3, c4 = curvature * d0, curvature * d1, curvature * d2, curvature * d3, curvature * d4
        g0, g1, g2, g3, g4 = g0 + slope * d0, g1 + slope * d1, g2 + slope * d2, g3 + slope * d3, g4 + slope * d4
        h00, h10, h20, h30, h40 = h00 + c0 * d0, h10 + c1 * d0, h20 + c2 * d0, h30 + c3 * d0, h40 + c4 * d0
        h11, h21, h31, h41 = h11 + c1 * d1, h21 + c2 * d1, h31 + c3 * d1, h41 + c4 * d1
        h22, h32, h42 = h22 + c2 * d2, h32 + c3 * d2, h42 + c4 * d2
        h33, h43, h44 = h33 + c3 * d3, h43 + c4 * d3, h44 + c4 * d4
    out[0, 0], out[1, 1], out[2, 2], out[3, 3], out[4, 4] = h00, h11, h22, h33, h44
    out[1, 0], out[2, 0], out[3, 0], out[4, 0] = h10, h20, h30, h40
    out[2, 1], out[3, 1], out[4, 1] = h21, h31, h41
    out[3, 2], out[4, 2], out[4, 3] = h32, h42, h43
    out[5, 0], out[5, 1], out[5, 2], out[5, 3], out[5, 4] = g0, g1, g2, g3, g4
    return value


@inner_kernel
def to_coordinates(x: FloatArray, natural: FloatArray, H: FloatArray, g: FloatArray) -> None:
    """Carry normal equations from (w0, y0, sigma, c, d) to the coordinates: A' H A and A' g.

    ``natural`` (6, 5) is a block with the gradient below it; of blocks the lower triangle counts.
    """
    A = np.zeros((SLICE_SIZE, SLICE_SIZE))
    A[0, 0] = 1.0
    geometry_jacobian(x, A[1:])
    product = np.zeros((SLICE_SIZE, SLICE_SIZE))
    for p in range(SLICE_SIZE):
        for m in range(p):
            natural[m, p] = natural[p, m]
    for p in range(SLICE_SIZE):
        for r in range(SLICE_SIZE):
            a = A[r, p]
            if a != 0.0:
                for m in range(SLICE_SIZE):
                    product[p, m] += a * natural[r, m]
    for p in range(SLICE_SIZE):
        total = 0.0
        for r in range(SLICE_SIZE):
            total += A[r, p] * natural[SLICE_SIZE, r]
        g[p] = total
        for m in range(p + 1):
            total = 0.0
            for r in range(SLICE_SIZE):
                total += product[p, r] * A[r, m]
            H[p, m] = total


@inner_kernel
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
