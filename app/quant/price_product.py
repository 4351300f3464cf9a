"""Total variance of a product S X of independent positive factors, X of a few values: an average of prices of S.

An option on S X at strike K is X options on S at K / X, averaged. Where these prices are ordinary numbers they are
averaged as they are and inverted a vector register at a time (implied_deviation.py); where they underflow, or are near
their bound, one by one in logarithms (log_price.py).
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.quant.arrays import FloatArray
from app.quant.compiled import kernel
from app.quant.elementary import natural_exp
from app.quant.implied_deviation import SOLVABLE, normalised_prices, solve_deviations
from app.quant.log_price import scaled_deviations

IN_LOGARITHMS: Final = 1
"""The status of a point whose price is not an ordinary number."""
SMALLEST_PRICE: Final = 1e-250
"""Over sqrt(F K), above which a price owes nothing to what underflows, e^-708 a value of X."""
SMALLEST_ROOM: Final = 1e-3
"""Distance of a price from its bound, as a share of it, above which its digits tell the deviation."""


def product_deviations(
    k: FloatArray, log_factor: FloatArray, log_probability: FloatArray, deviation: FloatArray
) -> FloatArray:
    """Return deviations of S X at ``k`` (n,): X is exp(log_factor[i, j]) with probability exp(log_probability[j]).

    ``deviation`` (n, j) is that of S at k[i] - log_factor[i, j].
    """
    shifted = k[:, np.newaxis] - log_factor
    at_factor = np.empty(shifted.size)
    normalised_prices(np.abs(shifted).ravel(), deviation.ravel(), at_factor)
    distance, beta = np.empty((2, k.size))
    status = np.empty(k.size, dtype=np.int8)
    average_prices(k, log_factor, log_probability, at_factor.reshape(shifted.shape), distance, beta, status)
    found = np.empty(k.size)
    solve_deviations(distance, beta, np.exp(-0.5 * distance) - beta, status, found)
    rows = np.flatnonzero(status == IN_LOGARITHMS)
    if rows.size:
        log_weight = log_factor[rows] + log_probability
        found[rows] = scaled_deviations(k[rows], log_factor[rows], log_weight, deviation[rows])
    return found


@kernel
def average_prices(
    k: FloatArray,
    log_factor: FloatArray,
    log_probability: FloatArray,
    at_factor: FloatArray,
    distance: FloatArray,
    beta: FloatArray,
    status: NDArray[np.int8],
) -> None:
    """Write |k|, the average of the prices ``at_factor`` over sqrt(F K) and whether that is an ordinary number."""
    n, factors = at_factor.shape
    terms = np.empty(factors)
    for i in range(n):
        side = 1.0 if k[i] >= 0.0 else -1.0
        for j in range(factors):
            root = natural_exp(0.5 * (k[i] - log_factor[i, j]))
            intrinsic = max(side * (1.0 - root * root), 0.0)
            terms[j] = natural_exp(log_factor[i, j] + log_probability[j]) * (intrinsic + root * at_factor[i, j])
        total = 0.0
        for j in range(factors):
            total += terms[j]
        distance[i] = abs(k[i])
        beta[i] = total * math.exp(-0.5 * k[i])
        bound = math.exp(-0.5 * distance[i])
        ordinary = beta[i] > SMALLEST_PRICE and bound - beta[i] > SMALLEST_ROOM * bound and beta[i] < np.inf
        status[i] = SOLVABLE if ordinary else IN_LOGARITHMS
