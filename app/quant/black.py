"""Black-76 in forward space: undiscounted prices, greeks, and strikes by delta.

With k = ln(K/F), s = vol sqrt(T), d1 = -k/s + s/2, d2 = d1 - s and w = +1 for a call, -1 for a put (Black 1976):
price = w (F Phi(w d1) - K Phi(w d2)). What is computed is its out-of-the-money side,

    min(F, K) phi(h - t) (M(h - t) - M(h + t)),   h = |k|/s,  t = s/2,  M the Mills ratio,

whose factors are all positive, plus intrinsic value. Prices multiply by the discount factor of the premium currency;
the coin premium of an inverse option is price / F times that of the coin.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from app.quant.arrays import BoolArray, FloatArray, flat
from app.quant.compiled import inner_kernel, kernel
from app.quant.delta_strike import strike_from_delta
from app.quant.elementary import log_one_plus, multiply_add
from app.quant.errors import InvalidParameters
from app.quant.mills_ratio import DIFFERENCE_LEFT, mills_difference, mills_ratio

__all__ = ["BlackGreeks", "black_greeks", "black_price", "black_vega", "otm_price", "strike_from_delta"]

ROOT_TWO_PI: Final = 2.5066282746310002
ROOT_HALF: Final = 0.7071067811865476
UNDERFLOW: Final = 39.0
"""Argument beyond which the normal density is below the smallest double."""


@dataclass(frozen=True, slots=True, eq=False)
class BlackGreeks:
    """Black-76 sensitivities of the undiscounted price in quote currency, all of one shape.

    ``delta`` = w Phi(w d1), by the forward; ``delta_net`` = w (K/F) Phi(w d2) = delta - price/F, net of a premium paid
    in coin; ``gamma`` = phi(d1)/(F s), per unit of forward; ``vega`` = F phi(d1) sqrt(T), per 1.0 of vol;
    ``theta`` = -F phi(d1) vol/(2 sqrt(T)), per year at a fixed forward; ``vanna`` = -phi(d1) d2/vol, delta per 1.0 of
    vol; ``volga`` = vega d1 d2/vol, vega per 1.0 of vol.
    """

    delta: FloatArray
    delta_net: FloatArray
    gamma: FloatArray
    vega: FloatArray
    theta: FloatArray
    vanna: FloatArray
    volga: FloatArray


def black_price(forward: ArrayLike, strike: ArrayLike, vol: ArrayLike, t: ArrayLike, is_call: ArrayLike) -> FloatArray:
    """Return undiscounted prices in the unit of ``forward`` and ``strike``; vol decimal, t in years, all broadcast.

    Where vol or t is zero that is intrinsic value. NaN in gives NaN out. Raises InvalidParameters where a forward or
    strike is not positive, a vol or t is negative, or one of them or forward / strike is infinite.
    """
    shape = np.broadcast(forward, strike, vol, t, is_call).shape
    inputs = flat(forward, shape), flat(strike, shape), flat(vol, shape), flat(t, shape)
    price = np.empty(inputs[0].shape)
    _require_domain(_prices(*inputs, flat(is_call, shape, np.bool_), price), inputs, "not negative")
    return price.reshape(shape)


def black_vega(forward: ArrayLike, strike: ArrayLike, vol: ArrayLike, t: ArrayLike) -> FloatArray:
    """Return dP/dvol = F phi(d1) sqrt(T) per 1.0 of vol. NaN and errors as in :func:`black_price`."""
    shape = np.broadcast(forward, strike, vol, t).shape
    inputs = flat(forward, shape), flat(strike, shape), flat(vol, shape), flat(t, shape)
    vega = np.empty(inputs[0].shape)
    _require_domain(_vegas(*inputs, vega), inputs, "not negative")
    return vega.reshape(shape)


def black_greeks(
    forward: ArrayLike, strike: ArrayLike, vol: ArrayLike, t: ArrayLike, is_call: ArrayLike
) -> BlackGreeks:
    """Return the greeks. NaN in gives NaN out; as :func:`black_price`, but vol and t must be positive."""
    shape = np.broadcast(forward, strike, vol, t, is_call).shape
    inputs = flat(forward, shape), flat(strike, shape), flat(vol, shape), flat(t, shape)
    greeks = np.empty((7, inputs[0].shape[0]))
    _require_domain(_greeks(*inputs, flat(is_call, shape, np.bool_), greeks), inputs, "positive")
    return BlackGreeks(*(row.reshape(shape) for row in greeks))


def otm_price(k: ArrayLike, deviation: ArrayLike) -> FloatArray:
    """Return the out-of-the-money price over the forward: the put's for k = ln(K/F) < 0, the call's for k >= 0.

    ``deviation`` = vol sqrt(T) >= 0; both broadcast. Within 1e-14 of its value however far out; zero only where the
    price underflows or the deviation is zero. NaN in gives NaN out; raises InvalidParameters where a deviation is
    negative or either is infinite.
    """
    shape = np.broadcast(k, deviation).shape
    moneyness, deviations = flat(k, shape), flat(deviation, shape)
    price = np.empty(moneyness.shape)
    bad = _otm_prices(moneyness, deviations, price)
    if bad >= 0:
        raise InvalidParameters(f"k {moneyness[bad]} must be finite, deviation {deviations[bad]} finite, not negative")
    return price.reshape(shape)


def _require_domain(bad: int, inputs: tuple[FloatArray, ...], sign: str) -> None:
    """Raise for the element a kernel stopped at; -1 is none."""
    if bad >= 0:
        forward, strike, vol, t = (float(values[bad]) for values in inputs)
        raise InvalidParameters(
            f"forward {forward}, strike {strike} and their ratio must be finite and positive, "
            f"vol {vol} and t {t} finite and {sign}"
        )


@kernel
def _prices(
    forward: FloatArray, strike: FloatArray, vol: FloatArray, t: FloatArray, is_call: BoolArray, price: FloatArray
) -> int:
    """Fill prices; return the index of the first element outside the domain, or -1."""
    for i in range(price.shape[0]):
        f, k, s = forward[i], strike[i], vol[i] * math.sqrt(t[i])
        if math.isnan(f + k + vol[i] + t[i]):
            price[i] = np.nan
        elif _priceable(f, k) and 0.0 <= vol[i] < np.inf and 0.0 <= t[i] < np.inf:
            low = min(f, k)
            intrinsic = max(f - k if is_call[i] else k - f, 0.0)
            price[i] = intrinsic + low * _bound_share(log_one_plus(abs(f - k) / low), s)
        else:
            return i
    return -1


@kernel
def _otm_prices(k: FloatArray, deviation: FloatArray, price: FloatArray) -> int:
    """Fill prices over the forward; return the index of the first element outside the domain, or -1."""
    for i in range(price.shape[0]):
        if math.isnan(k[i] + deviation[i]):
            price[i] = np.nan
        elif abs(k[i]) < np.inf and 0.0 <= deviation[i] < np.inf:
            price[i] = math.exp(min(k[i], 0.0)) * _bound_share(abs(k[i]), deviation[i])
        else:
            return i
    return -1


@kernel
def _vegas(forward: FloatArray, strike: FloatArray, vol: FloatArray, t: FloatArray, vega: FloatArray) -> int:
    """Fill vegas; F phi(d1) is min(F, K) phi(h - t). Return the first index outside the domain, or -1."""
    for i in range(vega.shape[0]):
        f, k, root = forward[i], strike[i], math.sqrt(t[i])
        if math.isnan(f + k + vol[i] + t[i]):
            vega[i] = np.nan
        elif _priceable(f, k) and 0.0 <= vol[i] < np.inf and 0.0 <= t[i] < np.inf:
            low = min(f, k)
            vega[i] = low * root * _density(log_one_plus(abs(f - k) / low), vol[i] * root)
        else:
            return i
    return -1


@kernel
def _greeks(
    forward: FloatArray, strike: FloatArray, vol: FloatArray, t: FloatArray, is_call: BoolArray, greeks: FloatArray
) -> int:
    """Fill the rows of BlackGreeks in their order; return the first index outside the domain, or -1."""
    for i in range(vol.shape[0]):
        f, k, v = forward[i], strike[i], vol[i]
        if math.isnan(f + k + v + t[i]):
            for row in range(greeks.shape[0]):
                greeks[row, i] = np.nan
        elif _priceable(f, k) and 0.0 < v < np.inf and 0.0 < t[i] < np.inf:
            low = min(f, k)
            x = log_one_plus(abs(f - k) / low)
            root = math.sqrt(t[i])
            s = v * root
            moneyness = x if k > f else -x
            d1 = 0.5 * s - moneyness / s
            d2 = -0.5 * s - moneyness / s
            density = (low / f) * _density(x, s)
            w = 1.0 if is_call[i] else -1.0
            greeks[0, i] = 0.5 * w * math.erfc(-w * d1 * ROOT_HALF)
            greeks[1, i] = 0.5 * w * (k / f) * math.erfc(-w * d2 * ROOT_HALF)
            greeks[2, i] = density / (f * s)
            greeks[3, i] = f * density * root
            greeks[4, i] = -0.5 * f * density * v / root
            greeks[5, i] = -density * d2 / v
            greeks[6, i] = f * density * root * d1 * d2 / v
        else:
            return i
    return -1


@inner_kernel
def _priceable(forward: float, strike: float) -> bool:
    """Return whether both are positive and finite, and so is their ratio."""
    low, high = min(forward, strike), max(forward, strike)
    return low > 0.0 and high < np.inf and high / low < np.inf


@inner_kernel
def _density(x: float, s: float) -> float:
    """Return phi(h - t) for x = |k| >= 0, with the rounding errors of h, of h - t and of its square put back.

    Left alone, a relative error of h^2 / 2 rounding units would reach the result.
    """
    if s == 0.0:
        return 1.0 / ROOT_TWO_PI if x == 0.0 else 0.0
    h, t = x / s, 0.5 * s
    a = h - t
    if abs(a) > UNDERFLOW:
        return 0.0
    lost = multiply_add(-h, s, x) / s + ((h - a) - t if h >= t else h - (a + t))
    square = a * a
    correction = 0.5 * multiply_add(a, a, -square) + a * lost
    return math.exp(-0.5 * square) * (1.0 - correction) / ROOT_TWO_PI


@inner_kernel
def _bound_share(x: float, s: float) -> float:
    """Return the out-of-the-money price over its bound min(F, K), for x = |k| and the deviation s."""
    if s == 0.0:
        return 0.0
    h, t = x / s, 0.5 * s
    if h - t > UNDERFLOW:
        return 0.0
    if h - t > DIFFERENCE_LEFT:
        return _density(x, s) * mills_difference(h, t)
    return 1.0 - _density(x, s) * (mills_ratio(t - h) + mills_ratio(t + h))
