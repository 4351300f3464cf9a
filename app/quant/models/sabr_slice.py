"""One SABR slice by damped Gauss-Newton in x = (ln level, ln nu, atanh rho), level = alpha F^(beta - 1).

The vols and their exact derivatives are filled lane by lane (no call in the loop), the normal equations are summed in
the order of the quotes: the same numbers give the same fit. Formula and letters as in sabr_curve.py; x here is
X = chi / z, so that z / chi = 1 / X.
"""

import math
from typing import Final

import numpy as np

from app.quant.arrays import FloatArray, IntArray
from app.quant.compiled import inner_kernel, kernel
from app.quant.elementary import natural_log
from app.quant.models.packed_curve import SHORT_OF_REORDERING
from app.quant.models.quote_loss import MID, OUTSIDE, POINTS, QUOTE_ROWS, WEIGHT, WIDTH, K, loss
from app.quant.models.sabr_curve import least_correction

TILT, SHRINK, RUN, INVERSE_RUN = 5, 6, 7, 8
"""Rows of a slice's quotes after quote_loss.py's: exp(-b k / 2), 1 / S, k / TILT and its inverse, which a fixed beta
leaves alone."""
ROWS: Final = QUOTE_ROWS + 4
LANES: Final = 8
"""Quotes filled at once on the widest hardware: a slice is filled up to a multiple, or its last ones go one by one."""

SERIES_REACH: Final = 1e-3
"""|z| below which X is the first five terms of its series; the closed form loses 1/z of its first derivatives."""
LOWEST: Final = (math.log(1e-3), math.log(1e-3), -4.0)
HIGHEST: Final = (math.log(20.0), math.log(100.0), 4.0)
"""Bounds of x: level, nu, and |rho| < 0.9994."""
LONGEST_STEP: Final = 0.7
"""Largest change of a coordinate in one step: a factor of two in level or nu."""
FIRST_DAMPING, LEAST_DAMPING, MOST_DAMPING = 1e-3, 1e-10, 1e8
SETTLED: Final = 1e-7
"""Relative fall of the objective after which it has converged."""
PERFECT: Final = 1e-16
"""Objective in squared vol points that is rounding."""


@kernel
def fit_slices(
    kind: int,
    offsets: IntArray,
    quotes: FloatArray,
    t: FloatArray,
    beta: float,
    x: FloatArray,
    steps: int,
    found: FloatArray,
) -> None:
    """Fit every slice to its columns ``offsets[i]:offsets[i + 1]`` of ``quotes``, as :func:`fit_slice` does one.

    ``x`` and ``found`` have a row a slice; starts are moved into their bounds, and ``found`` gets objective, iterations
    and 1 where it stopped falling.
    """
    most = 0
    for i in range(t.shape[0]):
        most = max(most, offsets[i + 1] - offsets[i])
    own, model = np.empty((ROWS, most + LANES)), np.empty((4, most + LANES))
    for i in range(t.shape[0]):
        copy_slice(quotes, offsets[i], offsets[i + 1], beta, own)
        for j in range(3):
            x[i, j] = min(max(x[i, j], LOWEST[j]), HIGHEST[j])
        n = offsets[i + 1] - offsets[i]
        objective, count, settled = fit_slice(kind, own, n, t[i], beta, x[i], steps, model)
        found[i, 0], found[i, 1], found[i, 2] = objective, count, 1.0 if settled else 0.0


@inner_kernel
def copy_slice(quotes: FloatArray, first: int, end: int, beta: float, own: FloatArray) -> None:
    """Write the columns ``first:end`` of ``quotes`` and the rows made of them; the last one again up to full lanes."""
    b = 1.0 - beta
    for j in range(end - first):
        for row in range(QUOTE_ROWS):
            own[row, j] = quotes[row, first + j]
        k = own[K, j]
        bk2 = (b * k) ** 2
        tilt = math.exp(-0.5 * b * k) if b > 0.0 else 1.0
        own[TILT, j] = tilt
        own[SHRINK, j] = 1.0 / (1.0 + bk2 / 24.0 + bk2 * bk2 / 1920.0)
        own[RUN, j] = k / tilt
        own[INVERSE_RUN, j] = tilt / k
    for j in range(end - first, full_lanes(end - first)):
        for row in range(ROWS):
            own[row, j] = own[row, end - first - 1]


