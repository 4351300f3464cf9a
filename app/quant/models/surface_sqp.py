"""Sequential quadratic programming over a whole surface, with the no-arbitrage constraints as cutting planes.

Each iteration: Gauss-Newton blocks per slice, rows at the constraints' local minima, one quadratic program, and a
backtracking step on the exact-penalty merit f + nu_b butterfly + nu_c calendar (Nocedal and Wright 2006, chapter 18).
The best feasible iterate is kept, so a fit that has been feasible once ends feasible.
"""

from typing import Final, NamedTuple

import numpy as np

from app.quant.arrays import FloatArray, IntArray
from app.quant.compiled import kernel
from app.quant.models.constraint_rows import Rows, cut_rows
from app.quant.models.cutting_planes import FEASIBLE, Margins, find_minima
from app.quant.models.local_minima import BUTTERFLY, CALENDAR, Minima, empty_minima
from app.quant.models.packed_curve import MAX_COEFFICIENTS
from app.quant.models.quadratic_program import block_step
from app.quant.models.residual_withdrawal import withdraw
from app.quant.models.scan_grid import ScanGrid
from app.quant.models.surface_objective import (
    DERIVATIVES,
    INFINITE,
    SLOPE_MIN,
    SVI_STAGE,
    VALUE,
    SurfaceProblem,
    surface_objective,
)
from app.quant.models.svi_coordinates import clamp

BACKTRACK: Final = 0.4
BACKTRACKS: Final = 6
PENALTY_MAX: Final = 1e7
DAMPING_START: Final = 1e-3
DAMPING_MAX: Final = 1e6
LOG_CURVATURE_STEP: Final = 1.2
"""Largest change of ln w''(0) in one step."""


class SqpControls(NamedTuple):
    """How long and how hard one SQP works."""

    margins: Margins
    max_iterations: int
    tolerance: float
    """Relative change of the merit below which a feasible iterate has converged."""
    penalty: float
    """Start of the penalty weights; large ones look for feasibility first."""
    stop_when_feasible: bool


class Merit(NamedTuple):
    """A point as the line search sees it."""

    objective: float
    butterfly: float
    calendar: float
    """Summed violations of the two kinds of constraint."""


class SqpOutcome(NamedTuple):
    """Where one SQP ended."""

    iterations: int
    objective: float
    violation: float
    """Sum of constraint violations against the margins; feasible below FEASIBLE."""
    converged: bool
    rows: int
    """Constraint rows of the last quadratic program, with their multipliers in the arrays handed in."""


@kernel
def move(
    stage: int,
    problem: SurfaceProblem,
    size: IntArray,
    svi: FloatArray,
    coefficients: FloatArray,
    step: FloatArray,
    fraction: float,
    svi_out: FloatArray,
    coefficients_out: FloatArray,
) -> None:
    """Write the point at ``fraction`` of ``step``; SVI moves are limited and kept in the domain."""
    for i in range(size.shape[0]):
        if stage != SVI_STAGE:
            for r in range(size[i]):
                coefficients_out[i, r] = coefficients[i, r] + fraction * step[i, r]
            continue
        x = svi[i]
        out = svi_out[i]
        if size[i] == 0:
            continue
        out[0] = max(x[0] + fraction * step[i, 0], 0.3 * x[0])
        out[1] = x[1] + fraction * step[i, 1]
        out[2] = x[2] + min(max(fraction * step[i, 2], -LOG_CURVATURE_STEP), LOG_CURVATURE_STEP)
        for p in range(3, 5):
            out[p] = min(max(x[p] + fraction * step[i, p], 0.25 * x[p]), 4.0 * x[p])
        clamp(out, problem.slices[i, SLOPE_MIN])


@kernel
def copy_rows(source: FloatArray, target: FloatArray) -> None:
    """Copy a two-dimensional array over another of its shape."""
    for i in range(source.shape[0]):
        for j in range(source.shape[1]):
            target[i, j] = source[i, j]


@kernel
def raised_penalty(penalty: float, rows: Rows, multipliers: FloatArray, count: int, kind: int) -> float:
    """Return a penalty weight at least 1.5 times the largest multiplier of its kind of row."""
    for a in range(count):
        if (rows.kind[a] == CALENDAR) == (kind == CALENDAR):
            penalty = max(penalty, min(1.5 * multipliers[a], PENALTY_MAX))
    return penalty


@kernel
def weighed(merit: Merit, penalty_butterfly: float, penalty_calendar: float) -> float:
    """Return the exact-penalty merit."""
    return merit.objective + penalty_butterfly * merit.butterfly + penalty_calendar * merit.calendar


