"""The constraints of a surface, linearised at their minima: rows gradient . step >= rhs of a quadratic program."""

import math
from typing import Final, NamedTuple, cast

import numpy as np

from app.quant.arrays import FloatArray, IntArray
from app.quant.compiled import ZERO, inner_kernel, kernel
from app.quant.models.cutting_planes import LEAST_VARIANCE, Margins
from app.quant.models.local_minima import BUTTERFLY, CALENDAR, LEAST_SHARE, MAX_MINIMA, Minima, constrained_value
from app.quant.models.packed_curve import (
    MAX_COEFFICIENTS,
    SUPPORT,
    durrleman_gradient,
    slice_point,
    spline_basis,
    svi_point_jacobian,
)
from app.quant.models.surface_problem import SLOPE_MIN, SVI_STAGE, SurfaceProblem
from app.quant.models.svi_coordinates import SLOPE_MAX, geometry, least_svi_variance

WING: Final = cast(int, np.int64(2))
"""A kind of row besides BUTTERFLY and CALENDAR: a bound of one wing slope."""
WING_RATIO_NEAR: Final = 0.15
SAME_PLACE: Final = 0.01
"""Distance from a minimum, in units of sqrt(w(0)), within which a place says nothing that the minimum does not."""
ROWS_PER_SLICE: Final = 2 * MAX_MINIMA + 7


class Rows(NamedTuple):
    """Linearised constraints: gradient . step >= rhs."""

    gradient: FloatArray
    """(rows, 2, MAX_COEFFICIENTS): in the slices ``slice - 1`` and ``slice``."""
    slice: IntArray
    kind: IntArray
    k: FloatArray
    rhs: FloatArray


@kernel
def empty_rows(n: int) -> Rows:
    """Return room for the rows of ``n`` slices."""
    m = n * ROWS_PER_SLICE
    return Rows(
        np.empty((m, 2, MAX_COEFFICIENTS)),
        np.empty(m, dtype=np.int64),
        np.empty(m, dtype=np.int64),
        np.empty(m),
        np.empty(m),
    )


@inner_kernel
def point_gradient(
    stage: int, x: FloatArray, knots: FloatArray, k: float, on_w: float, on_w1: float, on_w2: float, out: FloatArray
) -> bool:
    """Write on_w dw + on_w1 dw' + on_w2 dw'' in the moving parameters at ``k``; return False where it vanishes."""
    for p in range(out.shape[0]):
        out[p] = 0.0
    if stage == SVI_STAGE:
        jacobian = np.empty((3, 5))
        svi_point_jacobian(x, k, jacobian)
        for p in range(5):
            out[p] = on_w * jacobian[0, p] + on_w1 * jacobian[1, p] + on_w2 * jacobian[2, p]
        return True
    count = int(knots[3])
    if count == 0:
        return False
    pieces = np.empty((3, SUPPORT))
    first = spline_basis(knots, k, pieces)
    alive = False
    for m in range(max(0, -first), min(SUPPORT, count - first)):
        out[first + m] = x[0] * (on_w * pieces[0, m] + on_w1 * pieces[1, m] + on_w2 * pieces[2, m])
        alive = True
    return alive


@inner_kernel
def cut_rows(
    stage: int,
    problem: SurfaceProblem,
    svi: FloatArray,
    coefficients: FloatArray,
    size: IntArray,
    minima: Minima,
    margins: Margins,
    rows: Rows,
) -> int:
    """Linearise the constraints at their minima and the domain's bounds; return the number of rows."""
    m = ZERO
    for i in range(svi.shape[0]):
        if size[i] > 0:
            m = butterfly_rows(stage, problem, i, svi[i], coefficients[i], minima, margins, rows, m)
            if stage == SVI_STAGE:
                m = domain_rows(problem, i, svi[i], rows, m)
        if i > 0 and (size[i] > 0 or size[i - 1] > 0):
            m = calendar_rows(stage, problem, i, svi, coefficients, minima, margins, rows, m)
            if stage == SVI_STAGE:
                m = wing_ratio_rows(i, svi, margins, rows, m)
    return m


@inner_kernel
def nearest_minimum(minima: Minima, kind: int, i: int, k: float) -> float:
    """Return the distance from ``k`` to the nearest minimum of that kind, infinite without one."""
    nearest = math.inf
    for j in range(minima.found[kind, i]):
        nearest = min(nearest, abs(minima.k[kind, i, j] - k))
    return nearest


@inner_kernel
def keep_binding(
    problem: SurfaceProblem,
    svi: FloatArray,
    coefficients: FloatArray,
    rows: Rows,
    multipliers: FloatArray,
    count: int,
    minima: Minima,
) -> None:
    """Add to ``minima`` the places where rows of the last step were binding, unless a minimum is still there.

    Where two slices touch along an interval, minima come and go with every step; cut at minima alone, a step undoes
    what the one before it mended, and the other way round.
    """
    for a in range(count):
        kind, i, k = rows.kind[a], rows.slice[a], rows.k[a]
        if multipliers[a] <= 0.0 or kind == WING or not math.isfinite(k):
            continue
        found = minima.found[kind, i]
        if found == MAX_MINIMA or nearest_minimum(minima, kind, i, k) < SAME_PLACE * math.sqrt(svi[i, 0]):
            continue
        e = max(i - 1, 0)
        minima.k[kind, i, found] = k
        minima.value[kind, i, found] = constrained_value(
            kind, k, svi[i], geometry(svi[i]), problem.knots[i], coefficients[i],
            svi[e], geometry(svi[e]), problem.knots[e], coefficients[e],
        )  # fmt: skip
        minima.found[kind, i] = found + 1