@inner_kernel
def full_lanes(n: int) -> int:
    """Return ``n`` rounded up to a multiple of LANES."""
    return (n + LANES - 1) // LANES * LANES


@inner_kernel
def fit_slice(
    kind: int, quotes: FloatArray, n: int, t: float, beta: float, x: FloatArray, steps: int, model: FloatArray
) -> tuple[float, int, bool]:
    """Improve ``x`` in place against the first ``n`` of ``quotes``, shape (ROWS, >= full_lanes(n)); return (objective,
    iterations, whether it stopped falling). A start outside Hagan's domain is brought inside by less nu.

    The equations are summed at one place: each place more would compile the whole pass again.
    """
    equations, tried = np.empty(9), np.empty(9)
    moved, step = np.empty(3), np.empty(3)
    for j in range(3):
        moved[j] = x[j]
    objective, damping = np.inf, FIRST_DAMPING
    for count in range(steps + 1):
        reached = normal_equations(kind, quotes, n, t, beta, moved, model, tried)
        fall = objective - reached
        if reached < objective:
            objective = reached
            for j in range(3):
                x[j] = moved[j]
            equations, tried = tried, equations
            damping = max(0.1 * damping, LEAST_DAMPING)
        elif objective == np.inf:
            moved[1] -= LONGEST_STEP
            continue
        else:
            damping = max(10.0 * damping, FIRST_DAMPING)
        if abs(fall) <= SETTLED * objective or objective < PERFECT or damping > MOST_DAMPING:
            return objective, count, True
        hold_at_bounds(x, equations)
        damped_step(equations, damping, step)
        predicted = 0.0
        for j in range(3):
            predicted -= 0.5 * equations[j] * step[j]
            move = min(max(step[j], -LONGEST_STEP), LONGEST_STEP)
            moved[j] = min(max(x[j] + move, LOWEST[j]), HIGHEST[j])
        if predicted <= SETTLED * objective:
            return objective, count, True
    return objective, steps, False


@inner_kernel(fastmath=SHORT_OF_REORDERING)
def normal_equations(
    kind: int,
    quotes: FloatArray,
    n: int,
    t: float,
    beta: float,
    x: FloatArray,
    model: FloatArray,
    equations: FloatArray,
) -> float:
    """Fill gradient (3) and the Gauss-Newton Hessian's lower triangle (6); return the objective, inf outside Hagan's
    domain."""
    if not least_correction(math.exp(x[0]), math.exp(x[1]), math.tanh(x[2]), beta, t) > 0.0:
        return np.inf
    fill_vols(quotes, full_lanes(n), t, beta, x, model)
    objective = g0 = g1 = g2 = 0.0
    h00 = h10 = h11 = h20 = h21 = h22 = 0.0
    for i in range(n):
        error = POINTS * model[0, i] - quotes[MID, i]
        value, slope, curvature = loss(kind, error, quotes[WEIGHT, i], quotes[OUTSIDE, i], quotes[WIDTH, i])
        d0, d1, d2 = POINTS * model[1, i], POINTS * model[2, i], POINTS * model[3, i]
        objective += value
        g0 += slope * d0
        g1 += slope * d1
        g2 += slope * d2
        h00 += curvature * d0 * d0
        h10 += curvature * d1 * d0
        h11 += curvature * d1 * d1
        h20 += curvature * d2 * d0
        h21 += curvature * d2 * d1
        h22 += curvature * d2 * d2
    # One by one: assigning a tuple to a part of an array would allocate.
    equations[0], equations[1], equations[2] = g0, g1, g2
    equations[3], equations[4], equations[5] = h00, h10, h11
    equations[6], equations[7], equations[8] = h20, h21, h22
    return objective


