"""SVI with a compact spline residual: the default model. SVI gives level, skew and wings, the residual the rest."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from app.quant.arrays import FloatArray
from app.quant.models.base import FitOptions, FitStatus, Objective, SliceState, SurfaceSolution
from app.quant.models.cutting_planes import FEASIBLE
from app.quant.models.local_minima import empty_minima
from app.quant.models.packed_curve import MAX_COEFFICIENTS
from app.quant.models.previous_slices import previous_slices
from app.quant.models.published_numbers import binding_constraints, published_curves
from app.quant.models.residual_fit import carried_coefficients, fit_residual, residual_knots
from app.quant.models.residual_withdrawal import withdraw
from app.quant.models.scan_grid import PROOF_DENSITY, empty_scan, tabulate_scan
from app.quant.models.surface_problem import RESIDUAL_STAGE, SurfaceProblem
from app.quant.models.surface_quotes import SurfaceQuotes
from app.quant.models.svi_curve import SviCurve, svi_curve
from app.quant.models.svi_fit import HALF_MARGINS, fit_surface
from app.quant.models.temporal_prior import with_prior
from app.quant.smile import Smile

RESIDUAL_STEPS: Final = 25


class SviSpline:
    """Joint SVI, then on it cubic B-splines under the same constraints, within the quotes' bid-ask bands."""

    name = "svi_spline"
    arbitrage_free = True
    min_quotes = 5

    def fit(self, smiles: Sequence[Smile], previous: Sequence[SliceState], options: FitOptions) -> SurfaceSolution:
        """Fit curves to ``smiles`` (expiries ascending), warm where ``previous`` knows at least half of them."""
        if not smiles:
            return SurfaceSolution((), FitStatus.INFEASIBLE, 0, 0.0, False)
        quotes = SurfaceQuotes(smiles)
        known = previous_slices(smiles, previous)
        fit = fit_surface(quotes, known, options.objective or Objective.MIX, options)
        knots = residual_knots(fit.svi, quotes.k[quotes.offsets[:-1]], quotes.k[quotes.offsets[1:] - 1])
        problem = quotes.problem(options.objective or Objective.BAND)
        start = np.zeros((len(smiles), MAX_COEFFICIENTS))
        if fit.warm:
            problem = with_prior(problem, quotes.noise, known, True, options.prior_strength)
            start = carried_coefficients(knots, known.knots, known.coefficients)
        residual = fit_residual(problem, fit.svi, knots, start, RESIDUAL_STEPS)
        coefficients = residual.coefficients
        if fit.status is not FitStatus.CONVERGED:
            coefficients = without_hidden_arbitrage(problem._replace(knots=knots), fit.svi, coefficients)
        return SurfaceSolution(
            curves=published_curves(fit.svi, knots, coefficients),
            status=fit.status,
            iterations=fit.iterations + residual.iterations,
            objective=residual.outcome.objective,
            warm=fit.warm,
            binding=binding_constraints(
                smiles, residual.rows, residual.multipliers, residual.outcome.rows, residual.outcome.objective
            ),
        )

    def curve(self, parameters: Mapping[str, Any], *, t: float, forward: float) -> SviCurve:  # noqa: ARG002
        """Return the curve that ``parameters()`` described. Raises InvalidParameters outside the domain."""
        return svi_curve(parameters)


def without_hidden_arbitrage(problem: SurfaceProblem, svi: FloatArray, coefficients: FloatArray) -> FloatArray:
    """Return ``coefficients`` (n, MAX_COEFFICIENTS), withdrawn if half a margin is broken between a fit's scan points.

    For quotes that SVI itself found hard: slices that touch everywhere, which a residual can cross in a narrow place.
    """
    n = svi.shape[0]
    size = problem.knots[:, 3].astype(np.int64)
    scan, minima = empty_scan(n, RESIDUAL_STAGE, PROOF_DENSITY), empty_minima(n)
    tabulate_scan(svi, problem.knots, scan)
    withdrawn = np.empty_like(coefficients)
    broken = withdraw(problem, size, svi, coefficients, scan, HALF_MARGINS, minima, withdrawn)
    return withdrawn if broken < FEASIBLE else np.zeros_like(coefficients)
