"""The line search of an SQP step over a surface, on the exact-penalty merit f + sum of weight times violation.

Every slice and every pair of a residual has its own weight: a constraint with a huge multiplier, say where a residual
fades out, must not make the whole surface pay for the last digit of all others.
"""

from typing import Final, NamedTuple

from app.quant.arrays import FloatArray, IntArray
from app.quant.compiled import inner_kernel
from app.quant.models.constraint_rows import Rows
from app.quant.models.cutting_planes import FEASIBLE
from app.quant.models.local_minima import BUTTERFLY, CALENDAR, Minima
from app.quant.models.surface_problem import INFINITE, SLOPE_MIN, SVI_STAGE, SurfaceProblem
from app.quant.models.surface_program import Place, SurfaceProgram, misfit_at, violation_at
from app.quant.models.svi_coordinates import clamp

BACKTRACK: Final = 0.4
BACKTRACKS: Final = 6
WEIGHT_RAISE: Final = 1.5
"""Weights stay this many times above the multipliers; at 1 a step need not lower the merit."""
WEIGHT_MAX: Final = 1e7
LOG_CURVATURE_STEP: Final = 1.2
"""Largest change of ln w''(0) in one step."""
LEAST_LEVEL: Final = 0.3
"""Share of w(0) that a step leaves at least."""
MOST_SLOPE: Final = 4.0
"""Factor by which a step changes a wing's slope at most."""
RESTORED: Final = 0.3
"""A step that leaves no more than this share of the violation is taken though the merit rises, ..."""
MOST_MISFIT: Final = 3.0
"""... while the misfit becomes at most so many times what it was, and a squared vol point."""


class Merit(NamedTuple):
    """A place as the line search sees it."""

    objective: float
    violation: float
    """Sum of the violations of all constraints."""


@inner_kernel
def penalty(weights: FloatArray, minima: Minima) -> float:
    """Return what the violations cost; ``weights`` (2, n) by kind and slice."""
    cost = 0.0
    for kind in range(weights.shape[0]):
        for i in range(weights.shape[1]):
            cost += weights[kind, i] * minima.violation[kind, i]
    return cost


@inner_kernel
def raise_weights(stage: int, weights: FloatArray, rows: Rows, multipliers: FloatArray, count: int) -> None:
    """Raise the weights to WEIGHT_RAISE times the largest multiplier of their slice, with SVI of any slice.

    With SVI, whose constraints curve, a high weight everywhere is what gets a far start to a feasible point.
    """
    for a in range(count):
        kind, i = CALENDAR if rows.kind[a] == CALENDAR else BUTTERFLY, rows.slice[a]
        weights[kind, i] = max(weights[kind, i], min(WEIGHT_RAISE * multipliers[a], WEIGHT_MAX))
    if stage == SVI_STAGE:
        for kind in range(weights.shape[0]):
            highest = 0.0
            for i in range(weights.shape[1]):
                highest = max(highest, weights[kind, i])
            for i in range(weights.shape[1]):
                weights[kind, i] = highest


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
        out[0] = max(x[0] + fraction * step[i, 0], LEAST_LEVEL * x[0])
        out[1] = x[1] + fraction * step[i, 1]
        out[2] = x[2] + min(max(fraction * step[i, 2], -LOG_CURVATURE_STEP), LOG_CURVATURE_STEP)
        for p in range(3, 5):
            out[p] = min(max(x[p] + fraction * step[i, p], x[p] / MOST_SLOPE), MOST_SLOPE * x[p])
        clamp(out, problem.slices[i, SLOPE_MIN])


@inner_kernel
def backtrack(
    program: SurfaceProgram, here: Place, merit: Merit, weights: FloatArray, step: FloatArray, trial: Place
) -> tuple[Merit, float]:
    """Shorten ``step`` until the merit falls, or the violation falls a lot; return where that is and its fraction.

    Fraction 0 means that no length helped. The trial holds the accepted place and its minima.
    """
    limit = merit.objective + penalty(weights, here.minima)
    fraction = 1.0
    for _ in range(BACKTRACKS):
        move(program.stage, program.problem, program.size, here, step, fraction, trial)
        f = misfit_at(program, trial)
        if f < INFINITE:
            there = Merit(f, violation_at(program, trial))
            restores = there.violation < RESTORED * merit.violation and f < MOST_MISFIT * merit.objective + 1.0
            if (restores and merit.violation > FEASIBLE) or f + penalty(weights, trial.minima) < limit:
                return there, fraction
        fraction *= BACKTRACK
    return merit, 0.0
