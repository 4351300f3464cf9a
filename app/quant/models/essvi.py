"""eSSVI for all expiries at once by a log-barrier Gauss-Newton that never leaves the arbitrage-free set.

Coordinates x = (theta_i, psi_i, e_i), e = rho psi, in which the conditions are linear or nearly so, with
q = (1 + CALENDAR_MARGIN): since w is homogeneous of degree one in (theta, psi, e), the calendar conditions between
q times slice i-1 and slice i prove w_i >= q w_{i-1} on the whole line.

    calendar    theta_i > q theta_{i-1},  psi_i - q psi_{i-1} > |e_i - q e_{i-1}|,  psi / theta falling
    butterfly   psi_i > |e_i|,  psi_i + |e_i| < 4,  psi_i^2 < F(theta_i, rho_i), exact (essvi_butterfly.py)

Sources: Hendriks and Martini 2019; Pasquazzi 2023 for the calendar conditions; Martini and Mingone 2022; Mingone 2022.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from app.quant.arrays import FloatArray
from app.quant.models.base import FitOptions, FitStatus, Objective, SliceState, SurfaceSolution
from app.quant.models.essvi_butterfly import butterfly_bounds
from app.quant.models.essvi_curve import EssviCurve, essvi_curve
from app.quant.models.quote_loss import POINTS, quote_weights
from app.quant.smile import Smile

CALENDAR_MARGIN: Final = 1e-4
"""Relative gap kept between neighbouring slices, far above rounding, far below a quote's noise."""
BUTTERFLY_MARGIN: Final = 1e-3
"""Relative slack kept in the butterfly conditions, for the same reason."""
PUBLISHED_DIGITS: Final = 12
"""Significant digits of a published parameter: 1e-12 is below every margin and every quote."""
PRIOR_NODES: Final = np.linspace(-1.5, 1.5, 9)
"""Where the previous smile is remembered, in standard deviations at the money."""

_START_SPREAD: Final = 6
"""Start variances rise by q^6 an expiry: enough for every calendar condition of the start to be strict."""
_FIRST_BARRIER: Final = 0.1
_BARRIER_DECAY: Final = 0.15
_LAST_BARRIER: Final = 1e-7
"""Barrier weights, relative to the objective a constraint."""
_NEWTON_STEPS: Final = 12
_SUFFICIENT_DECREASE: Final = 1e-4
_DAMPING: Final = 1e-9


class Essvi:
    """eSSVI surface model: three parameters an expiry, certified by construction, steady with few quotes."""

    name = "essvi"
    arbitrage_free = True
    min_quotes = 5

    def fit(self, smiles: Sequence[Smile], previous: Sequence[SliceState], options: FitOptions) -> SurfaceSolution:
        """Fit by least squares in vol, weights 1 / half-spread; ``previous`` enters as pseudo-quotes at its own vols.

        Three parameters miss far quotes by several spreads: weights of 1 / noise^2 would give those up altogether.
        """
        quotes = _Quotes(smiles, previous, options.prior_strength)
        x = _strictly_feasible_start(smiles)
        x, objective, iterations, converged = _barrier_path(x, quotes)
        return SurfaceSolution(
            curves=tuple(_published(row) for row in x.reshape(-1, 3)),
            status=FitStatus.CONVERGED if converged else FitStatus.MAX_ITERATIONS,
            iterations=iterations,
            objective=objective,
            warm=False,
        )

    def curve(self, parameters: Mapping[str, Any], *, t: float, forward: float) -> EssviCurve:  # noqa: ARG002
        """Return the published slice."""
        return essvi_curve(parameters)


