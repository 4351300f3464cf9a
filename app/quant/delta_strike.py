"""The strike that has a given delta at the vol its own smile gives it."""

import math
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from app.quant.arrays import FloatArray
from app.quant.compiled import kernel
from app.quant.elementary import polynomial
from app.quant.mills_ratio import mills_ratio

MAX_DOUBLINGS: Final = 12
"""Doublings of the bracket, from one standard deviation: no listed strike is 4,096 of them away."""
MAX_STEPS: Final = 100
TOLERANCE: Final = 4e-16
"""Width of the final bracket over 1 + |k|: neighbouring doubles."""
GOLDEN: Final = 0.6180339887498949
PEAK_RANGE: Final = 32.0
"""Standard deviations about the forward within which a net call delta has its maximum."""
PEAK_STEPS: Final = 50
"""Golden-section steps to the largest net delta: the bracket shrinks by 3e-11, beyond what a flat top resolves."""

HALF_LOG_TWO_PI: Final = 0.9189385332046727

GUESS_NUMERATOR: Final = polynomial((2.515517, 0.802853, 0.010328))
GUESS_DENOMINATOR: Final = polynomial((1.0, 1.432788, 0.189269, 0.001308))
"""Abramowitz and Stegun (1964), 26.2.23: a quantile's rational guess in sqrt(-2 ln p)."""

Function = Callable[[FloatArray], FloatArray]


def strike_from_delta(
    forward: ArrayLike,
    vol_of_k: Function,
    t: ArrayLike,
    delta: ArrayLike,
    is_call: ArrayLike,
    *,
    net: bool = False,
) -> FloatArray:
    """Return the strikes K with delta(K, vol_of_k(ln(K/F))) = ``delta``; NaN where there is none.

    ``delta`` is signed as :class:`~app.quant.black.BlackGreeks` reports it: calls in (0, 1), puts negative. With
    ``net`` it is net of a coin premium, w (K/F) Phi(w d2). A call's net delta rises to a maximum and falls again:
    the strike right of the maximum is returned (the convention of the FX market, Reiswich and Wystup 2010), NaN above
    it. ``vol_of_k`` takes k = ln(K/F) of the broadcast shape and returns vols of that shape.
    """
    shape = np.broadcast(forward, t, delta, is_call).shape
    forwards, times, deltas = (np.broadcast_to(np.asarray(a, np.float64), shape) for a in (forward, t, delta))
    calls = np.broadcast_to(np.asarray(is_call, np.bool_), shape)
    magnitude = np.where(calls, deltas, -deltas)
    asked = (magnitude > 0.0) & ((magnitude < 1.0) | (net & ~calls))
    size = np.where(asked, magnitude, 0.5)
    root = np.sqrt(times)
    side = np.where(calls, 1.0, -1.0)
    d1 = np.zeros(shape) if net else side * normal_quantiles(size)

    def deviation(k: FloatArray) -> FloatArray:
        return vol_of_k(k) * root

    def excess(k: FloatArray) -> FloatArray:
        """Fall through zero at the strike asked for (a net call's: right of its maximum)."""
        s = deviation(k)
        if not net:
            return np.asarray(0.5 * s - k / s - d1)
        d2 = -0.5 * s - k / s
        log_probability = log_normal_cdf((side * d2).ravel()).reshape(d2.shape)
        return np.asarray(side * (log_probability + k - np.log(size)))

    origin = np.zeros(shape)
    step = deviation(origin)
    if net:
        origin = np.where(calls, _peak(excess, -PEAK_RANGE * step, PEAK_RANGE * step), origin)
    low = np.where(net & calls, origin, _outward(excess, origin, -step, positive=True))
    high = _outward(excess, origin, step, positive=False)
    found = asked & (excess(low) >= 0.0) & (excess(high) <= 0.0)
    return np.where(found, forwards * np.exp(_falling_root(excess, low, high)), np.nan)


