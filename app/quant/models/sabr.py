"""SABR slice by slice: three parameters an expiry, fast and familiar, without a promise about arbitrage."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from app.quant.arrays import FloatArray
from app.quant.errors import InvalidParameters
from app.quant.models.base import FitOptions, FitStatus, Objective, SliceState, SurfaceSolution
from app.quant.models.quote_loss import POINTS, QUOTE_ROWS, UNBOUNDED_SCALE, K, loss_kind, quote_weights
from app.quant.models.sabr_curve import SabrCurve, sabr_curve
from app.quant.models.sabr_slice import HIGHEST, LOWEST, ROWS, SHRINK, TILT, fit_slice
from app.quant.smile import Smile

DEFAULT_OBJECTIVE: Final = Objective.MIX
PRIOR_NODES: Final = np.linspace(-1.5, 1.5, 9)
"""Where the previous smile is remembered, in standard deviations at the money."""
BETA_STEPS: Final = 12
"""Golden-section steps for a free beta: to 0.003, finer than any smile tells it."""
GOLDEN: Final = 0.6180339887498949
START_NU: Final = 0.1
"""Least vol of vol a fit starts from: at zero neither nu nor rho moves a vol."""
START_RHO: Final = 0.9
"""Largest |rho| a fit starts from."""


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
        objective = options.objective or DEFAULT_OBJECTIVE
        known = {state.expiry_ms: state for state in previous}
        self._smiles = smiles
        self._known = [known.get(smile.expiry_ms) for smile in smiles]
        self._kind = loss_kind(objective)
        self._steps = options.max_iterations
        self._quotes = [
            _slice_quotes(smile, state, objective, options.prior_strength)
            for smile, state in zip(smiles, self._known, strict=True)
        ]

    def solve(self, beta: float) -> SurfaceSolution:
        """Return the fit at a fixed beta."""
        curves, objectives, iterations, converged = [], [], [], []
        for smile, state, quotes in zip(self._smiles, self._known, self._quotes, strict=True):
            bk2 = ((1.0 - beta) * quotes[K]) ** 2
            quotes[TILT] = np.exp(-0.5 * (1.0 - beta) * quotes[K])
            quotes[SHRINK] = 1.0 / (1.0 + bk2 / 24.0 + bk2 * bk2 / 1920.0)
            x = np.clip(_start(smile, state, beta), LOWEST, HIGHEST)
            objective, count, settled = fit_slice(self._kind, quotes, smile.t, beta, x, self._steps)
            curves.append(_curve(x, beta, smile))
            objectives.append(objective)
            iterations.append(count)
            converged.append(settled)
        return SurfaceSolution(
            curves=tuple(curves),
            status=FitStatus.CONVERGED if all(converged) else FitStatus.MAX_ITERATIONS,
            iterations=max(iterations),
            objective=sum(objectives),
            warm=all(_remembered(state, beta) is not None for state in self._known),
        )


def _slice_quotes(smile: Smile, state: SliceState | None, objective: Objective, prior_strength: float) -> FloatArray:
    """Return the rows of sabr_slice.py for the quotes of one slice and, after them, for the previous smile's vols.

    Those that depend on beta are left to be filled. The memory weighs prior_strength times the quotes, whatever their
    number.
    """
    n = len(smile)
    half_spread = (0.5 * POINTS) * (smile.ask_vol - smile.bid_vol)
    weights = quote_weights(objective, half_spread, POINTS * smile.noise, np.array([0, n], dtype=np.int64))
    quotes = np.stack([smile.k, POINTS * smile.mid_vol, *weights])
    if state is None or prior_strength <= 0.0:
        return np.concatenate([quotes, np.empty((ROWS - QUOTE_ROWS, n))])
    at_money = np.sqrt(state.curve.total_variance(np.zeros(1)))
    nodes = PRIOR_NODES * at_money
    remembered = POINTS * np.sqrt(state.curve.total_variance(nodes) / state.t)
    same = np.ones(nodes.shape)
    weight = prior_strength * float(weights[0].sum()) / nodes.shape[0]
    memory = np.stack([nodes, remembered, weight * same, 0.0 * same, UNBOUNDED_SCALE * same])
    both = np.concatenate([quotes, memory], axis=1)
    return np.concatenate([both, np.empty((ROWS - QUOTE_ROWS, both.shape[1]))])


def _remembered(state: SliceState | None, beta: float) -> SabrCurve | None:
    """Return the previous curve where a fit at this beta can start from it."""
    if state is not None and isinstance(state.curve, SabrCurve) and state.curve.beta == beta:
        return state.curve
    return None


def _start(smile: Smile, state: SliceState | None, beta: float) -> tuple[float, float, float]:
    """Return x of the previous fit, or from level c0, slope c1 and curvature c2 of a parabola through the vols.

    To second order in k, vol = level (1 + ...) with slope (rho nu - b level) / 2 and, for b = 0, curvature
    (2 - 3 rho^2) nu^2 / (12 level), hence nu^2 = 6 level c2 + 6 (slope + b level / 2)^2 (Hagan et al. 2002, eq. 3.1).
    """
    curve = _remembered(state, beta)
    if curve is not None:
        level, nu, rho = curve.level, curve.nu, curve.rho
    else:
        deviation = float(np.interp(0.0, smile.k, smile.mid_vol)) * np.sqrt(smile.t)
        taper = 1.0 / (1.0 + (smile.k / deviation) ** 2)
        c2, c1, c0 = np.polyfit(smile.k / deviation, smile.mid_vol, 2, w=taper)
        slope, curvature = c1 / deviation, c2 / deviation**2
        level = max(float(c0), 0.5 * deviation / np.sqrt(smile.t))
        half_skew = slope + 0.5 * (1.0 - beta) * level
        nu = np.sqrt(max(6.0 * level * curvature + 6.0 * half_skew**2, START_NU**2))
        rho = float(np.clip(2.0 * half_skew / nu, -START_RHO, START_RHO))
    return np.log(level), np.log(nu), np.arctanh(rho)


def _curve(x: FloatArray, beta: float, smile: Smile) -> SabrCurve:
    level, nu = np.exp(x[:2])
    alpha = float(level * smile.forward ** (1.0 - beta))
    return SabrCurve(alpha, beta, float(np.tanh(x[2])), float(nu), smile.t, smile.forward)


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
