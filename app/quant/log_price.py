"""Logarithms of out-of-the-money prices and their inverse: Black's formula where prices themselves underflow.

With x = |k|, h = x/s, d = s/2, s = vol sqrt(t): the price over its bound min(F, K) is
share(s) = phi(h - d) (M(h - d) - M(h + d)), M the Mills ratio, and d share/ds = phi(h - d) (mills_ratio.py). Its
logarithm is an ordinary number at any strike, so mixtures of prices are formed and inverted there.
"""

import math
from typing import Final

import numpy as np

from app.quant.arrays import FloatArray
from app.quant.compiled import inner_kernel, kernel
from app.quant.mills_ratio import MILLS_LEFT, mills_difference, mills_ratio

HALF_LOG_TWO_PI: Final = 0.9189385332046727

TOLERANCE: Final = 4e-16
"""Relative step at which an inversion stops: two units of rounding."""

LARGEST_DEVIATION: Final = 1e3
"""Where the search for a price upwards ends. From about 16 on a price at the money is its bound to the last digit, so a
target may lie above every price; a product that far out comes back with whatever deviation the search stopped at."""

MAX_STEPS: Final = 100
"""Newton steps kept in a bracket; 4 to 6 are usual and halving alone needs 60."""


@inner_kernel
def at_the_money_price(theta: float) -> float:
    """Return c(theta) = 2 Phi(sqrt(theta)/2) - 1, an at-the-money option's price over the forward."""
    return math.erf(math.sqrt(theta / 8.0))


@inner_kernel
def log_share(x: float, s: float) -> tuple[float, float]:
    """Return ln share and its derivative in s, for x = |k| >= 0 and a deviation s > 0."""
    h = x / s
    d = 0.5 * s
    log_density = -0.5 * (h - d) * (h - d) - HALF_LOG_TWO_PI
    if h - d > MILLS_LEFT:
        difference = mills_difference(h, d)
        return log_density + math.log(difference), 1.0 / difference
    density = math.exp(log_density)
    room = density * (mills_ratio(d - h) + mills_ratio(d + h))
    return math.log1p(-room), density / (1.0 - room)


@inner_kernel
def deviation_between(x: float, target: float, low: float, high: float) -> float:
    """Return s in [low, high] with ln share = ``target``: Newton's method kept in the bracket that holds the root."""
    s = high
    for _ in range(MAX_STEPS):
        value, slope = log_share(x, s)
        if value > target:
            high = s
        else:
            low = s
        following = s - (value - target) / slope
        if not low < following < high:
            following = 0.5 * (low + high) if abs(following - s) > TOLERANCE * s else s
        moved = abs(following - s)
        s = following
        if moved <= TOLERANCE * s:
            break
    return s


@inner_kernel
def mixed_deviation(k: float, first: float, second: float, weight: float) -> float:
    """Return the deviation of the price mixture weight * price(first) + (1 - weight) * price(second) at ``k``.

    ``first`` and ``second`` are deviations, ``weight`` lies in [0, 1]. The result lies between the two, because price
    increases with deviation.
    """
    if first == second or weight == 1.0:
        return first
    if weight == 0.0:
        return second
    x = abs(k)
    return deviation_between(x, log_mixture(x, first, second, weight), min(first, second), max(first, second))


@inner_kernel
def log_mixture(x: float, first: float, second: float, weight: float) -> float:
    """Return ln share of the price mixture of two deviations at ``x`` = |k|."""
    log_first = log_share(x, first)[0]
    log_second = log_share(x, second)[0]
    top = max(log_first, log_second)
    return top + math.log(weight * math.exp(log_first - top) + (1.0 - weight) * math.exp(log_second - top))


@inner_kernel
def log_price(k: float, s: float, call: bool) -> float:
    """Return the logarithm of a call's or put's price over the forward, in or out of the money."""
    out_of_the_money = log_share(abs(k), s)[0] + min(k, 0.0)
    if call == (k >= 0.0):
        return out_of_the_money
    top = max(k, 0.0)
    return top + math.log(-math.expm1(-abs(k)) + math.exp(out_of_the_money - top))


@kernel
def scaled_deviations(
    k: FloatArray, log_factor: FloatArray, log_weight: FloatArray, deviation: FloatArray
) -> FloatArray:
    """Return deviations at ``k`` (n) of S X, X independent of S and equal to exp(log_factor[i, j]) with some weight.

    ``log_weight`` (n, j) is the logarithm of probability times factor, ``deviation`` (n, j) that of S at
    k[i] - log_factor[i, j]: an option on S X at strike K is X options on S at K / X, averaged.
    """
    n, nodes = log_factor.shape
    scaled = np.empty(n)
    terms = np.empty(nodes)
    for i in range(n):
        call = k[i] >= 0.0
        top = -math.inf
        for j in range(nodes):
            terms[j] = log_weight[i, j] + log_price(k[i] - log_factor[i, j], deviation[i, j], call)
            top = max(top, terms[j])
        total = 0.0
        for j in range(nodes):
            total += math.exp(terms[j] - top)
        target = top + math.log(total) - min(k[i], 0.0)
        x = abs(k[i])
        low = deviation[i, 0]
        while log_share(x, low)[0] > target:
            low *= 0.5
        high = 2.0 * low
        while log_share(x, high)[0] < target and high < LARGEST_DEVIATION:
            low = high
            high *= 2.0
        scaled[i] = deviation_between(x, target, low, high)
    return scaled
