"""Total variance between two expiries: that of a mixture of their prices (interpolation.py).

Where prices are ordinary numbers they are mixed as they are and inverted a vector register at a time
(implied_deviation.py); where they underflow, or are near their bound, one by one in logarithms (log_price.py).
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.quant.arrays import FloatArray, IntArray
from app.quant.compiled import kernel
from app.quant.implied_deviation import SOLVABLE, solve_deviations
from app.quant.log_price import at_the_money_price, mixed_deviation
from app.quant.mills_ratio import DIFFERENCE_LEFT, mills_difference

DONE: Final = 1
"""The status of a point that was mixed in logarithms."""
ROOT_TWO_PI: Final = 2.5066282746310002
LARGEST_EXPONENT: Final = 600.0
"""(h^2 + d^2) / 2 up to which a price is far above the smallest normal double, e^-708."""


def mixed_variances(
    k: FloatArray,
    t: FloatArray,
    earlier: IntArray,
    near: FloatArray,
    far: FloatArray,
    maturities: FloatArray,
    theta: FloatArray,
) -> FloatArray:
    """Return w(k, t) between the slices ``earlier`` and the next, whose own w(k) are ``near`` and ``far``.

    Arrays of one length, but ``maturities`` and ``theta``, w(0), of all slices.
    """
    distance, beta, deviation = np.empty((3, k.size))
    status = np.full(k.size, SOLVABLE, dtype=np.int8)
    mix_prices(k, t, earlier, near, far, maturities, theta, distance, beta, status, deviation)
    mixed = np.empty(k.size)
    solve_deviations(distance, beta, np.exp(-0.5 * distance) - beta, status, mixed)
    return np.where(status == SOLVABLE, mixed, deviation) ** 2


@kernel
def mix_prices(
    k: FloatArray,
    t: FloatArray,
    earlier: IntArray,
    near: FloatArray,
    far: FloatArray,
    maturities: FloatArray,
    theta: FloatArray,
    distance: FloatArray,
    beta: FloatArray,
    status: NDArray[np.int8],
    deviation: FloatArray,
) -> None:
    """Write |k| and the mixture's price over sqrt(F K); where that cannot be inverted, its deviation and DONE."""
    for i in range(k.shape[0]):
        slice_ = earlier[i]
        start, end = maturities[slice_], maturities[slice_ + 1]
        weight = share_of_earlier((t[i] - start) / (end - start), theta[slice_], theta[slice_ + 1])
        x, first, second = abs(k[i]), math.sqrt(near[i]), math.sqrt(far[i])
        distance[i] = x
        least, most = min(first, second), max(first, second)
        h, d = x / least, 0.5 * least
        ordinary = 0.5 * (h * h + d * d) < LARGEST_EXPONENT and x / most - 0.5 * most > DIFFERENCE_LEFT
        if ordinary and first != second:
            beta[i] = weight * normalised_price(x, first) + (1.0 - weight) * normalised_price(x, second)
        else:
            beta[i], status[i] = 1.0, DONE
            deviation[i] = mixed_deviation(k[i], first, second, weight)


@kernel
def share_of_earlier(elapsed: float, theta: float, later_theta: float) -> float:
    """Return the mixture's alpha at a share ``elapsed`` of the time between two slices, from their w(0).

    Where both have one at-the-money variance, alpha is linear in t.
    """
    first, second = at_the_money_price(theta), at_the_money_price(later_theta)
    if first == second:
        return 1.0 - elapsed
    here = at_the_money_price(theta + elapsed * (later_theta - theta))
    # Rounding may take alpha past its ends where t is within rounding of an expiry.
    return min(max((second - here) / (second - first), 0.0), 1.0)


@kernel
def normalised_price(x: float, s: float) -> float:
    """Return an out-of-the-money price over sqrt(F K), for x = |k| and a deviation with x/s - s/2 > DIFFERENCE_LEFT."""
    h, d = x / s, 0.5 * s
    return math.exp(-0.5 * (h * h + d * d)) * mills_difference(h, d) / ROOT_TWO_PI
