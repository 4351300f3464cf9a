"""Put-call parity as a line: D (F - K) against K, fitted robustly and held inside the bid-ask cone."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from app.quant.arrays import FloatArray, IntArray
from app.quant.compiled import inner_kernel, kernel

HUBER_C: Final = 1.345
"""Residuals beyond this many sds lose weight: 95 % efficient on Gaussian noise (Huber 1981)."""
MAX_REWEIGHTINGS: Final = 50
REWEIGHTING_TOLERANCE: Final = 1e-13
"""Relative change of the forward at which reweighting has nothing left to change."""
MIN_PAIRS: Final = 2
"""A line needs two strikes, even where the prior fixes its slope: one pair is one quote's word."""


@dataclass(frozen=True, slots=True, eq=False)
class ParityLines:
    """One fitted line an expiry; arrays of one length, NaN where there is none.

    ``cone_low`` and ``cone_high`` bound the forward by what could be traded at the quotes that were kept;
    ``pairs`` counts them. ``slope`` is D as the prices alone tell it, whatever the prior.
    """

    discount_factor: FloatArray
    forward: FloatArray
    discount_factor_sd: FloatArray
    forward_sd: FloatArray
    cone_low: FloatArray
    cone_high: FloatArray
    pairs: IntArray
    slope: FloatArray
    slope_sd: FloatArray


@inner_kernel
def huber_line(
    strike: FloatArray, difference: FloatArray, sd: FloatArray, keep: FloatArray, prior: float, prior_sd: float
) -> tuple[float, float, float, float]:
    """Return (D, F, var D, var F) of difference = D (F - strike) + noise of the given sd, where ``keep`` is 1.

    Least squares around the weighted mean strike, reweighted by min(1, c/|r|); D ~ N(prior, prior_sd^2) is one
    ridge row, prior_sd = 0 fixes D, infinity leaves it free. The variances are scaled up, never down, by the
    weighted mean square of the residuals. F is NaN where D comes out not positive.
    """
    n = strike.shape[0]
    weight = np.empty(n)
    ridge = 0.0 if prior_sd <= 0.0 else 1.0 / (prior_sd * prior_sd)
    discount, forward, previous = prior, np.nan, np.nan
    total, spread, level, chi2, count = 0.0, 0.0, 0.0, 0.0, 0.0
    for turn in range(MAX_REWEIGHTINGS + 1):
        total, first, level, count = 0.0, 0.0, 0.0, 0.0
        for j in range(n):
            r = 0.0 if turn == 0 else abs(difference[j] - discount * (forward - strike[j])) / sd[j]
            weight[j] = keep[j] * (HUBER_C / r if r > HUBER_C else 1.0) / (sd[j] * sd[j])
            total += weight[j]
            first += weight[j] * strike[j]
            level += weight[j] * difference[j]
            count += keep[j]
        centre, level = first / total, level / total
        spread, slope = ridge, ridge * prior
        for j in range(n):
            x = strike[j] - centre
            spread += weight[j] * x * x
            slope -= weight[j] * x * (difference[j] - level)
        discount = prior if prior_sd <= 0.0 else slope / spread
        if not discount > 0.0:
            return discount, np.nan, np.nan, np.nan
        forward = centre + level / discount
        if abs(forward - previous) <= REWEIGHTING_TOLERANCE * abs(forward):
            break
        previous = forward
    for j in range(n):
        chi2 += weight[j] * (difference[j] - discount * (forward - strike[j])) ** 2
    scale = max(1.0, chi2 / max(count - 2.0, 1.0))
    discount_var = scale / spread if prior_sd > 0.0 else 0.0
    offset = level / (discount * discount)
    return discount, forward, discount_var, scale / (total * discount * discount) + offset * offset * discount_var


@inner_kernel
def open_cone(
    strike: FloatArray, low: FloatArray, high: FloatArray, keep: FloatArray, discount: float, forward: float
) -> tuple[float, float]:
    """Return (max, min) of the bounds strike + low/D and strike + high/D on the forward, once they leave it room.

    Until they do, of the two strikes that shut the cone the one whose bound lies further beyond ``forward``, the
    robust fit, has its ``keep`` set to 0: two wrong strikes that agree with each other are then no safer than one.
    """
    while True:
        lowest, highest, floor, ceiling = 0, 0, -np.inf, np.inf
        for j in range(strike.shape[0]):
            if keep[j] == 0.0:
                continue
            if strike[j] + low[j] / discount > floor:
                lowest, floor = j, strike[j] + low[j] / discount
            if strike[j] + high[j] / discount < ceiling:
                highest, ceiling = j, strike[j] + high[j] / discount
        if floor <= ceiling:
            return floor, ceiling
        keep[lowest if floor - forward > forward - ceiling else highest] = 0.0


