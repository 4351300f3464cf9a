"""The objective of one slice in the coefficients of its residual, its gradient and its Gauss-Newton block."""

import math

import numpy as np

from app.quant.arrays import FloatArray
from app.quant.compiled import inner_kernel, kernel
from app.quant.models.packed_curve import MAX_COEFFICIENTS, SUPPORT, knot_places, spline_pieces, svi_variances
from app.quant.models.quote_loss import MID, OUTSIDE, POINTS, WEIGHT, WIDTH, K, loss
from app.quant.models.surface_problem import INFINITE, INVERSE_T, RIDGE, SurfaceProblem


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


@inner_kernel
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
            problem.loss_kind, POINTS * vol - q[MID, j], q[WEIGHT, j], q[OUTSIDE, j], q[WIDTH, j]
        )
        value += cost
        if derivatives:
            vega = 0.5 * POINTS * inverse_t / vol * x[0]
            for m in range(min(SUPPORT, count - first)):
                jac = vega * problem.basis[j, m]
                g[first + m] += slope * jac
                for z in range(m + 1):
                    H[first + m, first + z] += curvature * jac * vega * problem.basis[j, z]
    return value + size_price(problem.slices[i, RIDGE], problem.knots[i], coefficients, derivatives, H, g)


@inner_kernel
def ridge_share(knots: FloatArray, j: int) -> float:
    """Return the share of the ridge at the money that spline ``j`` bears: exp(-|asinh(k_j / scale)|) at its centre.

    Far out a smile's squared distance from its hyperbola grows about in proportion to |k|. That neighbouring splines
    overlap is all the smoothness there is: a price on their second differences predicts quotes held out worse.
    """
    return math.exp(-abs(knots[2] + j) * knots[1])


@inner_kernel
def size_price(
    ridge: float, knots: FloatArray, coefficients: FloatArray, derivatives: bool, H: FloatArray, g: FloatArray
) -> float:
    """Return ridge sum_j share_j c_j^2/2, adding its derivatives."""
    value = 0.0
    for j in range(int(knots[3])):
        price = ridge * ridge_share(knots, j)
        value += 0.5 * price * coefficients[j] * coefficients[j]
        if derivatives:
            g[j] += price * coefficients[j]
            H[j, j] += price
    return value
