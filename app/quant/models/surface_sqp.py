"""Sequential quadratic programming over a whole surface, with the no-arbitrage constraints as cutting planes.

Each iteration: Gauss-Newton blocks per slice, rows at the constraints' local minima, one quadratic program, and a
backtracking step on an exact-penalty merit (merit_search.py; Nocedal and Wright 2006, chapter 18). A feasible iterate
from which the quadratic program promises next to nothing has converged, without another step. The best feasible iterate
is kept for a fit that ends infeasible: one that has been feasible once ends feasible.
"""

from typing import Final, NamedTuple

import numpy as np

from app.quant.arrays import FloatArray, IntArray
from app.quant.compiled import ZERO, inner_kernel, kernel
from app.quant.models.constraint_rows import Rows, cut_rows, keep_binding
from app.quant.models.cutting_planes import FEASIBLE, Margins
from app.quant.models.merit_search import Merit, backtrack, penalty, raise_weights
from app.quant.models.packed_curve import MAX_COEFFICIENTS, SUPPORT
from app.quant.models.quadratic_program import block_step
from app.quant.models.residual_withdrawal import withdraw
from app.quant.models.scan_grid import ScanGrid
from app.quant.models.surface_objective import surface_objective
from app.quant.models.surface_problem import DERIVATIVES, INFINITE, SVI_STAGE, SurfaceProblem
from app.quant.models.surface_program import Place, SurfaceProgram, copy_numbers, misfit_at, new_place, violation_at
from app.quant.models.svi_coordinates import SLICE_SIZE

DAMPING_START: Final = 1e-3
"""Start of the SVI stage; a step damped more than this is short for that reason and says nothing about convergence."""
DAMPING_MAX: Final = 1e6
CALM_STEPS: Final = 2
"""Steps in a row that change next to nothing before an iterate counts as converged."""


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


@inner_kernel
def next_step(
    program: SurfaceProgram,
    H: FloatArray,
    g: FloatArray,
    damping: float,
    rows: Rows,
    count: int,
    step: FloatArray,
    multipliers: FloatArray,
) -> float:
    """Write the step of the quadratic program with the first ``count`` rows; return the fall it promises."""
    band = (SLICE_SIZE if program.stage == SVI_STAGE else SUPPORT) - 1
    gradient, of_slice, rhs = rows.gradient[:count], rows.slice[:count], rows.rhs[:count]
    return block_step(H, g, program.size, band, damping, gradient, of_slice, rhs, step, multipliers[:count])


@inner_kernel
def withdrawn(program: SurfaceProgram, here: Place, out: Place) -> Merit:
    """Write the largest feasible share of a residual that ended infeasible; return its merit, infinite without one."""
    left = withdraw(
        program.problem,
        program.size,
        here.svi,
        here.coefficients,
        program.scan,
        program.margins,
        out.minima,
        out.coefficients,
    )
    return Merit(misfit_at(program, out), left) if left < FEASIBLE else Merit(INFINITE, left)


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
    H, g = np.zeros((n, MAX_COEFFICIENTS, MAX_COEFFICIENTS)), np.zeros((n, MAX_COEFFICIENTS))
    step, weights = np.zeros((n, MAX_COEFFICIENTS)), np.full((2, n), controls.penalty)
    program = SurfaceProgram(stage, problem, size, scan, controls.margins)
    here, trial = new_place(svi, coefficients), new_place(svi, coefficients)
    best, lowest = Place(svi, coefficients, trial.minima), INFINITE
    merit = Merit(INFINITE, violation_at(program, here))
    damping = DAMPING_START if stage == SVI_STAGE else 0.0
    iterations, count, small, moved = 0, ZERO, 0, True
    while iterations < controls.max_iterations and small < CALM_STEPS:
        iterations += 1
        if moved:
            f = surface_objective(stage, problem, size, here.svi, here.coefficients, DERIVATIVES, H, g)
            merit = Merit(f, merit.violation)
            if merit.violation < FEASIBLE and f < lowest:
                lowest = f
                copy_numbers(here, best)
                if controls.stop_when_feasible:
                    break
            keep_binding(problem, here.svi, here.coefficients, rows, multipliers, count, here.minima)
            count = cut_rows(stage, problem, here.svi, here.coefficients, size, here.minima, controls.margins, rows)
        promised = next_step(program, H, g, damping, rows, count, step, multipliers)
        raise_weights(stage, weights, rows, multipliers, count)
        cost = penalty(weights, here.minima)
        enough = controls.tolerance * (merit.objective + 1e-9)
        if merit.violation < FEASIBLE and damping <= DAMPING_START and promised + cost < enough:
            small = CALM_STEPS
            break
        there, fraction = backtrack(program, here, merit, weights, step, trial)
        damping = adapted_damping(damping, fraction)
        moved = fraction > 0.0
        if moved:
            change = abs(merit.objective + cost - there.objective - penalty(weights, trial.minima))
            here, trial, merit = trial, here, there
            small = small + 1 if change < enough and merit.violation < FEASIBLE else 0
        elif damping > DAMPING_MAX:
            break
    if stage != SVI_STAGE and merit.violation >= FEASIBLE:
        shorter = withdrawn(program, here, trial)
        if shorter.objective < lowest:
            here, merit, lowest = trial, shorter, INFINITE
    if merit.violation >= FEASIBLE and lowest < INFINITE:
        return SqpOutcome(iterations, lowest, 0.0, small == CALM_STEPS, count)
    copy_numbers(here, best)
    return SqpOutcome(iterations, merit.objective, merit.violation, small == CALM_STEPS, count)