def normal_quantiles(probability: FloatArray) -> FloatArray:
    """Return the normal quantiles of probabilities in (0, 1), within 1e-15 or relatively so."""
    # A copy is contiguous and writable: kernels are compiled for one kind of array.
    quantile = np.array(probability).ravel()
    turn_into_quantiles(quantile)
    return quantile.reshape(probability.shape)


@kernel
def turn_into_quantiles(values: FloatArray) -> None:
    """Turn probabilities into quantiles.

    Two steps of Halley's method on ln Phi(-a) = ln phi(a) + ln M(a), M the Mills ratio, from a guess within 4.5e-4
    (Abramowitz and Stegun 1964, 26.2.23).
    """
    for i in range(values.shape[0]):
        tail = min(values[i], 1.0 - values[i])
        log_tail = math.log(tail)
        u = math.sqrt(-2.0 * log_tail)
        a = u - GUESS_NUMERATOR(u) / GUESS_DENOMINATOR(u)
        for _ in range(2):
            ratio = mills_ratio(a)
            excess = math.log(ratio) - 0.5 * a * a - HALF_LOG_TWO_PI - log_tail
            a += excess * ratio / (1.0 + 0.5 * excess * (1.0 - a * ratio))
        values[i] = a if values[i] > 0.5 else -a


@kernel
def log_normal_cdf(x: FloatArray) -> FloatArray:
    """Return ln Phi(x) of a one-dimensional array, far into the left tail too: phi(x) M(-x), M the Mills ratio."""
    logarithm = np.empty(x.shape[0])
    for i in range(x.shape[0]):
        log_density = -0.5 * x[i] * x[i] - HALF_LOG_TWO_PI
        if x[i] <= 0.0:
            logarithm[i] = log_density + math.log(mills_ratio(-x[i]))
        else:
            logarithm[i] = math.log1p(-math.exp(log_density) * mills_ratio(x[i]))
    return logarithm


def _outward(function: Function, origin: FloatArray, step: FloatArray, *, positive: bool) -> FloatArray:
    """Return ``origin`` + ``step`` 2^n with the least n where the function has the sign asked for."""
    k = origin + step
    for _ in range(MAX_DOUBLINGS):
        value = function(k)
        missing = value < 0.0 if positive else value > 0.0
        if not missing.any():
            break
        step = np.where(missing, 2.0 * step, step)
        k = origin + step
    return k


def _peak(function: Function, low: FloatArray, high: FloatArray) -> FloatArray:
    """Return where a function that rises and then falls is largest, by golden-section search."""
    for _ in range(PEAK_STEPS):
        reach = GOLDEN * (high - low)
        left, right = high - reach, low + reach
        rising = function(left) < function(right)
        low, high = np.where(rising, left, low), np.where(rising, high, right)
    return 0.5 * (low + high)


def _falling_root(function: Function, low: FloatArray, high: FloatArray) -> FloatArray:
    """Return the zeros between ``low``, where the function is not negative, and ``high``, where it is not positive.

    Regula falsi; an end that stays for two steps counts half (the Illinois rule, Dowell and Jarratt 1971).
    """
    at_low, at_high = function(low), function(high)
    root, stayed_low = low, np.zeros(low.shape, np.bool_)
    stayed_high = stayed_low
    for _ in range(MAX_STEPS):
        drop = at_low - at_high
        share = np.divide(at_low, drop, out=np.zeros(low.shape), where=drop > 0.0)
        previous, root = root, low + share * (high - low)
        if not (np.abs(root - previous) > TOLERANCE * (1.0 + np.abs(root))).any():
            break
        value = function(root)
        moves_low = value > 0.0
        at_high = np.where(moves_low, np.where(stayed_high, 0.5 * at_high, at_high), value)
        at_low = np.where(moves_low, value, np.where(stayed_low, 0.5 * at_low, at_low))
        low, high = np.where(moves_low, root, low), np.where(moves_low, high, root)
        stayed_high, stayed_low = moves_low, ~moves_low
    return root
