"""Sequential quadratic programming over a whole surface, with the no-arbitrage constraints as cutting planes.

Each iteration: Gauss-Newton blocks per slice, rows at the constraints' local minima, one quadratic program, and a
backtracking step on the exact-penalty merit f + nu_b butterfly + nu_c calendar (Nocedal and Wright 2006, chapter 18).
A feasible iterate from which the quadratic program promises next to nothing has converged, without another step.
The best feasible iterate is kept, so a fit that has been feasible once ends feasible.
"""

from typing import Final, NamedTuple

import numpy as np

from app.quant.arrays import FloatArray, IntArray
from app.quant.compiled import inner_kernel, kernel
from app.quant.models.constraint_rows import Rows, cut_rows
from app.quant.models.cutting_planes import FEASIBLE, Margins, find_minima
from app.quant.models.local_minima import empty_minima
from app.quant.models.merit_search import (
    Merit,
    Penalties,
    Place,
    backtrack,
    copy_place,
    copy_rows,
    penalised,
    raised_penalties,
    violation,
)
from app.quant.models.packed_curve import MAX_COEFFICIENTS, SUPPORT
from app.quant.models.quadratic_program import block_step
from app.quant.models.residual_withdrawal import withdraw
from app.quant.models.scan_grid import ScanGrid
from app.quant.models.surface_objective import surface_objective
from app.quant.models.surface_problem import DERIVATIVES, INFINITE, SVI_STAGE, VALUE, SurfaceProblem
from app.quant.models.svi_coordinates import SLICE_SIZE

DAMPING_START: Final = 1e-3
"""Start of the SVI stage; a step damped more than this is short for that reason and says nothing about convergence."""
DAMPING_MAX: Final = 1e6


class SqpControls(NamedTuple):
    """How long and how hard one SQP works."""

    margins: Margins
    max_iterations: int
    tolerance: float
    """Relative fall of the merit, promised once or found twice, below which a feasible iterate has converged."""
    penalty: float
    """Start of the penalty weights; large ones look for feasibility first."""
    stop_when_feasible: bool


class SqpOutcome(NamedTuple):
    """Where one SQP ended."""

    iterations: int
    objective: float
    violation: float
    """Sum of constraint violations against the margins; feasible below FEASIBLE."""
    converged: bool
    rows: int
    """Constraint rows of the last quadratic program, with their multipliers in the arrays handed in."""


@inner_kernel
def adapted_damping(damping: float, fraction: float) -> float:
    """Return the damping after a step of ``fraction``: less after a full one, more after a short one or none."""
    if fraction == 0.0:
        return max(damping, 1e-5) * 10.0
    if fraction == 1.0:
        return max(damping * 0.15, 1e-8)
    if fraction < 0.3:
        return min(max(damping, 1e-5) * 3.0, 1e3)
    return damping


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
    band = (SLICE_SIZE if stage == SVI_STAGE else SUPPORT) - 1
    H = np.zeros((n, MAX_COEFFICIENTS, MAX_COEFFICIENTS))
    g = np.zeros((n, MAX_COEFFICIENTS))
    step = np.zeros((n, MAX_COEFFICIENTS))
    here = Place(svi, coefficients)
    trial = Place(svi.copy(), coefficients.copy())
    best = Place(svi.copy(), coefficients.copy())
    lowest = Merit(INFINITE, INFINITE, INFINITE)
    minima, trial_minima = empty_minima(n), empty_minima(n)
    margins = controls.margins
    butterfly, calendar = find_minima(stage, svi, coefficients, problem.knots, size, scan, margins, minima)
    merit = Merit(0.0, butterfly, calendar)
    penalties = Penalties(controls.penalty, controls.penalty)
    damping = DAMPING_START if stage == SVI_STAGE else 0.0
    moved, converged = True, False
    iterations, count, small = 0, 0, 0
    while iterations < controls.max_iterations and not converged:
        iterations += 1
        if moved:
            f = surface_objective(stage, problem, size, svi, coefficients, DERIVATIVES, H, g)
            merit = Merit(f, merit.butterfly, merit.calendar)
            if violation(merit) < FEASIBLE and f < lowest.objective:
                lowest = merit
                copy_place(here, best)
                if controls.stop_when_feasible:
                    break
            count = cut_rows(stage, problem, svi, coefficients, size, minima, margins, rows)
        promised = block_step(
            H, g, size, band, damping, rows.gradient[:count], rows.slice[:count], rows.rhs[:count], step,
            multipliers[:count],
        )  # fmt: skip
        penalties = raised_penalties(penalties, rows, multipliers, count)
        enough = controls.tolerance * (merit.objective + 1e-9)
        if violation(merit) < FEASIBLE and damping <= DAMPING_START:
            converged = promised + penalised(merit, penalties) < enough
            if converged:
                break
        there, fraction = backtrack(
            stage, problem, size, here, merit, penalties, step, scan, margins, trial, trial_minima
        )
        moved = fraction > 0.0
        damping = adapted_damping(damping, fraction)
        if not moved:
            if damping > DAMPING_MAX:
                break
            continue
        change = abs(merit.objective + penalised(merit, penalties) - there.objective - penalised(there, penalties))
        copy_place(trial, here)
        minima, trial_minima = trial_minima, minima
        merit = there
        calm = change < controls.tolerance * (merit.objective + 1e-9) and violation(merit) < FEASIBLE
        small = small + 1 if calm else 0
        converged = small == 2
    if stage != SVI_STAGE and violation(merit) >= FEASIBLE:
        withdrawn = withdraw(problem, size, svi, coefficients, scan, margins, minima, trial.coefficients)
        f = surface_objective(stage, problem, size, svi, trial.coefficients, VALUE, H, g)
        if withdrawn < FEASIBLE and f < lowest.objective:
            copy_rows(trial.coefficients, best.coefficients)
            lowest = Merit(f, withdrawn, 0.0)
    if violation(merit) >= FEASIBLE and lowest.objective < INFINITE:
        copy_place(best, here)
        merit = lowest
    return SqpOutcome(iterations, merit.objective, violation(merit), converged, count)
