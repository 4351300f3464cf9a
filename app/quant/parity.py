"""Put-call parity as a line: D (F - K) against K, fitted robustly and held inside the bid-ask cone."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from app.quant.arrays import FloatArray, IntArray
from app.quant.compiled import kernel

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
    ``pairs`` counts them.
    """

    discount_factor: FloatArray
    forward: FloatArray
    discount_factor_sd: FloatArray
    forward_sd: FloatArray
    cone_low: FloatArray
    cone_high: FloatArray
    pairs: IntArray


@kernel
def huber_line(
    strike: FloatArray, difference: FloatArray, sd: FloatArray, prior: float, prior_sd: float
) -> tuple[float, float, float, float]:
    """Return (D, F, var D, var F) of difference = D (F - strike) + noise of the given sd.

    Least squares around the weighted mean strike, reweighted by min(1, c/|r|); D ~ N(prior, prior_sd^2) is one
    ridge row, prior_sd = 0 fixes D, infinity leaves it free. The variances are scaled up, never down, by the
    weighted mean square of the residuals. F is NaN where D comes out not positive.
    """
    n = strike.shape[0]
    weight = 1.0 / (sd * sd)
    ridge = 0.0 if prior_sd <= 0.0 else 1.0 / (prior_sd * prior_sd)
    discount, forward, previous = prior, np.nan, np.nan
    total, spread, level = 0.0, 0.0, 0.0
    for _ in range(MAX_REWEIGHTINGS + 1):
        total = weight.sum()
        centre = (weight * strike).sum() / total
        level = (weight * difference).sum() / total
        spread = ridge
        if prior_sd > 0.0:
            slope = ridge * prior
            for j in range(n):
                x = strike[j] - centre
                spread += weight[j] * x * x
                slope -= weight[j] * x * (difference[j] - level)
            discount = slope / spread
        if not discount > 0.0:
            return discount, np.nan, np.nan, np.nan
        forward = centre + level / discount
        if abs(forward - previous) <= REWEIGHTING_TOLERANCE * abs(forward):
            break
        previous = forward
        for j in range(n):
            r = abs(difference[j] - discount * (forward - strike[j])) / sd[j]
            weight[j] = min(1.0, HUBER_C / r if r > 0.0 else 1.0) / (sd[j] * sd[j])
    chi2 = 0.0
    for j in range(n):
        chi2 += weight[j] * (difference[j] - discount * (forward - strike[j])) ** 2
    scale = max(1.0, chi2 / max(n - 2, 1))
    discount_var = scale / spread if prior_sd > 0.0 else 0.0
    forward_var = scale / total / discount**2 + (level / discount**2) ** 2 * discount_var
    return discount, forward, discount_var, forward_var


@kernel
def open_cone(low: FloatArray, high: FloatArray, forward: float) -> tuple[float, float, FloatArray]:
    """Return (max low, min high, keep) after removing strikes until max low <= min high.

    Of the two strikes that shut the cone, the one whose bound lies further beyond ``forward``, the robust fit, goes:
    two wrong strikes that agree with each other are then no safer than one.
    """
    keep = np.ones(low.shape[0])
    while True:
        lowest, highest = -1, -1
        for j in range(low.shape[0]):
            if keep[j] > 0.0:
                lowest = j if lowest < 0 or low[j] > low[lowest] else lowest
                highest = j if highest < 0 or high[j] < high[highest] else highest
        if low[lowest] <= high[highest]:
            return low[lowest], high[highest], keep
        keep[lowest if low[lowest] - forward > forward - high[highest] else highest] = 0.0


@kernel
def _fit_lines(
    start: IntArray,
    strike: FloatArray,
    low: FloatArray,
    high: FloatArray,
    spreads_per_sd: float,
    prior: FloatArray,
    prior_sd: FloatArray,
) -> FloatArray:
    """Fit each segment: line, cone at its D, line again on the strikes the cone keeps."""
    out = np.full((start.shape[0] - 1, 7), np.nan)
    out[:, 6] = 0.0
    for e in range(start.shape[0] - 1):
        begin, end = start[e], start[e + 1]
        if end - begin < MIN_PAIRS:
            continue
        k, bid, ask = strike[begin:end], low[begin:end], high[begin:end]
        middle, sd = 0.5 * (bid + ask), 0.5 * (ask - bid) / spreads_per_sd
        line = huber_line(k, middle, sd, prior[e], prior_sd[e])
        if not line[1] > 0.0:
            continue
        floor, ceiling, keep = open_cone(k + bid / line[0], k + ask / line[0], line[1])
        kept = keep > 0.0
        if kept.sum() < MIN_PAIRS:
            continue
        if kept.sum() < end - begin:
            line = huber_line(k[kept], middle[kept], sd[kept], prior[e], prior_sd[e])
        if not line[1] > 0.0:
            continue
        out[e, 0], out[e, 1], out[e, 2], out[e, 3] = line[0], line[1], np.sqrt(line[2]), np.sqrt(line[3])
        out[e, 4], out[e, 5], out[e, 6] = floor, ceiling, kept.sum()
    return out


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
    out = _fit_lines(start, strike, low, high, half_spreads_per_sd, discount_prior, discount_prior_sd)
    discount, forward, discount_sd, forward_sd, cone_low, cone_high, pairs = out.T
    return ParityLines(discount, forward, discount_sd, forward_sd, cone_low, cone_high, pairs.astype(np.int64))
