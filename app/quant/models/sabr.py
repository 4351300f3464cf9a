"""SABR slice by slice: three parameters an expiry, fast and familiar, without a promise about arbitrage."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from app.quant.arrays import FloatArray
from app.quant.errors import InvalidParameters
from app.quant.models.base import FitOptions, FitStatus, Objective, SliceState, SurfaceSolution
from app.quant.models.quote_loss import loss_kind
from app.quant.models.sabr_curve import SabrCurve, curve_numbers, sabr_curve
from app.quant.models.sabr_memory import with_memory
from app.quant.models.sabr_slice import fit_slices
from app.quant.models.sabr_start import parabola_starts
from app.quant.models.surface_quotes import SurfaceQuotes
from app.quant.smile import Smile

DEFAULT_OBJECTIVE: Final = Objective.MIX
BETA_STEPS: Final = 12
"""Golden-section steps for a free beta: to 0.003, finer than any smile tells it."""
GOLDEN: Final = 0.6180339887498949


class Sabr:
    """Hagan's lognormal SABR with ``beta`` in [0, 1], or None to fit one beta to all expiries.

    beta = 1 suits underlyings without a floor near the money and needs no other: beta and rho trade off (Bartlett
    2006). Raises InvalidParameters for a beta outside [0, 1].
    """

    name = "sabr"
    arbitrage_free = False
    min_quotes = 5

    def __init__(self, beta: float | None = 1.0) -> None:
        if beta is not None and not 0.0 <= beta <= 1.0:
            raise InvalidParameters(f"SABR needs 0 <= beta <= 1, got {beta}")
        self._beta = beta

    def fit(self, smiles: Sequence[Smile], previous: Sequence[SliceState], options: FitOptions) -> SurfaceSolution:
        """Fit each smile by itself; ``previous`` starts the fit and enters as pseudo-quotes at its own vols."""
        targets = _Targets(smiles, previous, options)
        if self._beta is None:
            return _best_beta(targets)
        return targets.solve(self._beta)

    def curve(self, parameters: Mapping[str, Any], *, t: float, forward: float) -> SabrCurve:
        """Return the published slice."""
        return sabr_curve(parameters, t=t, forward=forward)


class _Targets:
    """What the slices are fitted to, in the arrays of sabr_slice.py, and where the fits start."""

    def __init__(self, smiles: Sequence[Smile], previous: Sequence[SliceState], options: FitOptions) -> None:
        known = {state.expiry_ms: state for state in previous}
        self._known = [known.get(smile.expiry_ms) for smile in smiles]
        objective = options.objective or DEFAULT_OBJECTIVE
        self._kind = loss_kind(objective)
        self._steps = options.max_iterations
        quotes = SurfaceQuotes(smiles)
        self._t = quotes.t
        self._forward: FloatArray = np.array([smile.forward for smile in smiles])
        self._own_offsets, self._own_quotes = quotes.offsets, quotes.weighed(objective)
        self._offsets, self._quotes = with_memory(
            self._own_offsets, self._own_quotes, self._known, options.prior_strength
        )

    def solve(self, beta: float) -> SurfaceSolution:
        """Return the fit at a fixed beta."""
        x, found = np.empty((2, len(self._known), 3))
        parabola_starts(self._own_offsets, self._own_quotes, self._t, beta, x)
        remembered = {i: curve for i, state in enumerate(self._known) if (curve := _remembered(state, beta))}
        for i, curve in remembered.items():
            x[i] = math.log(curve.level), math.log(curve.nu), math.atanh(curve.rho)
        fit_slices(self._kind, self._offsets, self._quotes, self._t, beta, x, self._steps, found)
        objectives, iterations, settled = found.T.tolist()
        objective = sum(objectives)
        numbers = curve_numbers(x, beta, self._t, self._forward).tolist()
        # Where a misfit is finite, Hagan's formula gave it at these very numbers: they need no second look.
        curve_of = SabrCurve._make if math.isfinite(objective) else _checked
        return SurfaceSolution(
            curves=tuple(map(curve_of, numbers)),
            status=FitStatus.CONVERGED if all(settled) else FitStatus.MAX_ITERATIONS,
            iterations=int(max(iterations)),
            objective=objective,
            warm=len(remembered) == len(x),
        )


def _remembered(state: SliceState | None, beta: float) -> SabrCurve | None:
    """Return the previous curve where a fit at this beta can start from it."""
    if state is not None and isinstance(state.curve, SabrCurve) and state.curve.beta == beta:
        return state.curve
    return None


def _checked(numbers: Sequence[float]) -> SabrCurve:
    return SabrCurve(*numbers)


def _best_beta(targets: _Targets) -> SurfaceSolution:
    """Return the best fit over beta in [0, 1] by golden-section search on the summed objective."""
    low, high = 0.0, 1.0
    best = targets.solve(high)
    for _ in range(BETA_STEPS):
        reach = GOLDEN * (high - low)
        left, right = targets.solve(high - reach), targets.solve(low + reach)
        low, high = (high - reach, high) if left.objective > right.objective else (low, low + reach)
        best = min(best, left, right, key=lambda solution: solution.objective)
    return best