class _Quotes:
    """Targets of all slices in one run of arrays: w at k, and the root of each weight over vol points in w."""

    def __init__(self, smiles: Sequence[Smile], previous: Sequence[SliceState], prior_strength: float) -> None:
        known = {state.expiry_ms: state for state in previous}
        k, target, weight, row = [], [], [], []
        for i, smile in enumerate(smiles):
            half_spread = 0.5 * POINTS * (smile.ask_vol - smile.bid_vol)
            emphasis, _, _ = quote_weights(Objective.MIX, half_spread, POINTS * smile.noise, np.array([0, len(smile)]))
            k.append(smile.k)
            target.append(smile.mid_vol**2 * smile.t)
            weight.append(np.sqrt(emphasis) * POINTS / (2.0 * smile.mid_vol * smile.t))
            row.append(np.full(len(smile), i))
            state = known.get(smile.expiry_ms)
            if state is None or prior_strength <= 0.0:
                continue
            at_money = np.sqrt(state.curve.total_variance(np.zeros(1))[0])
            nodes = PRIOR_NODES * at_money
            remembered = state.curve.total_variance(nodes) * (smile.t / state.t)
            share = np.sqrt(prior_strength * len(smile) / nodes.shape[0])
            k.append(nodes)
            target.append(remembered)
            weight.append(share * POINTS / (2.0 * np.sqrt(remembered * smile.t)))
            row.append(np.full(nodes.shape[0], i))
        self.k = np.concatenate(k)
        self.target = np.concatenate(target)
        self.weight = np.concatenate(weight)
        self.row = np.concatenate(row)
        self.starts = np.searchsorted(self.row, np.arange(len(smiles)))

    def objective(self, x: FloatArray) -> float:
        """Return half the sum of squared weighted residuals."""
        theta, psi, e = x.reshape(-1, 3)[self.row].T
        root = np.sqrt((psi * self.k) ** 2 + 2.0 * theta * e * self.k + theta * theta)
        residual = (0.5 * (theta + e * self.k + root) - self.target) * self.weight
        return 0.5 * float(residual @ residual)

    def normal_equations(self, x: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Return objective, gradient and Gauss-Newton Hessian (block diagonal, dense storage) in x."""
        theta, psi, e = x.reshape(-1, 3)[self.row].T
        k, weight = self.k, self.weight
        root = np.sqrt((psi * k) ** 2 + 2.0 * theta * e * k + theta * theta)
        residual = (0.5 * (theta + e * k + root) - self.target) * weight
        tilt = (theta + e * k) / root
        jacobian = np.stack([0.5 * (1.0 + tilt), 0.5 * psi * k * k / root, 0.5 * k * (1.0 + theta / root)]) * weight
        n = x.shape[0] // 3
        gradient = np.add.reduceat(jacobian * residual, self.starts, axis=1)
        hessian = np.zeros((n, 3, n, 3))
        slices = np.arange(n)
        for p in range(3):
            for m in range(p + 1):
                block = np.add.reduceat(jacobian[p] * jacobian[m], self.starts)
                hessian[slices, p, slices, m] = block
                hessian[slices, m, slices, p] = block
        return 0.5 * float(residual @ residual), gradient.T.ravel(), hessian.reshape(3 * n, 3 * n)


def constraint_values(x: FloatArray) -> FloatArray:
    """Return the values c(x), shape (m,); feasible where all are positive."""
    theta, psi, e = x.reshape(-1, 3).T
    values = [theta]
    for wing in (psi + e, psi - e):
        values += [wing, 4.0 * (1.0 - BUTTERFLY_MARGIN) - wing]
    values += [(1.0 - BUTTERFLY_MARGIN) * bound - psi * psi for bound, _, _ in butterfly_bounds(theta, e / psi)]
    q = 1.0 + CALENDAR_MARGIN
    rise, turn = psi[1:] - q * psi[:-1], e[1:] - q * e[:-1]
    values += [theta[1:] - q * theta[:-1], psi[:-1] * theta[1:] - psi[1:] * theta[:-1], rise - turn, rise + turn]
    return np.concatenate(values)


def constraint_jacobian(x: FloatArray) -> FloatArray:
    """Return the Jacobian of :func:`constraint_values`, shape (m, 3n)."""
    n = x.shape[0] // 3
    theta, psi, e = x.reshape(n, 3).T
    unit = np.eye(3 * n).reshape(n, 3, 3 * n)
    d_theta, d_psi, d_e = unit[:, 0], unit[:, 1], unit[:, 2]
    gradients = [d_theta]
    for d_wing in (d_psi + d_e, d_psi - d_e):
        gradients += [d_wing, -d_wing]
    rho = e / psi
    for _, bound_theta, bound_rho in (1.0 - BUTTERFLY_MARGIN) * butterfly_bounds(theta, rho):
        gradients.append(
            bound_theta[:, None] * d_theta
            - (2.0 * psi + bound_rho * rho / psi)[:, None] * d_psi
            + (bound_rho / psi)[:, None] * d_e
        )
    q = 1.0 + CALENDAR_MARGIN
    d_rise, d_turn = d_psi[1:] - q * d_psi[:-1], d_e[1:] - q * d_e[:-1]
    steepening = psi[:-1, None] * d_theta[1:] - psi[1:, None] * d_theta[:-1]
    gradients += [
        d_theta[1:] - q * d_theta[:-1],
        theta[1:, None] * d_psi[:-1] - theta[:-1, None] * d_psi[1:] + steepening,
        d_rise - d_turn,
        d_rise + d_turn,
    ]
    return np.concatenate(gradients)


def _strictly_feasible_start(smiles: Sequence[Smile]) -> FloatArray:
    """psi = sqrt(theta) / (2 + sqrt(theta) / 2), e = -psi / 2 over rising theta satisfies every constraint strictly."""
    rows = []
    theta = 0.0
    for smile in smiles:
        at_money = float(np.interp(0.0, smile.k, smile.mid_vol)) ** 2 * smile.t
        theta = max(at_money, theta * (1.0 + CALENDAR_MARGIN) ** _START_SPREAD)
        psi = np.sqrt(theta) / (2.0 + 0.5 * np.sqrt(theta))
        rows.append((theta, psi, -0.5 * psi))
    return np.array(rows).ravel()


def _barrier_path(x: FloatArray, quotes: _Quotes) -> tuple[FloatArray, float, int, bool]:
    """Follow the barrier's minimisers down to a negligible weight; every iterate stays strictly feasible."""
    count = constraint_values(x).shape[0]
    scale = max(quotes.objective(x), 1.0) / count
    barrier = _FIRST_BARRIER
    iterations = 0
    converged = False
    while barrier > _LAST_BARRIER:
        for _ in range(_NEWTON_STEPS):
            iterations += 1
            x, converged = _newton_step(x, quotes, barrier * scale)
            if converged:
                break
        barrier *= _BARRIER_DECAY
        scale = max(quotes.objective(x), 1.0) / count
    return x, quotes.objective(x), iterations, converged


def _newton_step(x: FloatArray, quotes: _Quotes, mu: float) -> tuple[FloatArray, bool]:
    """One damped step on objective - mu sum ln c; True when the decrease it promised is below the barrier's size."""
    objective, gradient, hessian = quotes.normal_equations(x)
    values = constraint_values(x)
    scaled = constraint_jacobian(x) / values[:, None]
    gradient = gradient - mu * scaled.sum(axis=0)
    hessian = hessian + mu * scaled.T @ scaled
    hessian[np.diag_indices_from(hessian)] *= 1.0 + _DAMPING
    step = -np.linalg.solve(hessian, gradient)
    promised = -float(gradient @ step)
    if promised < _SUFFICIENT_DECREASE * mu:
        return x, True
    merit = objective - mu * float(np.log(values).sum())
    length = 1.0
    while length > _DAMPING:
        moved = x + length * step
        values = constraint_values(moved)
        if (values > 0.0).all():
            reached = quotes.objective(moved) - mu * float(np.log(values).sum())
            if reached < merit - _SUFFICIENT_DECREASE * length * promised:
                return moved, False
        length *= 0.5
    return x, True


def _published(row: FloatArray) -> EssviCurve:
    theta, psi, e = row
    theta, rho, psi = (float(f"{v:.{PUBLISHED_DIGITS}g}") for v in (theta, e / psi, psi))
    return EssviCurve(theta, rho, psi)
