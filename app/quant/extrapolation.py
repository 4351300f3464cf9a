"""Total variance beyond the last expiry T, free of arbitrage.

Beyond T the price (over its forward) is S_t = S_T X with X independent of S_T, positive, of mean 1, taking the values
X_j = exp(s x_j) / sum_i p_i exp(s x_i) with probabilities p_j: x_j and p_j are the nodes and weights of a Gauss-Hermite
rule, so X is nearly lognormal with variance s^2 of its logarithm. Then
  C_t(k) = sum_j p_j X_j C_T(k - ln X_j).

No butterfly: C_t is the call price of a genuine positive random variable of mean 1.
No calendar: for convex f, d/ds E f(X) = E[f'(X) X (x - E[X x])], the covariance of f'(X) and x in the probability
tilted by X; both increase in x, so it is >= 0 and E f(X) increases with s (such processes are called peacocks: Hirsch,
Profeta, Roynette and Yor 2011). Given S_T a call is convex in X, so C_t(k) increases with s at every k. At s = 0,
X = 1 and C_t = C_T; s(t) increases, hence so do prices and total variance.

s(t) is chosen so that at-the-money total variance grows linearly, at the forward variance rate between the last
expiry and one before it; it increases in t because the at-the-money price increases with s.
"""

from typing import Final

import numpy as np

from app.quant.arrays import FloatArray, IntArray
from app.quant.errors import InvalidQuery
from app.quant.price_product import product_deviations
from app.quant.rising_root import rising_roots
from app.quant.slice_variance import StackedSlices

NODES: Final = 21
"""Values of X. A flat slice stays flat to 1e-10 of its variance at double the last maturity, 4e-5 at five times and
0.2 % at ten times; the density is positive at any distance."""

SMALLEST_RATE: Final = 0.05
"""Least forward variance rate beyond the last expiry, as a share of that expiry's average rate. Where the last two
expiries are flat or inverted in total variance the market still moves; a twentieth of the variance is a vol that has
fallen by three quarters and more, lower than any forward vol quoted."""

LEAST_APART: Final = 0.05
"""Share of the last maturity by which an expiry must come before it to tell a rate with it: the difference of two that
are closer is mostly their noise."""

LARGEST_VARIANCE: Final = 100.0
"""Total variance at the money that is answered for: a price there is within 6e-7 of the forward, and tells nothing more
of a variance twice as large. A vol of 100 % gets there in a century."""

LARGEST_FACTOR_VARIANCE: Final = 10.0 * LARGEST_VARIANCE
"""Of X, where the search for it ends."""

_nodes, _weights = np.polynomial.hermite_e.hermegauss(NODES)
LOG_PROBABILITY: Final[FloatArray] = np.log(_weights / _weights.sum())
"""ln p_j."""


def factor_variances(t: FloatArray, slices: StackedSlices) -> FloatArray:
    """Return s^2 of X at maturities ``t`` > the last slice's, ascending.

    Raises InvalidQuery where one is so far that the total variance is more than LARGEST_VARIANCE, or than any X of this
    family has.
    """
    theta, last = slices.at_the_money[-1], slices.maturities[-1]
    target = theta + forward_variance_rate(slices) * (t - last)
    if target[-1] > LARGEST_VARIANCE:
        raise InvalidQuery(
            f"total variance at the money {target[-1]:.4g} at {t[-1]:.4g} years, extrapolated from"
            f" {last:.4g}: at most {LARGEST_VARIANCE:g} is answered for"
        )

    def excess(square: FloatArray, rows: IntArray) -> FloatArray:
        at_the_money = variance_of_product(np.zeros(square.shape), log_factors(square), slices)
        return np.asarray(at_the_money - target[rows])

    square = rising_roots(excess, target - theta, largest=LARGEST_FACTOR_VARIANCE)
    if np.isnan(square).any():
        raise InvalidQuery(f"no extrapolation reaches total variance {target[-1]} from {theta} at the last expiry")
    return square


def forward_variance_rate(slices: StackedSlices) -> float:
    """Return the at-the-money variance a year added between the last expiry and the next that is LEAST_APART before it,
    at least SMALLEST_RATE of the average; the average where there is none."""
    theta, last = float(slices.at_the_money[-1]), float(slices.maturities[-1])
    average = theta / last
    before = int(np.searchsorted(slices.maturities, (1.0 - LEAST_APART) * last, side="right")) - 1
    if before < 0:
        return average
    added = theta - float(slices.at_the_money[before])
    return max(added / (last - float(slices.maturities[before])), SMALLEST_RATE * average)


def variance_of_product(k: FloatArray, log_factor: FloatArray, slices: StackedSlices) -> FloatArray:
    """Return total variances of S_T X at ``k`` (n,), S_T that of the last slice and ``log_factor`` ln X (n, NODES)."""
    shifted = k[:, np.newaxis] - log_factor
    of_last = np.full(shifted.size, len(slices) - 1)
    deviation = np.sqrt(slices.variances(of_last, shifted.ravel())).reshape(shifted.shape)
    return product_deviations(k, log_factor, LOG_PROBABILITY, deviation) ** 2


def log_factors(square: FloatArray) -> FloatArray:
    """Return ln X_j, shape (n, NODES), for ``square`` = s^2 (n,)."""
    exponent = np.sqrt(square)[:, np.newaxis] * _nodes
    largest = exponent.max(axis=1, keepdims=True)
    norm = largest + np.log(np.exp(exponent - largest + LOG_PROBABILITY).sum(axis=1, keepdims=True))
    return np.asarray(exponent - norm)
