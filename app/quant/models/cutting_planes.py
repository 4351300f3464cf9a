"""No-arbitrage constraints of a surface, cut at their exact local minima and linearised there.

Butterfly: g(k) >= butterfly margin. Calendar: w_later(k)/w_earlier(k) - 1 >= calendar margin, and the same for the
ratio of the wing slopes, its limits at infinity. Domain: least variance above a share of w(0), wings within bounds.
"""

import math
from typing import Final, NamedTuple, cast

import numpy as np

from app.quant.arrays import FloatArray, IntArray
from app.quant.compiled import ZERO, kernel
from app.quant.models.local_minima import (
    BUTTERFLY,
    CALENDAR,
    MAX_MINIMA,
    Minima,
    ScanGrid,
    refined_minima,
    scan_durrleman,
    scan_ratio,
)
from app.quant.models.packed_curve import (
    MAX_COEFFICIENTS,
    SUPPORT,
    durrleman_gradient,
    slice_point,
    spline_basis,
    svi_point_jacobian,
)
from app.quant.models.surface_objective import SLOPE_MIN, SVI_STAGE, SurfaceProblem
from app.quant.models.svi_coordinates import SLOPE_MAX, geometry

WING: Final = cast(int, np.int64(2))
"""A kind of row besides BUTTERFLY and CALENDAR: a bound of one wing slope."""
MARGIN_BUTTERFLY: Final = 1e-3
MARGIN_CALENDAR: Final = 1e-4
"""Least g and least relative calendar gap of a fitted surface: what rounding to 12 digits and the certificate's
interval arithmetic may eat, a thousand times over."""
LEAST_VARIANCE: Final = 1e-3
"""Smallest variance of a slice in units of its w(0)."""
FEASIBLE: Final = 1e-5
"""Sum of violations below which a surface counts as feasible: a tenth of the smaller margin."""

SVI_BUTTERFLY_NEAR, SVI_CALENDAR_NEAR = 0.06, 0.02
RESIDUAL_BUTTERFLY_NEAR, RESIDUAL_CALENDAR_NEAR = 0.06, 0.015
"""Minima below these values become rows: those that a step could bring to the margin."""
BUTTERFLY_SLACK, CALENDAR_SLACK = 0.06, 0.01
"""How far above that a scanned minimum may lie and still be refined."""
WING_RATIO_NEAR: Final = 0.15
ROWS_PER_SLICE: Final = 2 * MAX_MINIMA + 7


class Margins(NamedTuple):
    """What the constraints must keep."""

    butterfly: float
    calendar: float


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
        np.zeros((m, 2, MAX_COEFFICIENTS)),
        np.zeros(m, dtype=np.int64),
        np.zeros(m, dtype=np.int64),
        np.zeros(m),
        np.zeros(m),
    )


@kernel
def least_svi_variance(x: FloatArray) -> tuple[float, float]:
    """Return (k, w(k)) at the bottom of the slice: a + b sigma sqrt(1 - rho^2)."""
    y0, sigma, c, d, r0 = geometry(x)
    root = math.sqrt(x[3] * x[4])
    return -y0 - sigma * d / root, x[0] - d * y0 - c * r0 + sigma * root


@kernel
def find_minima(
    stage: int,
    svi: FloatArray,
    coefficients: FloatArray,
    knots: FloatArray,
    size: IntArray,
    scan: ScanGrid,
    margins: Margins,
    minima: Minima,
) -> tuple[float, float]:
    """Fill ``minima`` where a slice moves (size > 0); return the summed (butterfly, calendar) violations."""
    n = svi.shape[0]
    svi_stage = stage == SVI_STAGE
    butterfly_near = SVI_BUTTERFLY_NEAR if svi_stage else RESIDUAL_BUTTERFLY_NEAR
    calendar_near = SVI_CALENDAR_NEAR if svi_stage else RESIDUAL_CALENDAR_NEAR
    values = np.empty(scan.pair_k.shape[1])
    butterfly = 0.0
    calendar = 0.0
    for i in range(n):
        points = scan_durrleman(stage, i, svi[i], coefficients[i], int(knots[i, 3]), scan, values)
        minima.found[BUTTERFLY, i] = 0
        minima.found[CALENDAR, i] = 0
        if size[i] > 0:
            lowest = refined_minima(
                BUTTERFLY,
                svi,
                coefficients,
                knots,
                i,
                scan.k[i],
                values,
                points,
                butterfly_near,
                BUTTERFLY_SLACK,
                minima,
            )
            butterfly += max(0.0, margins.butterfly - lowest)
            if svi_stage:
                butterfly += max(0.0, LEAST_VARIANCE - least_svi_variance(svi[i])[1] / svi[i, 0])
        if i == 0 or (size[i] == 0 and size[i - 1] == 0):
            continue
        points = scan_ratio(stage, i, svi, coefficients, knots, scan, values)
        lowest = refined_minima(
            CALENDAR, svi, coefficients, knots, i, scan.pair_k[i], values, points, calendar_near, CALENDAR_SLACK, minima
        )
        if svi_stage:
            for p in range(3, 5):
                lowest = min(lowest, svi[i, p] / svi[i - 1, p] - 1.0)
        calendar += max(0.0, margins.calendar - lowest)
    return butterfly, calendar


@kernel
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


@kernel
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


@kernel
def clear_row(rows: Rows, m: int) -> None:
    """Set row ``m``'s gradients to zero."""
    for h in range(2):
        for p in range(MAX_COEFFICIENTS):
            rows.gradient[m, h, p] = 0.0


@kernel
def set_row(rows: Rows, m: int, i: int, kind: int, k: float, rhs: float) -> int:
    """Write a row's labels and right-hand side; return the next row."""
    rows.slice[m] = i
    rows.kind[m] = kind
    rows.k[m] = k
    rows.rhs[m] = rhs
    return m + 1


@kernel
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
    """Add g(k*) + dg/dp . step >= margin at each minimum k*; by the envelope theorem k* itself need not move."""
    shape = geometry(x)
    for j in range(minima.found[BUTTERFLY, i]):
        k = minima.k[BUTTERFLY, i, j]
        w, w1, _ = slice_point(x, shape, problem.knots[i], coefficients, k)
        on_w, on_w1, on_w2 = durrleman_gradient(k, w, w1)
        clear_row(rows, m)
        if point_gradient(stage, x, problem.knots[i], k, on_w, on_w1, on_w2, rows.gradient[m, 1]):
            m = set_row(rows, m, i, BUTTERFLY, k, margins.butterfly - minima.value[BUTTERFLY, i, j])
    return m


@kernel
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
        floor = 1e-9 * svi[i - 1, 0]
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


@kernel
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


@kernel
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
