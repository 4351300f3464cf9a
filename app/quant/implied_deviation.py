"""The deviation s = vol sqrt(T) behind a normalised out-of-the-money price, solved a vector register at a time.

With beta the price over sqrt(F K) and x = |ln(F/K)|,

    beta = phi(h, t) (M(h - t) - M(h + t)),   h = x / s,  t = s / 2,
    phi(h, t) = exp(-(h^2 + t^2) / 2) / sqrt(2 pi),   M the Mills ratio.

The logarithm of this holds neither exponential nor cancellation, so two Householder steps of third order
(Householder 1970) on ln beta, from a guess good to a few percent, run on all lanes without a branch. The guess is the
normal model's deviation as a rational function (in the transformed variable of Choi, Kim and Kwak 2009), corrected to
the lognormal one (Hagan and Woodward 1999). What has not converged then is solved one by one inside a bracket.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.quant.arrays import FloatArray
from app.quant.compiled import inner_kernel, kernel
from app.quant.elementary import multiply_add, natural_exp, natural_log, polynomial
from app.quant.mills_ratio import DIFFERENCE_LEFT, MILLS_LEFT, mills_difference, mills_ratio

SOLVABLE: Final = 0
"""The status of an element that has a deviation."""
HALF_LOG_TWO_PI: Final = 0.9189385332046727
CONVERGED: Final = 1e-3
"""Largest last correction of ln beta after which the next, of fourth order, is below rounding."""
MAX_BRACKETED_STEPS: Final = 100
STEP_TOLERANCE: Final = 4e-16
SMALLEST_SKEWNESS: Final = 1e-6
"""Below this |F - K| / time value the guess is that at the money, where its formula reads 0 / 0."""

GUESS_NUMERATOR: Final = (
    0.5005623721093693,
    19.823016374702068,
    20.15442782637241,
    58.63036443621022,
    163.19559382810957,
)
"""Normal deviation / (straddle sqrt(eta)) in powers of eta, within 1e-4; derived in
tests/reference/derive_coefficients.py."""
GUESS_DENOMINATOR: Final = (
    1.0,
    36.90831885257106,
    -23.45479443855562,
    155.3467803584897,
    39.48845442895455,
)

_guess_numerator: Final = polynomial(GUESS_NUMERATOR)
_guess_denominator: Final = polynomial(GUESS_DENOMINATOR)
_sinh_ratio: Final = polynomial((1.0, 1.0 / 24.0, 1.0 / 1920.0, 1.0 / 322560.0, 1.0 / 92897280.0))
"""sinh(x / 2) / (x / 2) in powers of x^2."""


@kernel
def solve_deviations(
    distance: FloatArray, beta: FloatArray, room: FloatArray, status: NDArray[np.int8], deviation: FloatArray
) -> None:
    """Fill ``deviation`` from x, beta and ``room`` = bound - beta, NaN where ``status`` is not SOLVABLE.

    All lanes at once, then one by one those not converged. Arrays of one length; what the elements that are not
    solvable hold does not matter.
    """
    for i in range(beta.shape[0]):
        x = distance[i]
        target = natural_log(beta[i]) + HALF_LOG_TWO_PI
        s = _guess(x, beta[i])
        s = s + _householder(x, s, target)
        step = _householder(x, s, target)
        h = x / s
        settled = (
            (abs(step) * (1.0 + h * h) < CONVERGED * s) & (h - 0.5 * s > DIFFERENCE_LEFT) & (status[i] == SOLVABLE)
        )
        deviation[i] = s + step if settled else np.nan
    for i in range(beta.shape[0]):
        if status[i] == SOLVABLE and math.isnan(deviation[i]):
            deviation[i] = _bracketed(distance[i], beta[i], room[i])


@kernel
def normalised_prices(distance: FloatArray, deviation: FloatArray, beta: FloatArray) -> None:
    """Fill ``beta`` from x and s > 0, all lanes at once, then one by one where the price is near its bound.

    Below e^SMALLEST_EXPONENT it is of that order instead of smaller.
    """
    for i in range(beta.shape[0]):
        s = deviation[i]
        h, t = distance[i] / s, 0.5 * s
        price = natural_exp(-0.5 * (h * h + t * t) - HALF_LOG_TWO_PI) * mills_difference(max(h, t + MILLS_LEFT), t)
        beta[i] = price if h - t > DIFFERENCE_LEFT else np.nan
    for i in range(beta.shape[0]):
        if math.isnan(beta[i]):
            s = deviation[i]
            h, t = distance[i] / s, 0.5 * s
            room = math.exp(-0.5 * (h * h + t * t) - HALF_LOG_TWO_PI) * (mills_ratio(t - h) + mills_ratio(t + h))
            beta[i] = math.exp(-0.5 * distance[i]) - room


@inner_kernel(forceinline=True)
def _guess(x: float, beta: float) -> float:
    """Return the deviation of the normal model, corrected to the lognormal one (Hagan and Woodward 1999, A.69)."""
    x2 = x * x
    sinh_ratio = _sinh_ratio(x2)
    gap = x * sinh_ratio
    q = max(gap / beta, SMALLEST_SKEWNESS)
    eta = 2.0 * q / ((2.0 + q) * natural_log(1.0 + q))
    shape = _guess_numerator(eta) / (_guess_denominator(eta) * sinh_ratio)
    s = (2.0 * beta + gap) * math.sqrt(eta) * shape
    return s * (1.0 + s * s * (1.0 / 24.0) * (1.0 - x2 * (1.0 / 120.0)))


@inner_kernel(forceinline=True)
def _householder(x: float, s: float, target: float) -> float:
    """Return the third-order Householder step for f(s) = ln beta(s) - ln beta = 0.

    With R = M(h - t) - M(h + t) and g = b''/b' = h^2/s - t/2: f' = 1/R, f''/f' = g - 1/R,
    f'''/f' = g^2 - 3 (h/s)^2 - 1/4 - 3 g/R + 2/R^2.
    """
    inverse = 1.0 / s
    h = x * inverse
    t = 0.5 * s
    r = mills_difference(h, t)
    slope = 1.0 / r
    residual = multiply_add(-0.5, multiply_add(h, h, t * t), natural_log(r)) - target
    g = multiply_add(h, h * inverse, -0.5 * t)
    hs = h * inverse
    second = g - slope
    third = multiply_add(g, g, -3.0 * hs * hs) - 0.25 + slope * multiply_add(2.0, slope, -3.0 * g)
    newton = -residual * r
    return newton * (1.0 + 0.5 * second * newton) / (1.0 + newton * (second + third * newton * (1.0 / 6.0)))


@inner_kernel
def _bracketed(x: float, beta: float, room: float) -> float:
    """Return the deviation by Newton steps kept inside a bracket that holds the root.

    beta <= s / sqrt(2 pi), and h > 38.6 underflows: both bound s from below.
    """
    low = max(x / 40.0, 2.5 * beta)
    high = 2.0 * low
    while _excess(x, high, beta, room)[0] < 0.0:
        low = high
        high = 2.0 * high
    s = high
    for _ in range(MAX_BRACKETED_STEPS):
        excess, slope = _excess(x, s, beta, room)
        if excess > 0.0:
            high = s
        else:
            low = s
        following = s - excess / slope
        if not low < following < high:
            following = 0.5 * (low + high)
        moved = abs(following - s)
        s = following
        if moved <= STEP_TOLERANCE * s:
            break
    return s


@inner_kernel
def _excess(x: float, s: float, beta: float, room: float) -> tuple[float, float]:
    """Return an increasing function of s that is zero at the root, and its slope.

    ln b(s) - ln beta, slope 1 / (M(h - t) - M(h + t)), or where the price is near its bound
    ln room - ln(bound - b(s)), slope 1 / (M(t - h) + M(t + h)).
    """
    h = x / s
    t = 0.5 * s
    log_density = -0.5 * (h * h + t * t) - HALF_LOG_TWO_PI
    if h - t > DIFFERENCE_LEFT:
        r = mills_difference(h, t)
        return math.log(r / beta) + log_density, 1.0 / r
    u = mills_ratio(t - h) + mills_ratio(t + h)
    return math.log(room / u) - log_density, 1.0 / u
