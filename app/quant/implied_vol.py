"""Implied vol of option prices, a batch at a time, with a status where there is none.

Each price is reduced to its out-of-the-money side in units of sqrt(F K); implied_deviation.py inverts that.
"""

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from app.quant.arrays import BoolArray, FloatArray, flat
from app.quant.compiled import kernel
from app.quant.elementary import log_one_plus
from app.quant.implied_deviation import SOLVABLE, solve_deviations

RECOVERABLE: Final = 1e-12
"""Smallest share of a price that is time value, and of its bound that is room below it, from which a vol is
recovered: below it the rounding of the price itself moves the vol by more than 1e-5 of its value."""
SMALLEST_NORMAL: Final = 2.2250738585072014e-308
"""Smallest double with all its digits; a smaller price does not determine a vol."""


class IvStatus(IntEnum):
    """Whether a price has an implied vol, and why not."""

    OK = SOLVABLE
    BELOW_INTRINSIC = 1
    """The price is less than intrinsic value (negative prices are)."""
    NO_TIME_VALUE = 2
    """The price is intrinsic value; zero for an option out of the money."""
    ABOVE_BOUND = 3
    """The price is at or above the forward (call) or the strike (put)."""
    NOT_RECOVERABLE = 4
    """A vol exists but the rounding of the price hides it: time value below 1e-12 of the price, room to the bound
    below 1e-12 of the bound, or a value that underflows."""
    INVALID = 5
    """An input is NaN or infinite, or forward, strike or t is not positive."""


# A kernel holds plain integers.
_OK: Final = SOLVABLE
_BELOW_INTRINSIC: Final = int(IvStatus.BELOW_INTRINSIC)
_NO_TIME_VALUE: Final = int(IvStatus.NO_TIME_VALUE)
_ABOVE_BOUND: Final = int(IvStatus.ABOVE_BOUND)
_NOT_RECOVERABLE: Final = int(IvStatus.NOT_RECOVERABLE)
_INVALID: Final = int(IvStatus.INVALID)


@dataclass(frozen=True, slots=True, eq=False)
class ImpliedVols:
    """Implied vols (decimals) and their :class:`IvStatus`; ``vol`` is NaN exactly where ``status`` is not OK."""

    vol: FloatArray
    status: NDArray[np.int8]


@dataclass(frozen=True, slots=True, eq=False)
class ImpliedDeviations:
    """vol sqrt(t) and :class:`IvStatus`; ``deviation`` is NaN exactly where ``status`` is not OK."""

    deviation: FloatArray
    status: NDArray[np.int8]


def implied_vol(
    price: ArrayLike, forward: ArrayLike, strike: ArrayLike, t: ArrayLike, is_call: ArrayLike
) -> ImpliedVols:
    """Return the Black-76 vols of undiscounted option prices.

    Parameters broadcast; ``price``, ``forward`` and ``strike`` share one unit, ``t`` is a year fraction, ``is_call``
    boolean. In-the-money prices are reduced by their intrinsic value (parity). The relative error is below 1e-13
    for 5e-4 <= vol sqrt(t) <= 6 and strikes within 14 standard deviations, given the price as a double. A result
    depends on its own quote alone, to the last bit. No value raises; shapes that do not broadcast raise ValueError.
    """
    shape = np.broadcast(price, forward, strike, t, is_call).shape
    prices, forwards, strikes, times = (flat(a, shape) for a in (price, forward, strike, t))
    n = prices.shape[0]
    distance, beta, room, vol = np.empty((4, n))
    status = np.empty(n, np.int8)
    _reduce(prices, forwards, strikes, times, flat(is_call, shape, np.bool_), distance, beta, room, status)
    solve_deviations(distance, beta, room, status, vol)
    _per_root_year(vol, times)
    return ImpliedVols(vol.reshape(shape), status.reshape(shape))


def otm_deviation(k: ArrayLike, price: ArrayLike) -> ImpliedDeviations:
    """Return vol sqrt(t) for k = ln(K/F) and the out-of-the-money ``price`` divided by the forward.

    The inverse of :func:`app.quant.black.otm_price`, with the accuracy of :func:`implied_vol`. Parameters broadcast;
    no value raises; shapes that do not broadcast raise ValueError.
    """
    shape = np.broadcast(k, price).shape
    log_moneyness, prices = flat(k, shape), flat(price, shape)
    n = prices.shape[0]
    distance, beta, room, deviation = np.empty((4, n))
    status = np.empty(n, np.int8)
    _reduce_by_forward(log_moneyness, prices, distance, beta, room, status)
    solve_deviations(distance, beta, room, status, deviation)
    return ImpliedDeviations(deviation.reshape(shape), status.reshape(shape))


@kernel
def _reduce(
    price: FloatArray,
    forward: FloatArray,
    strike: FloatArray,
    t: FloatArray,
    is_call: BoolArray,
    distance: FloatArray,
    beta: FloatArray,
    room: FloatArray,
    status: NDArray[np.int8],
) -> None:
    """Fill |ln(F/K)|, time value and room below the bound, both over sqrt(F K), and the status of each quote."""
    for i in range(price.shape[0]):
        p, f, k = price[i], forward[i], strike[i]
        signed = f - k if is_call[i] else k - f
        bound = f if is_call[i] else k
        low = min(f, k)
        time_value = p - max(signed, 0.0)
        left = low - time_value
        scale = 1.0 / (math.sqrt(f) * math.sqrt(k))
        ratio = abs(signed) / low
        distance[i] = log_one_plus(ratio)
        beta[i] = time_value * scale
        room[i] = left * scale
        hidden = (time_value < RECOVERABLE * p) | (left < RECOVERABLE * low) | (ratio == np.inf)
        tiny = min(time_value, beta[i], low) < SMALLEST_NORMAL
        code = _NOT_RECOVERABLE if hidden | tiny else _OK
        code = _ABOVE_BOUND if p >= bound else code
        code = _NO_TIME_VALUE if time_value == 0.0 else code
        code = _BELOW_INTRINSIC if time_value < 0.0 else code
        finite = (abs(p) < np.inf) & (f < np.inf) & (k < np.inf) & (t[i] < np.inf)
        status[i] = code if finite & (f > 0.0) & (k > 0.0) & (t[i] > 0.0) else _INVALID


@kernel
def _reduce_by_forward(
    k: FloatArray,
    price: FloatArray,
    distance: FloatArray,
    beta: FloatArray,
    room: FloatArray,
    status: NDArray[np.int8],
) -> None:
    """Fill what :func:`_reduce` fills, from k and the out-of-the-money price over the forward."""
    for i in range(k.shape[0]):
        p = price[i]
        low = math.exp(min(k[i], 0.0))
        scale = math.exp(-0.5 * k[i])
        left = low - p
        distance[i] = abs(k[i])
        beta[i] = p * scale
        room[i] = left * scale
        code = _NOT_RECOVERABLE if (left < RECOVERABLE * low) | (beta[i] < SMALLEST_NORMAL) else _OK
        code = _ABOVE_BOUND if p >= low else code
        code = _NO_TIME_VALUE if p == 0.0 else code
        code = _BELOW_INTRINSIC if p < 0.0 else code
        status[i] = code if (abs(p) < np.inf) & (abs(k[i]) < np.inf) else _INVALID


@kernel
def _per_root_year(deviation: FloatArray, t: FloatArray) -> None:
    """Turn deviations into vols in place."""
    for i in range(deviation.shape[0]):
        deviation[i] = deviation[i] / math.sqrt(t[i])
