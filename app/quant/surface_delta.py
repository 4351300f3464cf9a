"""Strikes at forward deltas on SVI slices, on expiries, between and beyond: all points in one compiled pass.

A delta fixes d1 = q, the normal quantile of Delta for a call and minus that of |Delta| for a put, and so a line
k(s) = s^2/2 - q s in the deviation s = vol sqrt(T). Its strike is where Black's price on that line is the price of the
surface, which is known without its vol: of one slice on an expiry and before the first, a mixture of two between, of
one slice at several strikes beyond the last (interpolation.py, extrapolation.py). So no vol is implied on the way, and
one unknown is left. On a smile without arbitrage d1 falls in k (Fukasawa 2012): there is one such s.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.quant.arrays import FloatArray, IntArray
from app.quant.compiled import kernel
from app.quant.delta_strike import normal_quantiles
from app.quant.extrapolation import LOG_PROBABILITY, NODES, factor_variances, log_factors
from app.quant.interpolation import Position, find_places
from app.quant.log_price import log_mixture, log_price, log_share
from app.quant.models.stacked_svi import StackedSvi, curve_variance
from app.quant.price_mixture import share_of_earlier
from app.quant.slice_variance import StackedSlices

SETTLED: Final = 1e-10
"""Relative secant step after which, the one before being below SETTLING, what is left is rounding: an error is about
the product of the two before it."""
SETTLING: Final = 1e-4
LARGEST_DEVIATION: Final = 30.0
"""Where the search ends: nine times the variance at the money that is answered for (extrapolation.py)."""
LARGEST_DISTANCE: Final = 600.0
"""|k| beyond which a strike is not told from zero or infinity: e^600 is 1e260."""
MAX_STEPS: Final = 100
"""Secant steps kept in a bracket; 5 to 7 are usual."""


def log_strikes(delta: FloatArray, t: FloatArray, stack: StackedSlices, svi: StackedSvi) -> FloatArray:
    """Return k = ln(K/F) of the strikes with these deltas (signed, puts negative) at ``t`` > 0; NaN where none is.

    Arrays of one length; ``svi`` are the curves of ``stack``. A delta asked for twice at one t is searched for once.
    """
    asked = (np.abs(delta) > 0.0) & (np.abs(delta) < 1.0)
    pairs, of_pair = np.unique(t[asked] + 1j * delta[asked], return_inverse=True)
    times, signed = np.array(pairs.real), pairs.imag
    position, later = np.empty(times.shape, dtype=np.int8), np.empty(times.shape, dtype=np.int64)
    find_places(times, stack.maturities, position, later)
    theta = np.interp(times, np.append(0.0, stack.maturities), np.append(0.0, stack.at_the_money))
    log_factor = np.empty((times.size, NODES))
    beyond = position == Position.BEYOND_LAST
    if beyond.any():
        square = factor_variances(times[beyond], stack)
        log_factor[beyond] = log_factors(square)
        theta[beyond] += square
    k = np.empty(times.shape)
    search_strikes(
        np.sign(signed) * normal_quantiles(np.abs(signed)),
        times,
        np.sqrt(theta),
        position,
        later,
        log_factor,
        LOG_PROBABILITY,
        stack.maturities,
        stack.at_the_money,
        svi.raw,
        svi.knots,
        svi.coefficients,
        k,
    )
    found = np.full(delta.shape, np.nan)
    found[asked] = np.where(np.abs(k) < LARGEST_DISTANCE, k, np.nan)[of_pair]
    return found


@kernel
def search_strikes(
    quantile: FloatArray,
    t: FloatArray,
    guess: FloatArray,
    position: NDArray[np.int8],
    later: IntArray,
    log_factor: FloatArray,
    log_probability: FloatArray,
    maturities: FloatArray,
    theta: FloatArray,
    raw: FloatArray,
    knots: FloatArray,
    coefficients: FloatArray,
    found: FloatArray,
) -> None:
    """Write k(s) where :func:`excess` rises through zero, NaN where it does not.

    Secant steps kept in a bracket; the first goes to the surface's own deviation at k, about.
    """
    for i in range(quantile.shape[0]):
        q, place, row = quantile[i], position[i], later[i]
        share = 1.0
        if place == Position.BETWEEN:
            elapsed = (t[i] - maturities[row - 1]) / (maturities[row] - maturities[row - 1])
            share = share_of_earlier(elapsed, theta[row - 1], theta[row])
        elif place == Position.BEFORE_FIRST:
            share = t[i] / maturities[0]
        found[i] = np.nan
        low, high, s = 0.0, np.inf, guess[i]
        before = at_before = 0.0
        for step in range(MAX_STEPS):
            k = s * (0.5 * s - q)
            value, slope = excess(k, s, place, share, log_factor[i], log_probability, raw, knots, coefficients, row)
            if value == 0.0:
                found[i] = k
                break
            low, high = (s, high) if value < 0.0 else (low, s)
            if step > 0:
                slope = (value - at_before) / (s - before)
            following = s - value / slope
            if abs(following - s) <= SETTLED * s and abs(s - before) <= SETTLING * s:
                found[i] = following * (0.5 * following - q)
                break
            if not low < following < high:
                following = 0.5 * (low + high) if high < np.inf else 2.0 * s
            before, at_before, s = s, value, following
            if s > LARGEST_DEVIATION:
                break


@kernel
def excess(
    k: float,
    s: float,
    place: int,
    share: float,
    log_factor: FloatArray,
    log_probability: FloatArray,
    raw: FloatArray,
    knots: FloatArray,
    coefficients: FloatArray,
    row: int,
) -> tuple[float, float]:
    """Return the logarithm of Black's price at ``k`` with deviation ``s`` over the surface's, or that of their
    variances, and its derivative in s at this k.

    ``share`` is the earlier slice's in the mixture, or, before the first expiry, that of the time to it.
    """
    if place == Position.BETWEEN:
        near = math.sqrt(curve_variance(raw, knots, coefficients, row - 1, k))
        far = math.sqrt(curve_variance(raw, knots, coefficients, row, k))
        price, slope = log_share(abs(k), s)
        return price - log_mixture(abs(k), near, far, share), slope
    if place == Position.BEYOND_LAST:
        beyond = log_price_beyond(k, log_factor, log_probability, raw, knots, coefficients, row)
        price, slope = log_share(abs(k), s)
        return price - (beyond - min(k, 0.0)), slope
    return math.log(s * s / (share * curve_variance(raw, knots, coefficients, row, k))), 2.0 / s


@kernel
def log_price_beyond(
    k: float,
    log_factor: FloatArray,
    log_probability: FloatArray,
    raw: FloatArray,
    knots: FloatArray,
    coefficients: FloatArray,
    row: int,
) -> float:
    """Return the logarithm of the out-of-the-money price over the forward of S X, S that of slice ``row``."""
    top, total = -np.inf, 0.0
    for j in range(log_factor.shape[0]):
        shifted = k - log_factor[j]
        deviation = math.sqrt(curve_variance(raw, knots, coefficients, row, shifted))
        term = log_factor[j] + log_probability[j] + log_price(shifted, deviation, k >= 0.0)
        if term > top:
            total *= math.exp(top - term)
            top = term
        total += math.exp(term - top)
    return top + math.log(total)
