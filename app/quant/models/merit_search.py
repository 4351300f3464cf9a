"""The line search of an SQP step over a surface, on the exact-penalty merit f + nu_b butterfly + nu_c calendar."""

from typing import Final, NamedTuple

import numpy as np

from app.quant.arrays import FloatArray, IntArray
from app.quant.compiled import inner_kernel
from app.quant.models.constraint_rows import Rows
from app.quant.models.cutting_planes import FEASIBLE, Margins, find_minima
from app.quant.models.local_minima import CALENDAR, Minima
from app.quant.models.scan_grid import ScanGrid
from app.quant.models.surface_objective import surface_objective
from app.quant.models.surface_problem import INFINITE, SLOPE_MIN, SVI_STAGE, VALUE, SurfaceProblem
from app.quant.models.svi_coordinates import clamp

BACKTRACK: Final = 0.4
BACKTRACKS: Final = 6
PENALTY_MAX: Final = 1e7
LOG_CURVATURE_STEP: Final = 1.2
"""Largest change of ln w''(0) in one step."""


class Place(NamedTuple):
    """The numbers of a surface: ``svi`` (n, 5) and ``coefficients`` (n, MAX_COEFFICIENTS)."""

    svi: FloatArray
    coefficients: FloatArray


class Merit(NamedTuple):
    """A place as the line search sees it."""

    objective: float
    butterfly: float
    calendar: float
    """Summed violations of the two kinds of constraint."""


class Penalties(NamedTuple):
    """What a unit of violation of each kind costs."""

    butterfly: float
    calendar: float


@inner_kernel
def violation(merit: Merit) -> float:
    """Return the summed violations of both kinds."""
    return merit.butterfly + merit.calendar


@inner_kernel
def penalised(merit: Merit, penalties: Penalties) -> float:
    """Return what the violations cost."""
    return penalties.butterfly * merit.butterfly + penalties.calendar * merit.calendar


@inner_kernel
def raised_penalties(penalties: Penalties, rows: Rows, multipliers: FloatArray, count: int) -> Penalties:
    """Return penalties of at least 1.5 times the largest multiplier of their kind of row."""
    butterfly, calendar = penalties.butterfly, penalties.calendar
    for a in range(count):
        price = min(1.5 * multipliers[a], PENALTY_MAX)
        if rows.kind[a] == CALENDAR:
            calendar = max(calendar, price)
        else:
            butterfly = max(butterfly, price)
    return Penalties(butterfly, calendar)


@inner_kernel
def copy_rows(source: FloatArray, target: FloatArray) -> None:
    """Copy a two-dimensional array over another of its shape."""
    for i in range(source.shape[0]):
        for j in range(source.shape[1]):
            target[i, j] = source[i, j]


@inner_kernel
def copy_place(source: Place, target: Place) -> None:
    """Copy a place's numbers over another's."""
    copy_rows(source.svi, target.svi)
    copy_rows(source.coefficients, target.coefficients)


@inner_kernel
def move(
    stage: int, problem: SurfaceProblem, size: IntArray, here: Place, step: FloatArray, fraction: float, there: Place
) -> None:
    """Write the place at ``fraction`` of ``step``; SVI moves are limited and kept in the domain."""
    for i in range(size.shape[0]):
        if stage != SVI_STAGE:
            for r in range(size[i]):
                there.coefficients[i, r] = here.coefficients[i, r] + fraction * step[i, r]
            continue
        x = here.svi[i]
        out = there.svi[i]
        if size[i] == 0:
            continue
        out[0] = max(x[0] + fraction * step[i, 0], 0.3 * x[0])
        out[1] = x[1] + fraction * step[i, 1]
        out[2] = x[2] + min(max(fraction * step[i, 2], -LOG_CURVATURE_STEP), LOG_CURVATURE_STEP)
        for p in range(3, 5):
            out[p] = min(max(x[p] + fraction * step[i, p], 0.25 * x[p]), 4.0 * x[p])
        clamp(out, problem.slices[i, SLOPE_MIN])


@inner_kernel
def backtrack(
    stage: int,
    problem: SurfaceProblem,
    size: IntArray,
    here: Place,
    merit: Merit,
    penalties: Penalties,
    step: FloatArray,
    scan: ScanGrid,
    margins: Margins,
    trial: Place,
    trial_minima: Minima,
) -> tuple[Merit, float]:
    """Shorten ``step`` until the merit falls, or the violation falls a lot; return where that is and its fraction.

    Fraction 0 means that no length helped. The trial holds the accepted place and its minima.
    """
    unused_h = np.empty((size.shape[0], 1, 1))
    unused_g = np.empty((size.shape[0], 1))
    worst = violation(merit)
    limit = merit.objective + penalised(merit, penalties)
    fraction = 1.0
    for _ in range(BACKTRACKS):
        move(stage, problem, size, here, step, fraction, trial)
        f = surface_objective(stage, problem, size, trial.svi, trial.coefficients, VALUE, unused_h, unused_g)
        if f < INFINITE:
            butterfly, calendar = find_minima(
                stage, trial.svi, trial.coefficients, problem.knots, size, scan, margins, trial_minima
            )
            there = Merit(f, butterfly, calendar)
            restores = worst > FEASIBLE and violation(there) < 0.3 * worst and f < 3.0 * merit.objective + 1.0
            if restores or f + penalised(there, penalties) < limit:
                return there, fraction
        fraction *= BACKTRACK
    return merit, 0.0
