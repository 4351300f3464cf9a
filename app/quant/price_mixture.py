"""Total variance between two expiries: that of a mixture of their prices (interpolation.py).

Where prices are ordinary numbers they are mixed as they are and inverted a vector register at a time
(implied_deviation.py); where they underflow, or are near their bound, one by one in logarithms (log_price.py).
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.quant.arrays import FloatArray
from app.quant.compiled import kernel
from app.quant.implied_deviation import SOLVABLE, normalised_prices, solve_deviations
from app.quant.log_price import mixed_deviation
from app.quant.mills_ratio import DIFFERENCE_LEFT

DONE: Final = 1
"""The status of a point that was mixed in logarithms."""
LARGEST_EXPONENT: Final = 600.0
"""(h^2 + d^2) / 2 up to which a price is far above the smallest normal double, e^-708."""


def mixed_variances(k: FloatArray, weight: FloatArray, near: FloatArray, far: FloatArray) -> FloatArray:
    """Return w(k) of weight * price(near) + (1 - weight) * price(far), ``near`` and ``far`` total variances at ``k``.

    Arrays of one length, weights in [0, 1].
    """
    distance, beta, deviation = np.empty((3, k.size))
    status = np.full(k.size, SOLVABLE, dtype=np.int8)
    mix_prices(k, weight, near, far, distance, beta, status, deviation)
    mixed = np.empty(k.size)
    solve_deviations(distance, beta, np.exp(-0.5 * distance) - beta, status, mixed)
    return np.where(status == SOLVABLE, mixed, deviation) ** 2


@kernel
def mix_prices(
    k: FloatArray,
    weight: FloatArray,
    near: FloatArray,
    far: FloatArray,
    distance: FloatArray,
    beta: FloatArray,
    status: NDArray[np.int8],
    deviation: FloatArray,
) -> None:
    """Write |k| and the mixture's price over sqrt(F K); where that cannot be inverted, its deviation and DONE."""
    n = k.shape[0]
    first, second, at_first, at_second = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    for i in range(n):
        distance[i], first[i], second[i] = abs(k[i]), math.sqrt(near[i]), math.sqrt(far[i])
    normalised_prices(distance, first, at_first)
    normalised_prices(distance, second, at_second)
    for i in range(n):
        least, most = min(first[i], second[i]), max(first[i], second[i])
        h, d = distance[i] / least, 0.5 * least
        ordinary = 0.5 * (h * h + d * d) < LARGEST_EXPONENT and distance[i] / most - 0.5 * most > DIFFERENCE_LEFT
        if ordinary and first[i] != second[i]:
            beta[i] = weight[i] * at_first[i] + (1.0 - weight[i]) * at_second[i]
        else:
            beta[i], status[i] = 1.0, DONE
            deviation[i] = mixed_deviation(k[i], first[i], second[i], weight[i])
