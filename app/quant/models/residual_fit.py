"""The spline residual on a frozen SVI surface: what the quotes say beyond five numbers a slice."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from app.quant.arrays import FloatArray
from app.quant.compiled import kernel
from app.quant.models.constraint_rows import Rows, empty_rows
from app.quant.models.cutting_planes import FEASIBLE, MARGIN_BUTTERFLY, MARGIN_CALENDAR, Margins
from app.quant.models.packed_curve import MAX_COEFFICIENTS, SUPPORT
from app.quant.models.quote_loss import POINTS
from app.quant.models.residual_objective import tabulate_quotes
from app.quant.models.scan_grid import empty_scan, tabulate_scan
from app.quant.models.surface_problem import INVERSE_T, RESIDUAL_STAGE, RIDGE, SurfaceProblem
from app.quant.models.surface_sqp import SqpControls, SqpOutcome, solve_surface

SCALE: Final = 1.2
"""Where the knots turn from linear to logarithmic, in units of sqrt(w(0)): strikes thin out from about there."""
SPACING: Final = 0.25
"""Knot distance in asinh(k / scale): 0.3 standard deviations at the money and a quarter of the distance far out."""
RIDGE_WEIGHT: Final = 0.03
"""Price of squared coefficients, in squared vol points at the money: a little less than one mid's pull, so that a mid
out of line with its neighbours is believed by half. BTC quotes held out ask for twice as much, ETH quotes for half."""
TOLERANCE: Final = 1e-4
PATIENT_ITERATIONS: Final = 150
"""For a fit that has not converged: dozens of index expiries that touch each other at every strike need some 60."""


@dataclass(slots=True)
class ResidualFit:
    """The residual stage's result: ``coefficients`` (n, MAX_COEFFICIENTS) on ``knots`` (n, 4)."""

    knots: FloatArray
    coefficients: FloatArray
    rows: Rows
    multipliers: FloatArray
    outcome: SqpOutcome
    iterations: int
    """Of all passes; ``outcome`` is that of the last."""


@kernel
def residual_knots(svi: FloatArray, lowest: FloatArray, highest: FloatArray) -> FloatArray:
    """Return (scale, spacing, first, count) per slice: splines over the quoted range, wider apart where it is long."""
    knots = np.empty((svi.shape[0], 4))
    for i in range(svi.shape[0]):
        scale = SCALE * math.sqrt(svi[i, 0])
        left = math.asinh(lowest[i] / scale)
        right = math.asinh(highest[i] / scale)
        spacing = max(SPACING, (right - left) / (MAX_COEFFICIENTS - 3))
        first = math.floor(left / spacing)
        knots[i, 0] = scale
        knots[i, 1] = spacing
        knots[i, 2] = first
        knots[i, 3] = math.ceil(right / spacing) - first + 1
    return knots


@kernel
def carried_coefficients(knots: FloatArray, old_knots: FloatArray, old: FloatArray) -> FloatArray:
    """Return previous coefficients on the new knots: the residual moves with sqrt(w(0)).

    Read off the line through the old coefficients at their knots, which are close to the residual there, and zero
    beyond; where only the range has changed they are the old ones.
    """
    carried = np.zeros_like(old)
    for i in range(knots.shape[0]):
        count = int(old_knots[i, 3])
        for j in range(int(knots[i, 3])):
            place = knots[i, 1] / old_knots[i, 1] * (knots[i, 2] + j) - old_knots[i, 2] if count > 0 else -1.0
            below = math.floor(place)
            if 0 <= below < count:
                carried[i, j] += (below + 1 - place) * old[i, int(below)]
            if 0 <= below + 1 < count:
                carried[i, j] += (place - below) * old[i, int(below) + 1]
    return carried


def residual_problem(problem: SurfaceProblem, svi: FloatArray, knots: FloatArray) -> SurfaceProblem:
    """Return the SVI stage's ``problem`` with the residual's splines at the quotes and its regularisation."""
    problem = problem._replace(
        slices=problem.slices.copy(),
        knots=knots,
        plain=np.empty(problem.quotes.shape[1]),
        basis=np.empty((problem.quotes.shape[1], SUPPORT)),
        first=np.empty(problem.quotes.shape[1], dtype=np.int64),
    )
    # The square of what a coefficient at the money moves a vol by, in points.
    money = (0.5 * POINTS) ** 2 * svi[:, 0] * problem.slices[:, INVERSE_T]
    problem.slices[:, RIDGE] = RIDGE_WEIGHT * money
    tabulate_quotes(problem, svi)
    return problem


def fit_residual(
    problem: SurfaceProblem, svi: FloatArray, knots: FloatArray, start: FloatArray, max_iterations: int
) -> ResidualFit:
    """Fit coefficients to ``problem``'s quotes with ``svi`` (n, 5), free of arbitrage itself, held fixed.

    A fit that has not converged goes on with more patience, from zero where it is infeasible; without any feasible
    step the residual is zero.
    """
    n = svi.shape[0]
    problem = residual_problem(problem, svi, knots)
    scan = empty_scan(n, RESIDUAL_STAGE)
    tabulate_scan(svi, knots, scan)
    rows = empty_rows(n)
    multipliers = np.zeros(rows.rhs.shape[0])
    size = knots[:, 3].astype(np.int64)
    coefficients = start.copy()
    outcome, spent = SqpOutcome(0, 0.0, 0.0, True, 0), 0
    for iterations in (max_iterations, PATIENT_ITERATIONS):
        controls = SqpControls(Margins(MARGIN_BUTTERFLY, MARGIN_CALENDAR), iterations, TOLERANCE, 1.0, False)
        outcome = solve_surface(RESIDUAL_STAGE, problem, size, svi, coefficients, scan, controls, rows, multipliers)
        spent += outcome.iterations
        if outcome.converged:
            break
        if outcome.violation >= FEASIBLE:
            coefficients = np.zeros_like(start)
    return ResidualFit(knots, coefficients, rows, multipliers, outcome, spent)