@inner_kernel
def doubt(
    strike: FloatArray, low: FloatArray, high: FloatArray, keep: FloatArray, discount: float, forward: float
) -> float:
    """Return how far beyond ``forward`` the bounds lie of the furthest strike that may have been dropped wrongly.

    It may where no more of the kept strikes contradict it than were dropped: which of two books is the wrong one, wide
    ones between which both have room do not say. 0 where none may.
    """
    dropped, furthest = 0, 0.0
    for j in range(strike.shape[0]):
        dropped += keep[j] == 0.0
    for j in range(strike.shape[0]):
        if keep[j] != 0.0:
            continue
        floor, ceiling = strike[j] + low[j] / discount, strike[j] + high[j] / discount
        against = 0
        for i in range(strike.shape[0]):
            apart = strike[i] + low[i] / discount > ceiling or strike[i] + high[i] / discount < floor
            against += keep[i] != 0.0 and apart
        if against <= dropped:
            furthest = max(furthest, floor - forward, forward - ceiling)
    return furthest


@kernel
def _fit_lines(
    start: IntArray,
    strike: FloatArray,
    low: FloatArray,
    high: FloatArray,
    middle: FloatArray,
    sd: FloatArray,
    prior: FloatArray,
    prior_sd: FloatArray,
    out: FloatArray,
) -> None:
    """Fit each segment into a row of ``out``: free slope, line, cone at its D, line again on the strikes it keeps.

    The variance of the forward has in it what is in doubt about the strikes that were dropped.
    """
    keep = np.ones(strike.shape[0])
    for e in range(start.shape[0] - 1):
        k, y, s, kept = (
            strike[start[e] : start[e + 1]],
            middle[start[e] : start[e + 1]],
            sd[start[e] : start[e + 1]],
            keep[start[e] : start[e + 1]],
        )
        pairs = k.shape[0]
        if pairs < MIN_PAIRS:
            continue
        free = huber_line(k, y, s, kept, prior[e], np.inf)
        out[e, 7], out[e, 8] = free[0], free[2]
        line = huber_line(k, y, s, kept, prior[e], prior_sd[e])
        if not line[1] > 0.0:
            continue
        bounds = low[start[e] : start[e + 1]], high[start[e] : start[e + 1]]
        cone = open_cone(k, bounds[0], bounds[1], kept, line[0], line[1])
        pairs = 0
        for j in range(k.shape[0]):
            pairs += kept[j] > 0.0
        if pairs < MIN_PAIRS:
            continue
        if pairs < k.shape[0]:
            line = huber_line(k, y, s, kept, prior[e], prior_sd[e])
        if not line[1] > 0.0:
            continue
        out[e, 6] = pairs
        # Every forward is positive: bounds that reach below that are of prices which bound nothing.
        if not cone[0] > 0.0:
            continue
        out[e, 0], out[e, 1], out[e, 2], out[e, 3] = line
        out[e, 3] += doubt(k, bounds[0], bounds[1], kept, line[0], line[1]) ** 2
        out[e, 4], out[e, 5] = cone


def parity_lines(
    start: IntArray,
    strike: FloatArray,
    low: FloatArray,
    high: FloatArray,
    *,
    half_spreads_per_sd: float,
    discount_prior: FloatArray,
    discount_prior_sd: FloatArray,
) -> ParityLines:
    """Fit C - P = D (F - K) for each segment ``start[e]:start[e+1]`` of the paired strikes.

    ``low`` = C_bid - P_ask and ``high`` = C_ask - P_bid bound the difference; its sd is half their distance over
    ``half_spreads_per_sd``. Units are the caller's; the forward comes out in those of ``strike``.
    """
    out = np.full((start.size - 1, 9), np.nan)
    out[:, 6] = 0.0
    middle, sd = 0.5 * (low + high), 0.5 * (high - low) / half_spreads_per_sd
    _fit_lines(start, strike, low, high, middle, sd, discount_prior, discount_prior_sd, out)
    discount, forward, discount_var, forward_var, cone_low, cone_high, pairs, slope, slope_var = out.T
    return ParityLines(
        discount,
        forward,
        np.sqrt(discount_var),
        np.sqrt(forward_var),
        cone_low,
        cone_high,
        pairs.astype(np.int64),
        slope,
        np.sqrt(slope_var),
    )
