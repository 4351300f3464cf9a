"""What a quote is worth: one standard deviation of its mid vol."""

from typing import Final

import numpy as np

from app.quant.arrays import BoolArray, FloatArray
from app.quant.black import black_greeks
from app.quant.chain import Premium, TradingRules
from app.quant.median import median
from app.quant.year_fraction import MS_PER_YEAR

HALF_SPREADS_PER_SD: Final = 2.0
"""Half-spreads per standard deviation of a mid (kappa): a spread is then +-2 sds, nearly all of the error."""
VOL_OF_VOL: Final = 1.0
"""Annual lognormal vol at which an implied vol wanders while a quote ages: 0.19 vol points in 5 minutes at 60 %."""
MODEL_FLOOR: Final = 0.0015
"""Vol below which no quote is trusted (15 basis points): without it the tightest quotes own the fit."""
LARGEST_SIZE: Final = 1e12
"""No size in contracts is larger, or smaller than its inverse; anything else is not a size."""
REFERENCE_DEPTH: Final = 0.1
"""Size whose cost counts, as a share of the median depth: what a mid-sized order takes without walking the book."""


def tick_size(premium: FloatArray, rules: TradingRules) -> FloatArray:
    """Return the tick at each premium, in premium units."""
    return np.where(premium >= rules.tick_threshold, rules.tick_above, rules.tick)


def trading_fee(premium: FloatArray, rules: TradingRules) -> FloatArray:
    """Return the fee of one side, min(fee, fee_cap * premium), in premium units."""
    return np.minimum(rules.fee, rules.fee_cap * premium)


def depth_multiplier(bid_size: FloatArray, ask_size: FloatArray) -> FloatArray:
    """Return the factor on a quote's spread for trading the reference size: square-root impact.

    (1 + sqrt(Q/depth)) / (1 + sqrt(Q/median)), depth the smaller of both sizes and Q a tenth of its median, so the
    median quote keeps its spread. Where a size is missing or no size that occurs the depth is unknown and the factor 1.
    """
    smaller = np.minimum(bid_size, ask_size)
    known = (smaller >= 1.0 / LARGEST_SIZE) & (np.maximum(bid_size, ask_size) <= LARGEST_SIZE)
    factor = np.ones(bid_size.shape)
    if known.any():
        depth = smaller[known]
        share = REFERENCE_DEPTH * median(depth) / depth
        factor[known] = (1.0 + np.sqrt(share)) / (1.0 + np.sqrt(REFERENCE_DEPTH))
    return factor


def quote_noise(
    *,
    forward: FloatArray,
    forward_sd: FloatArray,
    strike: FloatArray,
    t: FloatArray,
    is_call: BoolArray,
    bid_vol: FloatArray,
    ask_vol: FloatArray,
    tick: FloatArray,
    age_ms: FloatArray,
    depth_factor: FloatArray,
    premium: Premium,
) -> FloatArray:
    """Return one sd of each mid vol; all arrays of one length, money in quote currency, ``tick`` included.

    The root of the sum of squares of
      half spread       (ask_vol - bid_vol) / 2 / kappa * depth_factor
      tick rounding     tick / (sqrt(12) vega), the sd of a uniform
      forward error     |dvol/dF| forward_sd; at a fixed premium dvol/dF = -delta/vega for linear options and
                        -net delta/vega for inverse ones, whose premium is worth more when the forward rises
      age               vol * vol_of_vol * sqrt(age)
      model floor
    """
    vol = 0.5 * (bid_vol + ask_vol)
    greeks = black_greeks(forward, strike, vol, t, is_call)
    delta = greeks.delta_net if premium is Premium.COIN else greeks.delta
    spread = 0.5 * (ask_vol - bid_vol) / HALF_SPREADS_PER_SD * depth_factor
    rounding = tick / np.sqrt(12.0) / greeks.vega
    moved = delta / greeks.vega * forward_sd
    aged = vol * VOL_OF_VOL * np.sqrt(np.maximum(age_ms, 0.0) / MS_PER_YEAR)
    noise: FloatArray = np.sqrt(spread**2 + rounding**2 + moved**2 + aged**2 + MODEL_FLOOR**2)
    return noise
