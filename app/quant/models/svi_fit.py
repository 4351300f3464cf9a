"""The joint arbitrage-free SVI fit: cold, warm, and what to do when no feasible point is found at once."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from app.quant.arrays import FloatArray
from app.quant.models.base import FitOptions, FitStatus, Objective
from app.quant.models.constraint_rows import Rows, empty_rows
from app.quant.models.cutting_planes import FEASIBLE, MARGIN_BUTTERFLY, MARGIN_CALENDAR, Margins
from app.quant.models.hidden_arbitrage import hidden_violation
from app.quant.models.packed_curve import MAX_COEFFICIENTS
from app.quant.models.previous_slices import PreviousSlices
from app.quant.models.scan_grid import FIT_DENSITY, PROOF_DENSITY, empty_scan, scan_template
from app.quant.models.shape_prior import pull_shapes, release_shapes
from app.quant.models.surface_problem import SVI_STAGE, SurfaceProblem, window
from app.quant.models.surface_quotes import SurfaceQuotes
from app.quant.models.surface_sqp import SqpControls, SqpOutcome, solve_surface
from app.quant.models.svi_coordinates import SLICE_SIZE
from app.quant.models.svi_start import aged_start, essvi_starts, replace_invalid, slice_starts, ssvi_starts
from app.quant.models.temporal_prior import with_prior
from app.quant.smile import Smile

MARGINS: Final = Margins(MARGIN_BUTTERFLY, MARGIN_CALENDAR)
HALF_MARGINS: Final = Margins(0.5 * MARGIN_BUTTERFLY, 0.5 * MARGIN_CALENDAR)
DOUBLE_MARGINS: Final = Margins(2.0 * MARGIN_BUTTERFLY, 2.0 * MARGIN_CALENDAR)
TOLERANCE: Final = 1e-6
"""Tight, because what SVI leaves undecided along a touching pair decides how much room the residual finds there."""
ROUGH_TOLERANCE: Final = 1e-3
SLICE_STEPS: Final = 100
"""SQP iterations a slice gets in a backward sweep, where the fit of all at once did not converge."""
RESTORATION_STEPS: Final = 60
FALLBACK_STEPS: Final = 200
WARM_ITERATIONS: Final = 16
WARM_TOLERANCE: Final = 1e-4
"""Looser than a cold fit's: the next chain is minutes away and starts from here."""
FEASIBILITY_FIRST: Final = 1e7
"""Penalty at which the misfit no longer matters."""


@dataclass(slots=True)
class SviFit:
    """The joint fit's working state: ``svi`` (n, 5) is improved in place."""

    smiles: Sequence[Smile]
    problem: SurfaceProblem
    svi: FloatArray
    rows: Rows
    multipliers: FloatArray
    iterations: int = 0
    outcome: SqpOutcome | None = None
    fell_back: bool = False
    density: int = FIT_DENSITY
    warm: bool = False

    @classmethod
    def of(cls, smiles: Sequence[Smile], problem: SurfaceProblem) -> "SviFit":
        """Return the state of a fit that has not started."""
        n = problem.slices.shape[0]
        rows = empty_rows(n)
        return cls(smiles, problem, np.zeros((n, SLICE_SIZE)), rows, np.zeros(rows.rhs.shape[0]))

    def is_feasible(self) -> bool:
        """Tell whether the surface as it stands is free of arbitrage with its margins."""
        return self.violation < FEASIBLE

    @property
    def violation(self) -> float:
        """How much is violated where the fit stands, against its margins."""
        return self.outcome.violation if self.outcome is not None else math.inf

    @property
    def objective(self) -> float:
        """The objective where the fit stands."""
        return self.outcome.objective if self.outcome is not None else 0.0

    @property
    def row_count(self) -> int:
        """Rows of the last quadratic program."""
        return self.outcome.rows if self.outcome is not None else 0

    @property
    def status(self) -> FitStatus:
        """Say how the fit ended."""
        if self.outcome is None or not self.is_feasible():
            return FitStatus.INFEASIBLE
        if self.fell_back:
            return FitStatus.FALLBACK
        return FitStatus.CONVERGED if self.outcome.converged else FitStatus.MAX_ITERATIONS

    def joint(
        self,
        iterations: int,
        *,
        margins: Margins = MARGINS,
        penalty: float = 1.0,
        tolerance: float = TOLERANCE,
        stop_when_feasible: bool = False,
    ) -> None:
        """Run the SQP over all slices."""
        n = len(self.svi)
        self.outcome = solve_surface(
            SVI_STAGE,
            self.problem,
            np.full(n, SLICE_SIZE, dtype=np.int64),
            self.svi,
            np.zeros((n, MAX_COEFFICIENTS)),
            empty_scan(n, SVI_STAGE, self.density),
            SqpControls(margins, iterations, tolerance, penalty, stop_when_feasible),
            self.rows,
            self.multipliers,
        )
        self.iterations += self.outcome.iterations

    def sweep(self, iterations: int, *, backward: bool, penalty: float = 1.0) -> None:
        """Fit the slices one by one with their neighbours frozen.

        Backward: from the last expiry on, under the next later slice only. Forward: from the first, between both.
        """
        n = len(self.svi)
        scan = empty_scan(3, SVI_STAGE, self.density)
        controls = SqpControls(MARGINS, iterations, ROUGH_TOLERANCE, penalty, False)
        for i in reversed(range(n)) if backward else range(n):
            first, last = i if backward else max(i - 1, 0), min(i + 2, n)
            size = np.zeros(last - first, dtype=np.int64)
            size[i - first] = SLICE_SIZE
            outcome = solve_surface(
                SVI_STAGE,
                window(self.problem, first, last),
                size,
                self.svi[first:last],
                np.zeros((last - first, MAX_COEFFICIENTS)),
                scan,
                controls,
                self.rows,
                self.multipliers,
            )
            self.iterations += outcome.iterations