@kernel
def backtrack(
    stage: int,
    problem: SurfaceProblem,
    size: IntArray,
    svi: FloatArray,
    coefficients: FloatArray,
    step: FloatArray,
    scan: ScanGrid,
    margins: Margins,
    here: Merit,
    penalty_butterfly: float,
    penalty_calendar: float,
    trial_svi: FloatArray,
    trial_coefficients: FloatArray,
    trial_minima: Minima,
) -> tuple[Merit, float]:
    """Shorten ``step`` until the merit falls, or the violation falls a lot; return where that is and its fraction.

    Fraction 0 means that no length helped. The trial arrays hold the accepted point and its minima.
    """
    unused_h = np.empty((size.shape[0], 1, 1))
    unused_g = np.empty((size.shape[0], 1))
    violation = here.butterfly + here.calendar
    fraction = 1.0
    for _ in range(BACKTRACKS):
        move(stage, problem, size, svi, coefficients, step, fraction, trial_svi, trial_coefficients)
        objective = surface_objective(stage, problem, size, trial_svi, trial_coefficients, VALUE, unused_h, unused_g)
        if objective < INFINITE:
            butterfly, calendar = find_minima(
                stage, trial_svi, trial_coefficients, problem.knots, size, scan, margins, trial_minima
            )
            there = Merit(objective, butterfly, calendar)
            restores = (
                violation > FEASIBLE
                and butterfly + calendar < 0.3 * violation
                and objective < 3.0 * here.objective + 1.0
            )
            if restores or weighed(there, penalty_butterfly, penalty_calendar) < weighed(
                here, penalty_butterfly, penalty_calendar
            ):
                return there, fraction
        fraction *= BACKTRACK
    return here, 0.0


@kernel
def solve_surface(
    stage: int,
    problem: SurfaceProblem,
    size: IntArray,
    svi: FloatArray,
    coefficients: FloatArray,
    scan: ScanGrid,
    controls: SqpControls,
    rows: Rows,
    multipliers: FloatArray,
) -> SqpOutcome:
    """Improve ``svi`` (n, 5) or ``coefficients`` (n, MAX_COEFFICIENTS) in place.

    ``size[i]`` is the number of moving parameters of slice i, 0 for a frozen one.
    """
    n = size.shape[0]
    H = np.zeros((n, MAX_COEFFICIENTS, MAX_COEFFICIENTS))
    g = np.zeros((n, MAX_COEFFICIENTS))
    step = np.zeros((n, MAX_COEFFICIENTS))
    trial_svi = svi.copy()
    trial_coefficients = coefficients.copy()
    best_svi = svi.copy()
    best_coefficients = coefficients.copy()
    minima = empty_minima(n)
    trial_minima = empty_minima(n)
    margins = controls.margins
    damping = DAMPING_START if stage == SVI_STAGE else 0.0
    penalty_butterfly = controls.penalty
    penalty_calendar = controls.penalty
    best = INFINITE
    converged = False
    small = 0
    iterations = 0
    count = 0
    f = 0.0
    butterfly, calendar = find_minima(stage, svi, coefficients, problem.knots, size, scan, margins, minima)
    moved = True
    while iterations < controls.max_iterations:
        iterations += 1
        if moved:
            f = surface_objective(stage, problem, size, svi, coefficients, DERIVATIVES, H, g)
            if butterfly + calendar < FEASIBLE and f < best:
                best = f
                copy_rows(svi, best_svi)
                copy_rows(coefficients, best_coefficients)
                if controls.stop_when_feasible:
                    break
            count = cut_rows(stage, problem, svi, coefficients, size, minima, margins, rows)
        block_step(
            H, g, size, damping, rows.gradient[:count], rows.slice[:count], rows.rhs[:count], step, multipliers[:count]
        )
        penalty_butterfly = raised_penalty(penalty_butterfly, rows, multipliers, count, BUTTERFLY)
        penalty_calendar = raised_penalty(penalty_calendar, rows, multipliers, count, CALENDAR)
        here = Merit(f, butterfly, calendar)
        there, fraction = backtrack(
            stage,
            problem,
            size,
            svi,
            coefficients,
            step,
            scan,
            margins,
            here,
            penalty_butterfly,
            penalty_calendar,
            trial_svi,
            trial_coefficients,
            trial_minima,
        )
        moved = fraction > 0.0
        if not moved:
            damping = max(damping, 1e-5) * 10.0
            if damping > DAMPING_MAX:
                break
            continue
        copy_rows(trial_svi, svi)
        copy_rows(trial_coefficients, coefficients)
        minima, trial_minima = trial_minima, minima
        change = abs(
            weighed(here, penalty_butterfly, penalty_calendar) - weighed(there, penalty_butterfly, penalty_calendar)
        )
        f, butterfly, calendar = there.objective, there.butterfly, there.calendar
        if fraction == 1.0:
            damping = max(damping * 0.15, 1e-8)
        elif fraction < 0.3:
            damping = min(max(damping, 1e-5) * 3.0, 1e3)
        if change < controls.tolerance * (f + 1e-9) and butterfly + calendar < FEASIBLE:
            small += 1
            if small >= 2:
                converged = True
                break
        else:
            small = 0
    violation = butterfly + calendar
    if stage != SVI_STAGE and violation >= FEASIBLE:
        withdrawn = withdraw(problem, size, svi, coefficients, scan, margins, minima, trial_coefficients)
        if withdrawn < FEASIBLE:
            objective = surface_objective(stage, problem, size, svi, trial_coefficients, VALUE, H, g)
            if objective < best:
                copy_rows(trial_coefficients, coefficients)
                f, violation = objective, withdrawn
    if violation >= FEASIBLE and best < INFINITE:
        copy_rows(best_svi, svi)
        copy_rows(best_coefficients, coefficients)
        f = best
        violation, calendar = find_minima(stage, svi, coefficients, problem.knots, size, scan, margins, minima)
        violation += calendar
    return SqpOutcome(iterations, f, violation, converged, count)