@inner_kernel
def clear_row(rows: Rows, m: int) -> None:
    """Set row ``m``'s gradients to zero."""
    for h in range(2):
        for p in range(MAX_COEFFICIENTS):
            rows.gradient[m, h, p] = 0.0


@inner_kernel
def set_row(rows: Rows, m: int, i: int, kind: int, k: float, rhs: float) -> int:
    """Write a row's labels and right-hand side; return the next row."""
    rows.slice[m] = i
    rows.kind[m] = kind
    rows.k[m] = k
    rows.rhs[m] = rhs
    return m + 1


@inner_kernel
def butterfly_rows(
    stage: int,
    problem: SurfaceProblem,
    i: int,
    x: FloatArray,
    coefficients: FloatArray,
    minima: Minima,
    margins: Margins,
    rows: Rows,
    m: int,
) -> int:
    """Add g(k*) + dg/dp . step >= margin at each minimum k*; by the envelope theorem k* itself need not move.

    Where SVI's variance is not positive g has no slope, and the row of the least variance stands for it.
    """
    shape = geometry(x)
    for j in range(minima.found[BUTTERFLY, i]):
        k = minima.k[BUTTERFLY, i, j]
        w, w1, _ = slice_point(x, shape, problem.knots[i], coefficients, k)
        if stage == SVI_STAGE and w <= 0.0:
            continue
        on_w, on_w1, on_w2 = durrleman_gradient(k, w, w1)
        clear_row(rows, m)
        if point_gradient(stage, x, problem.knots[i], k, on_w, on_w1, on_w2, rows.gradient[m, 1]):
            m = set_row(rows, m, i, BUTTERFLY, k, margins.butterfly - minima.value[BUTTERFLY, i, j])
    return m


@inner_kernel
def calendar_rows(
    stage: int,
    problem: SurfaceProblem,
    i: int,
    svi: FloatArray,
    coefficients: FloatArray,
    minima: Minima,
    margins: Margins,
    rows: Rows,
    m: int,
) -> int:
    """Add the ratio's linearisation at each of its minima for the pair of slices i - 1 and i."""
    for j in range(minima.found[CALENDAR, i]):
        k = minima.k[CALENDAR, i, j]
        floor = LEAST_SHARE * svi[i - 1, 0]
        earlier = max(
            slice_point(svi[i - 1], geometry(svi[i - 1]), problem.knots[i - 1], coefficients[i - 1], k)[0], floor
        )
        later = (1.0 + minima.value[CALENDAR, i, j]) * earlier
        down = point_gradient(
            stage, svi[i - 1], problem.knots[i - 1], k, -later / (earlier * earlier), 0.0, 0.0, rows.gradient[m, 0]
        )
        up = point_gradient(stage, svi[i], problem.knots[i], k, 1.0 / earlier, 0.0, 0.0, rows.gradient[m, 1])
        if down or up:
            m = set_row(rows, m, i, CALENDAR, k, margins.calendar - minima.value[CALENDAR, i, j])
    return m


@inner_kernel
def domain_rows(problem: SurfaceProblem, i: int, x: FloatArray, rows: Rows, m: int) -> int:
    """Add least variance and wing bounds where the slice is near them."""
    k, least = least_svi_variance(x)
    if least < 0.1 * x[0]:
        clear_row(rows, m)
        point_gradient(SVI_STAGE, x, problem.knots[i], k, 1.0 / x[0], 0.0, 0.0, rows.gradient[m, 1])
        rows.gradient[m, 1, 0] -= least / (x[0] * x[0])
        m = set_row(rows, m, i, BUTTERFLY, k, LEAST_VARIANCE - least / x[0])
    lowest = problem.slices[i, SLOPE_MIN]
    for p in range(3, 5):
        far = -math.inf if p == 3 else math.inf
        if x[p] < 0.05:
            clear_row(rows, m)
            rows.gradient[m, 1, p] = 1.0
            m = set_row(rows, m, i, WING, far, lowest - x[p])
        if x[p] > 0.8:
            clear_row(rows, m)
            rows.gradient[m, 1, p] = -1.0
            m = set_row(rows, m, i, WING, far, x[p] - SLOPE_MAX)
    return m


@inner_kernel
def wing_ratio_rows(i: int, svi: FloatArray, margins: Margins, rows: Rows, m: int) -> int:
    """Add the calendar constraint's limits at infinity: later wing slope over earlier one."""
    for p in range(3, 5):
        ratio = svi[i, p] / svi[i - 1, p] - 1.0
        if ratio < WING_RATIO_NEAR:
            clear_row(rows, m)
            rows.gradient[m, 1, p] = 1.0 / svi[i - 1, p]
            rows.gradient[m, 0, p] = -svi[i, p] / (svi[i - 1, p] * svi[i - 1, p])
            m = set_row(rows, m, i, CALENDAR, -math.inf if p == 3 else math.inf, margins.calendar - ratio)
    return m
