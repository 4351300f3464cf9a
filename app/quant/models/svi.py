"""Raw SVI for all expiries at once, free of butterfly and calendar arbitrage over the whole real line."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from app.quant.models.base import FitOptions, FitStatus, Objective, SliceState, SurfaceSolution
from app.quant.models.packed_curve import MAX_COEFFICIENTS
from app.quant.models.previous_slices import previous_slices
from app.quant.models.published_numbers import binding_constraints, published_curves
from app.quant.models.surface_quotes import SurfaceQuotes
from app.quant.models.svi_curve import SviCurve, svi_curve
from app.quant.models.svi_fit import fit_surface
from app.quant.smile import Smile


class Svi:
    """Joint SVI (Gatheral 2004) by sequential quadratic programming with exact cutting planes."""

    name = "svi"
    arbitrage_free = True
    min_quotes = 5

    def fit(self, smiles: Sequence[Smile], previous: Sequence[SliceState], options: FitOptions) -> SurfaceSolution:
        """Fit curves to ``smiles`` (expiries ascending), warm where ``previous`` knows at least half of them."""
        if not smiles:
            return SurfaceSolution((), FitStatus.INFEASIBLE, 0, 0.0, False)
        quotes = SurfaceQuotes(smiles)
        fit = fit_surface(quotes, previous_slices(smiles, previous), options.objective or Objective.MIX, options)
        n = len(smiles)
        return SurfaceSolution(
            curves=published_curves(fit.svi, np.zeros((n, 4)), np.zeros((n, MAX_COEFFICIENTS))),
            status=fit.status,
            iterations=fit.iterations,
            objective=fit.objective,
            warm=fit.warm,
            binding=binding_constraints(smiles, fit.rows, fit.multipliers, fit.row_count, fit.objective),
        )

    def curve(self, parameters: Mapping[str, Any], *, t: float, forward: float) -> SviCurve:  # noqa: ARG002
        """Return the curve that ``parameters()`` described. Raises InvalidParameters outside the domain."""
        return svi_curve(parameters)
