"""The objective of one slice in the coefficients of its residual, its gradient and its Gauss-Newton block."""

import math

import numpy as np

from app.quant.arrays import FloatArray
from app.quant.compiled import inner_kernel, kernel
from app.quant.models.packed_curve import MAX_COEFFICIENTS, SUPPORT, knot_places, spline_pieces, svi_variances
from app.quant.models.quote_loss import MID, OUTSIDE, WEIGHT, WIDTH, K, loss
from app.quant.models.surface_problem import INFINITE, INVERSE_T, RIDGE, SMOOTHNESS, SurfaceProblem


@kernel
def tabulate_quotes(problem: SurfaceProblem, svi: FloatArray) -> None:
    """Write w of plain SVI and the splines alive at every quote; a spline outside [0, count) gets value 0."""
    pieces = np.empty((3, SUPPORT))
    place = np.empty(problem.plain.shape[0])
    for i in range(svi.shape[0]):
        count = int(problem.knots[i, 3])
        a, b = problem.offsets[i], problem.offsets[i + 1]
        svi_variances(svi[i], problem.quotes[K, a:b], b - a, problem.plain[a:b])
        knot_places(problem.knots[i], problem.quotes[K, a:b], b - a, place)
        for j in range(a, b):
            cell = math.floor(place[j - a])
            spline_pieces(place[j - a] - cell, pieces)
            start = int(cell) - 1
            first = min(max(start, 0), MAX_COEFFICIENTS - SUPPORT)
            problem.first[j] = first
            for m in range(SUPPORT):
                source = first + m - start
                alive = 0 <= source < SUPPORT and first + m < count
                problem.basis[j, m] = pieces[0, source] if alive else 0.0


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


@inner_kernel
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