def recheck(fit: SviFit, max_iterations: int) -> None:
    """Scan a feasible fit once more, densely; where that finds arbitrage between scan points, fit on with that scan."""
    if not fit.is_feasible() or hidden_violation(fit.svi, *scan_template(PROOF_DENSITY), HALF_MARGINS) == 0.0:
        return
    fit.density = PROOF_DENSITY
    fit.joint(max_iterations)
    restore(fit, max_iterations)


def start_from_quotes(fit: SviFit) -> None:
    """Start every slice from its own quotes."""
    slice_starts(fit.problem, fit.svi)
    replace_invalid(fit.problem, fit.svi)
    pull_shapes(fit.problem, fit.svi)


def fit_cold(fit: SviFit, max_iterations: int) -> SviFit:
    """Fit from the quotes alone, all slices at once.

    Where that does not converge, the slices are swept backward before they are fitted at once again. A surface is not
    convex in its slices, so neither start is always the better one: the fit goes on from where less is violated, or,
    both being feasible, from the lower objective.
    """
    start_from_quotes(fit)
    fit.joint(max_iterations)
    if fit.status is not FitStatus.CONVERGED:
        swept = SviFit.of(fit.smiles, fit.problem)
        start_from_quotes(swept)
        swept.sweep(SLICE_STEPS, backward=True)
        swept.joint(max_iterations)
        spent = fit.iterations + swept.iterations
        fit = min(fit, swept, key=lambda f: (max(f.violation, FEASIBLE), f.objective))
        fit.iterations = spent
        restore(fit, max_iterations)
    recheck(fit, max_iterations)
    return fit


def restore(fit: SviFit, max_iterations: int) -> None:
    """Bring an infeasible fit to a feasible point: feasibility first, a forward sweep, from eSSVI on, SSVI itself."""
    if fit.is_feasible():
        return
    fit.joint(RESTORATION_STEPS, margins=DOUBLE_MARGINS, penalty=FEASIBILITY_FIRST, stop_when_feasible=True)
    fit.joint(max_iterations)
    if fit.is_feasible():
        return
    fit.sweep(25, backward=False, penalty=1e3)
    fit.joint(RESTORATION_STEPS, penalty=1e3)
    if fit.is_feasible():
        return
    essvi_starts(fit.smiles, fit.svi)
    release_shapes(fit.problem)
    fit.joint(FALLBACK_STEPS)
    if fit.is_feasible():
        return
    ssvi_starts(fit.problem, -1, fit.svi)
    fit.fell_back = True
    fit.joint(FALLBACK_STEPS)


def fit_surface(
    quotes: SurfaceQuotes,
    known: PreviousSlices,
    objective: Objective,
    options: FitOptions,
) -> SviFit:
    """Fit the SVI stage: warm when at least half of the expiries are known, cold otherwise or when warm fails."""
    fit = SviFit.of(quotes.smiles, quotes.problem(objective))
    if 2 * known.matches >= len(quotes):
        fit.problem = with_prior(fit.problem, quotes.noise, known, False, options.prior_strength)
        fit_warm(fit, known, min(options.max_iterations, WARM_ITERATIONS))
        if fit.is_feasible():
            return fit
        fit = SviFit.of(quotes.smiles, quotes.problem(objective))
    return fit_cold(fit, options.max_iterations)


def fit_warm(fit: SviFit, known: PreviousSlices, max_iterations: int) -> None:
    """Fit from the previous surface moved to the new t; expiries it did not have start from their own quotes."""
    if known.matches < len(fit.svi):
        slice_starts(fit.problem, fit.svi)
    aged_start(known.raw, known.ratio, fit.svi, known.kept)
    replace_invalid(fit.problem, fit.svi)
    pull_shapes(fit.problem, fit.svi)
    fit.warm = True
    fit.joint(max_iterations, tolerance=WARM_TOLERANCE)
    recheck(fit, max_iterations)
