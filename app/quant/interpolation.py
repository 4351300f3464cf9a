"""Total variance at any maturity from slices at the expiries, without adding arbitrage.

If the slices are free of butterfly and calendar arbitrage, so is the surface w(k, t) at every t > 0:

Between expiries T1 < t < T2 the call price over the forward at fixed k is the mixture
C_t = alpha C_1 + (1 - alpha) C_2, alpha(t) = (c(theta_2) - c(theta_t)) / (c(theta_2) - c(theta_1)), with
theta at-the-money total variance, theta_t linear in t, and c(theta) = 2 Phi(sqrt(theta)/2) - 1 the at-the-money price.
 - No butterfly: a mixture of convex functions of strike with the right limits is one too.
 - No calendar: C_2 >= C_1 and alpha falls from 1 to 0, so C_t rises with t at every k, and with it w.
 - At the money C_t = c(theta_t), so w(0, t) = theta_t is linear in t. (Gatheral and Jacquier 2014, lemma 5.1.)
By parity the same mixture holds for puts; it is formed from the side that is out of the money, in logarithms, so that
it exists however far out k lies. w is continuous in t at every k, but not uniformly: far out, where C_2 is many times
C_1, a little of C_2 is most of the mixture and w leaves w_1 within a short time after T1.

Before the first expiry w(k, t) = (t/T1) w_1(k). With c = t/T1, Durrleman's condition of c w is
g_c = (1 - k w'/(2w))^2 - c w'^2/(4w) - c^2 w'^2/16 + c w''/2, concave in c, and g_0 is a square, g_1 >= 0; so g_c >= 0
for c in [0, 1]. Wing slopes shrink by c. It rises with t because w_1 > 0.

Beyond the last expiry: extrapolation.py.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.quant.arrays import FloatArray, IntArray
from app.quant.compiled import kernel
from app.quant.errors import InvalidQuery
from app.quant.extrapolation import variance_beyond
from app.quant.models.base import SliceState
from app.quant.price_mixture import mixed_variances
from app.quant.slice_variance import StackedSlices, first_not_positive
from app.quant.year_fraction import MS_PER_YEAR

SAME_MATURITY: Final = 0.5 / MS_PER_YEAR
"""Maturities closer than this many years, half a millisecond, are one: the clock does not tell them apart."""


class Position(IntEnum):
    """Where a maturity lies among the expiries of a surface."""

    ON_EXPIRY = 0
    BETWEEN = 1
    BEFORE_FIRST = 2
    BEYOND_LAST = 3


_ELSEWHERE: Final = (Position.BETWEEN, Position.BEFORE_FIRST, Position.BEYOND_LAST)


def interpolated_variance(
    k: FloatArray, t: float, slices: Sequence[SliceState] | StackedSlices
) -> tuple[FloatArray, Position]:
    """Return w(k, t), the shape of ``k``, and where ``t`` lies; as :func:`interpolated_variances`."""
    # One point more, at the money, so that t has a position where k is empty.
    points = np.append(k.ravel(), 0.0)
    w, positions = interpolated_variances(points, np.full(points.size, t), slices)
    return w[:-1].reshape(k.shape), Position(positions[-1])


def interpolated_variances(
    k: FloatArray, t: FloatArray, slices: Sequence[SliceState] | StackedSlices
) -> tuple[FloatArray, NDArray[np.int8]]:
    """Return w(k_i, t_i) and the :class:`Position` of each t_i, for arrays of one length and slices ascending in t.

    Who asks more than once packs the slices before (VolSurface does). Every value is finite and positive. Raises
    InvalidQuery where there is no slice, slices do not ascend, a k is not finite or a t not positive and finite;
    InvalidParameters where a curve has no positive variance.
    """
    stack = slices if isinstance(slices, StackedSlices) else StackedSlices.of(slices)
    if k.shape != t.shape or k.ndim != 1:
        raise InvalidQuery(f"k {k.shape} and t {t.shape} must be one-dimensional and of one length")
    # Copies are contiguous and writable: kernels are compiled for one kind of array.
    k, t = np.array(k), np.array(t)
    _check(k, t)
    positions, later = np.empty(t.shape, dtype=np.int8), np.empty(t.shape, dtype=np.int64)
    elsewhere = find_places(t, stack.maturities, positions, later)
    w = stack.variances(later, k)
    if elsewhere:
        _leave_expiries(k, t, positions, later, stack, w)
    return w, positions


def variances_of_rows(k: FloatArray, t: FloatArray, stack: StackedSlices) -> FloatArray:
    """Return w(k_ij, t_i), ``k`` (m, n) and ``t`` (m,): :func:`interpolated_variances` with each t looked up once."""
    positions, later = np.empty(t.shape, dtype=np.int8), np.empty(t.shape, dtype=np.int64)
    find_places(t, stack.maturities, positions, later)
    points, times = k.ravel(), np.repeat(t, k.shape[1])
    if (positions == Position.BETWEEN).all():
        far = np.repeat(later, k.shape[1])
        near = far - 1
        w_near, w_far = stack.variances(near, points), stack.variances(far, points)
        w = mixed_variances(points, times, near, w_near, w_far, stack.maturities, stack.at_the_money)
    else:
        w, _ = interpolated_variances(points, times, stack)
    return w.reshape(k.shape)


def _check(k: FloatArray, t: FloatArray) -> None:
    finite = np.isfinite(k)
    if not finite.all():
        raise InvalidQuery(f"log-moneyness must be finite, got {k[~finite][0]}")
    bad = first_not_positive(t)
    if bad < t.size:
        raise InvalidQuery(f"maturity must be positive and finite, got {t[bad]}")


@kernel
def find_places(t: FloatArray, maturities: FloatArray, positions: NDArray[np.int8], later: IntArray) -> int:
    """Write the position of each t and the slice it lies on, before or beyond, the later one between; return how many
    do not lie on an expiry."""
    elsewhere = 0
    last = maturities.shape[0] - 1
    for i in range(t.shape[0]):
        low, high = 0, last
        while low < high:
            middle = (low + high) // 2
            if maturities[middle] < t[i]:
                low = middle + 1
            else:
                high = middle
        if low > 0 and abs(t[i] - maturities[low - 1]) <= min(SAME_MATURITY, abs(t[i] - maturities[low])):
            low -= 1
        later[i] = low
        if abs(t[i] - maturities[low]) <= SAME_MATURITY:
            positions[i] = Position.ON_EXPIRY
            continue
        elsewhere += 1
        if t[i] < maturities[0]:
            positions[i] = Position.BEFORE_FIRST
        elif t[i] > maturities[last]:
            positions[i] = Position.BEYOND_LAST
        else:
            positions[i] = Position.BETWEEN
    return elsewhere


def _leave_expiries(
    k: FloatArray, t: FloatArray, positions: NDArray[np.int8], later: IntArray, stack: StackedSlices, w: FloatArray
) -> None:
    """Turn ``w`` of the later slice into that at ``t``, wherever t is not on an expiry."""
    between, before, beyond = (np.flatnonzero(positions == p) for p in _ELSEWHERE)
    if between.size:
        earlier = later[between] - 1
        near, far = stack.variances(earlier, k[between]), w[between]
        w[between] = mixed_variances(k[between], t[between], earlier, near, far, stack.maturities, stack.at_the_money)
    if before.size:
        w[before] *= t[before] / stack.maturities[0]
    if beyond.size:
        w[beyond] = variance_beyond(k[beyond], t[beyond], stack)