@inner_kernel(fastmath=SHORT_OF_REORDERING)
def fill_vols(quotes: FloatArray, n: int, t: float, beta: float, x: FloatArray, model: FloatArray) -> None:
    """Fill the vols of the first ``n`` strikes and their derivatives by x, shape (4, n)."""
    level, nu, rho = math.exp(x[0]), math.exp(x[1]), math.tanh(x[2])
    b = 1.0 - beta
    linear, square = 0.25 * rho * beta * nu * t, b * b / 24.0 * t
    constant = (2.0 - 3.0 * rho * rho) * nu * nu / 24.0 * t
    r2 = rho * rho
    # P_n(rho) / (n + 1) for n = 1..4, and their derivatives by rho.
    p1, p2, p3, p4 = (
        rho / 2.0,
        (3.0 * r2 - 1.0) / 6.0,
        rho * (5.0 * r2 - 3.0) / 8.0,
        ((35.0 * r2 - 30.0) * r2 + 3.0) / 40.0,
    )
    d2, d3, d4 = rho, (15.0 * r2 - 3.0) / 8.0, rho * (7.0 * r2 - 3.0) / 2.0
    above, below = 1.0 / (1.0 - rho), 1.0 / (1.0 - r2)
    pace, inverse_pace = -nu / level, -level / nu
    for i in range(n):
        a = level * quotes[TILT, i]
        z = pace * quotes[RUN, i]
        inverse_z = inverse_pace * quotes[INVERSE_RUN, i]
        root = math.sqrt(1.0 - 2.0 * rho * z + z * z)
        inverse_root = 1.0 / root
        y = z - rho
        far = root + abs(y)
        inverse_far = 1.0 / far
        chi = natural_log(far * above if y >= 0.0 else (1.0 + rho) * inverse_far)
        chi_rho = above - (1.0 + z * inverse_root) * (inverse_far if y >= 0.0 else far * below)
        near = abs(z) < SERIES_REACH
        big = chi * inverse_z
        x_ = 1.0 + z * (p1 + z * (p2 + z * (p3 + z * p4))) if near else big
        x_z = p1 + z * (2.0 * p2 + z * (3.0 * p3 + z * 4.0 * p4)) if near else (inverse_root - big) * inverse_z
        x_rho = z * (0.5 + z * (d2 + z * (d3 + z * d4))) if near else chi_rho * inverse_z
        ratio = 1.0 / x_
        h = 1.0 + (linear + square * a) * a + constant
        scale = a * quotes[SHRINK, i] * ratio
        by_z = -x_z * ratio * h
        model[0, i] = scale * h
        model[1, i] = scale * (h - z * by_z + (linear + 2.0 * square * a) * a)
        model[2, i] = scale * (z * by_z + linear * a + 2.0 * constant)
        model[3, i] = scale * (1.0 - r2) * (-x_rho * ratio * h + (0.25 * beta * a - 0.25 * rho * nu) * nu * t)


@inner_kernel
def hold_at_bounds(x: FloatArray, equations: FloatArray) -> None:
    """Take a coordinate that its gradient presses against a bound out of the equations: the others move freely."""
    for j in range(3):
        if (x[j] <= LOWEST[j] and equations[j] > 0.0) or (x[j] >= HIGHEST[j] and equations[j] < 0.0):
            equations[j] = 0.0
            for other in range(3):
                if other != j:
                    low, high = min(j, other), max(j, other)
                    equations[3 + high * (high + 1) // 2 + low] = 0.0


@inner_kernel
def damped_step(equations: FloatArray, damping: float, step: FloatArray) -> None:
    """Fill -(H + damping diag H)^-1 g by Cholesky's method without square roots."""
    g0, g1, g2, h00, h10, h11, h20, h21, h22 = equations
    d0 = h00 * (1.0 + damping)
    l10, l20 = h10 / d0, h20 / d0
    d1 = h11 * (1.0 + damping) - l10 * h10
    q = h21 - l20 * h10
    l21 = q / d1
    d2 = h22 * (1.0 + damping) - l20 * h20 - l21 * q
    y0 = -g0
    y1 = -g1 - l10 * y0
    y2 = -g2 - l20 * y0 - l21 * y1
    step[2] = y2 / d2
    step[1] = y1 / d1 - l21 * step[2]
    step[0] = y0 / d0 - l10 * step[1] - l20 * step[2]
