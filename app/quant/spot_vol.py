"""How the level of vol follows the forward: its beta, and the skew stickiness ratio.

    beta   d vol_ATM = beta d ln F
    ratio  d vol_ATM = R (d vol/dk at the money, before) d ln F

both at a constant tenor, regressions through the origin with weights that die away. R is 1 where each strike keeps its
vol, 0 where each moneyness does, 2 in the short limit of diffusive stochastic volatility (Bergomi, Stochastic
Volatility Modeling, 2016, section 9.1). Huber's weights (Robust Statistics, 1981) bound what one residual says, and
the standard error is the jackknife's: an estimate that rests on one move is as unsure as it becomes without it.

The ratio is shrunk: combined by inverse variance with the prior 1.2 +- 0.4. Where the smile is flat the data say less
than the prior, and then no ratio is given; beta remains.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from app.quant.arrays import FloatArray
from app.quant.correlation import (
    LEAST_OBSERVATIONS,
    ROUNDING,
    decaying_weights,
    effective_observations,
    sampling_error,
    weighted_correlation,
)

RATIO_PRIOR: Final = 1.2
RATIO_PRIOR_SD: Final = 0.4
"""Around sticky strike, reaching to the short limit of diffusive models within two."""
MOST_PRIOR: Final = 0.5
"""Share of the prior beyond which a ratio would be an assumption."""
HUBER: Final = 1.345
"""Robust deviations beyond which a residual counts less: 95 % efficient for normal ones."""
REWEIGHTINGS: Final = 20


@dataclass(frozen=True, slots=True)
class SpotVol:
    """Estimates with their standard errors, None with a ``reason`` where the data do not tell.

    ``beta`` is vol per unit of ln F; ``ratio_prior_share`` the weight of the prior in ``ratio``; ``correlation`` that
    of the changes of ln F and vol, not shrunk.
    """

    observations: int
    effective: float
    beta: float | None = None
    beta_sd: float | None = None
    correlation: float | None = None
    correlation_sd: float | None = None
    ratio: float | None = None
    ratio_sd: float | None = None
    ratio_prior_share: float | None = None
    reason: str | None = None


def spot_vol(
    forward: FloatArray, level: FloatArray, smile_slope: FloatArray, age: FloatArray, half_life: float
) -> SpotVol:
    """Estimate from changes of ln F and of vol at the money and the smile's slope before each, all (n,), NaN missing.

    Weights halve with each ``half_life`` of ``age`` (n).
    """
    known = np.isfinite(forward) & np.isfinite(level)
    if not known.any():
        return SpotVol(0, 0.0, reason="no change of forward and level is known")
    weights = decaying_weights(age[known], half_life)
    n, effective = int(known.sum()), effective_observations(weights)
    x, y, slope = forward[known], level[known], smile_slope[known]
    moves = int(min(np.count_nonzero(x), np.count_nonzero(y)))
    if min(effective, moves) < LEAST_OBSERVATIONS:
        few = f"{n} changes, {moves} with a move, worth {effective:.1f} of equal weight"
        return SpotVol(n, effective, reason=f"{few}: at least {LEAST_OBSERVATIONS} are needed")
    beta, beta_sd = robust_slope(x, y, weights)
    pair = np.column_stack([x, y])
    value = weighted_correlation(pair, weights)
    correlation, correlation_sd = float(value[0, 1]), float(sampling_error(pair, weights, value)[0, 1])
    measured = SpotVol(n, effective, beta, beta_sd, correlation, correlation_sd)
    return _with_ratio(measured, slope * x, y, weights)


def robust_slope(x: FloatArray, y: FloatArray, weights: FloatArray) -> tuple[float, float]:
    """Return the slope of y = slope x through the origin, with Huber's weights, and its jackknife standard error.

    Several of ``x`` (n,) are not 0.
    """
    largest = float(np.abs(x).max())
    scaled = x / largest  # before squaring, so that no scale underflows
    weight = weights
    slope = _slope(scaled, y, weight)
    for _ in range(REWEIGHTINGS):
        residual = np.abs(y - slope * scaled)
        bound = HUBER * float(np.median(residual)) / 0.6745
        if bound == 0.0:  # half of them lie on the line already
            break
        weight = weights * np.minimum(1.0, bound / np.maximum(residual, bound))
        slope = _slope(scaled, y, weight)
    total = float(weight @ scaled**2)
    others = np.maximum(total - weight * scaled**2, ROUNDING * total)
    moved = weight * scaled * (y - slope * scaled) / others
    return slope / largest, float(np.sqrt(moved @ moved)) / largest


def _slope(x: FloatArray, y: FloatArray, weight: FloatArray) -> float:
    return float((weight * x) @ y / (weight @ x**2))


def _with_ratio(measured: SpotVol, x: FloatArray, y: FloatArray, weights: FloatArray) -> SpotVol:
    known = np.isfinite(x)
    moves = int(np.count_nonzero(x[known]))
    if moves < LEAST_OBSERVATIONS:
        reason = f"the smile's slope is known at {moves} moves: a ratio needs at least {LEAST_OBSERVATIONS}"
        return replace(measured, reason=reason)
    ratio, sd = robust_slope(x[known], y[known], weights[known])
    variance, prior = sd**2, RATIO_PRIOR_SD**2
    share = variance / (variance + prior)
    if share > MOST_PRIOR:
        reason = f"the data know the ratio to {sd:.2g} only, less than the prior's {RATIO_PRIOR_SD:g}: use beta"
        return replace(measured, ratio_prior_share=share, reason=reason)
    return replace(
        measured,
        ratio=(1.0 - share) * ratio + share * RATIO_PRIOR,
        ratio_sd=float(np.sqrt(share * prior)),
        ratio_prior_share=share,
    )
