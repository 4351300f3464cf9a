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

s(t) is chosen so that at-the-money total variance grows linearly, at the forward variance rate between the last two
expiries; it increases in t because the at-the-money price increases with s.
"""

from typing import Final

import numpy as np

from app.quant.arrays import FloatArray
from app.quant.errors import InvalidQuery
from app.quant.log_price import scaled_deviations
from app.quant.slice_variance import StackedSlices

NODES: Final = 21
"""Values of X. A flat slice stays flat to 1e-10 of its variance at double the last maturity, 4e-5 at five times and
0.2 % at ten times; the density is positive at any distance."""

SMALLEST_RATE: Final = 0.05
"""Least forward variance rate beyond the last expiry, as a share of that expiry's average rate. Where the last two
expiries are flat or inverted in total variance the market still moves; a twentieth of the variance is a vol that has
fallen by three quarters and more, lower than any forward vol quoted."""

LARGEST_VARIANCE: Final = 100.0
"""Total variance at the money that is answered for: a price there is within 6e-7 of the forward, and tells nothing more
of a variance twice as large. A vol of 100 % gets there in a century."""

CONVERGED: Final = 1e-13
"""Relative error of at-the-money variance at which s^2 is accepted."""

MAX_STEPS: Final = 100
"""Secant steps kept in a bracket; 5 to 8 are usual."""

_nodes, _weights = np.polynomial.hermite_e.hermegauss(NODES)
LOG_PROBABILITY: Final[FloatArray] = np.log(_weights / _weights.sum())
"""ln p_j."""


def variance_beyond(k: FloatArray, t: FloatArray, slices: StackedSlices) -> FloatArray:
    """Return w(k, t) for maturities ``t`` > the last slice's, arrays of one length. Raises InvalidQuery where t is so
    far that the total variance is more than LARGEST_VARIANCE, or than any X of this family has."""
    return variance_of_product(k, factor_variances(t, slices), slices)


def factor_variances(t: FloatArray, slices: StackedSlices) -> FloatArray:
    """Return s^2 of X at maturities ``t`` > the last slice's. Raises InvalidQuery as :func:`variance_beyond`."""
    last = slices.maturities[-1]
    maturities, of_maturity = np.unique(t, return_inverse=True)
    target = slices.at_the_money[-1] + forward_variance_rate(slices) * (maturities - last)
    if target[-1] > LARGEST_VARIANCE:
        raise InvalidQuery(
            f"total variance at the money {target[-1]:.4g} at {maturities[-1]:.4g} years, extrapolated from"
            f" {last:.4g}: at most {LARGEST_VARIANCE:g} is answered for"
        )
    return factor_variance(target, slices)[of_maturity]


def forward_variance_rate(slices: StackedSlices) -> float:
    """Return the at-the-money variance a year added between the last two expiries, at least SMALLEST_RATE of the
    average."""
    *earlier, theta = slices.at_the_money[-2:].tolist()
    *before, last = slices.maturities[-2:].tolist()
    average = float(theta / last)
    if not earlier:
        return average
    return max(float(theta - earlier[0]) / float(last - before[0]), SMALLEST_RATE * average)


def factor_variance(target: FloatArray, slices: StackedSlices) -> FloatArray:
    """Return s^2 for which at-the-money variances are ``target``, by secant steps kept in a bracket."""
    theta = float(slices.at_the_money[-1])
    low, high = np.zeros_like(target), np.full_like(target, np.inf)
    before, at_before = np.zeros_like(target), np.full_like(target, theta)
    square = target - theta
    solved = np.empty_like(target)
    rows = np.arange(target.size)
    for _ in range(MAX_STEPS):
        value = variance_of_product(np.zeros_like(square), square, slices)
        solved[rows] = square
        open_ = np.abs(value - target) > CONVERGED * target
        if not open_.any():
            return solved
        rows = rows[open_]
        target, low, high, before, at_before, square, value = (
            x[open_] for x in (target, low, high, before, at_before, square, value)
        )
        low = np.where(value < target, square, low)
        high = np.where(value < target, high, square)
        rise = np.where(value == at_before, np.inf, value - at_before)
        following = square + (target - value) * (square - before) / rise
        halfway = np.where(np.isfinite(high), 0.5 * (low + np.minimum(high, square)), 2.0 * square)
        before, at_before = square, value
        square = np.where((low < following) & (following < high), following, halfway)
    raise InvalidQuery(f"no extrapolation reaches total variance {target.max()} from {theta} at the last expiry")


def variance_of_product(k: FloatArray, square: FloatArray, slices: StackedSlices) -> FloatArray:
    """Return the total variance at ``k`` of S_T X, S_T that of the last slice, ``square`` = s^2 of X at each k."""
    log_factor = log_factors(square)
    shifted = k[:, np.newaxis] - log_factor
    of_last = np.full(shifted.size, len(slices) - 1)
    deviation = np.sqrt(slices.variances(of_last, shifted.ravel())).reshape(shifted.shape)
    return scaled_deviations(k, log_factor, log_factor + LOG_PROBABILITY, deviation) ** 2


def log_factors(square: FloatArray) -> FloatArray:
    """Return ln X_j, shape (n, NODES), for ``square`` = s^2 (n,)."""
    exponent = np.sqrt(square)[:, np.newaxis] * _nodes
    largest = exponent.max(axis=1, keepdims=True)
    norm = largest + np.log(np.exp(exponent - largest + LOG_PROBABILITY).sum(axis=1, keepdims=True))
    return np.asarray(exponent - norm)
