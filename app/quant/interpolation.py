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
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.quant.arrays import FloatArray, IntArray
from app.quant.compiled import kernel
from app.quant.errors import InvalidQuery
from app.quant.extrapolation import NODES, factor_variances, log_factors, variance_of_product
from app.quant.log_price import at_the_money_price
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
    if k.shape != t.shape or k.ndim != 1:
        raise InvalidQuery(f"k {k.shape} and t {t.shape} must be one-dimensional and of one length")
    finite = np.isfinite(k)
    if not finite.all():
        raise InvalidQuery(f"log-moneyness must be finite, got {k[~finite][0]}")
    times = PlacedTimes.among(t, slices if isinstance(slices, StackedSlices) else StackedSlices.of(slices))
    return times.variances(np.array(k), slice(None)), times.positions


def variances_of_rows(k: FloatArray, t: FloatArray, stack: StackedSlices) -> FloatArray:
    """Return w(k_ij, t_i), ``k`` (m, n) and ``t`` (m,): :func:`interpolated_variances` with each t looked up once."""
    return PlacedTimes.among(t, stack).variances_of_rows(k)


@dataclass(frozen=True, slots=True, eq=False)
class PlacedTimes:
    """Maturities (n,) placed among the slices of a surface: all that does not depend on strikes.

    ``later`` is the slice a maturity lies on, before or beyond, the later one between; ``share`` the earlier slice's in
    the mixture, before the first expiry that of the time to it. Beyond the last, row ``of_factor`` of ``log_factor``
    is ln X_j.
    """

    stack: StackedSlices
    positions: NDArray[np.int8]
    later: IntArray
    share: FloatArray
    of_factor: IntArray
    log_factor: FloatArray

    @classmethod
    def among(cls, t: FloatArray, stack: StackedSlices) -> "PlacedTimes":
        """Place ``t``. Raises InvalidQuery where one is not positive and finite."""
        # A copy is contiguous and writable: kernels are compiled for one kind of array.
        t = np.array(t)
        bad = first_not_positive(t)
        if bad < t.size:
            raise InvalidQuery(f"maturity must be positive and finite, got {t[bad]}")
        positions, later = np.empty(t.shape, dtype=np.int8), np.empty(t.shape, dtype=np.int64)
        find_places(t, stack.maturities, positions, later)
        share, of_factor = np.empty(t.shape), np.zeros(t.shape, dtype=np.int64)
        fill_shares(t, positions, later, stack.maturities, stack.at_the_money, share)
        log_factor, beyond = np.empty((0, NODES)), positions == Position.BEYOND_LAST
        if beyond.any():
            maturities, of_factor[beyond] = np.unique(t[beyond], return_inverse=True)
            log_factor = log_factors(factor_variances(maturities, stack))
        return cls(stack, positions, later, share, of_factor, log_factor)

    def variances(self, k: FloatArray, rows: IntArray | slice) -> FloatArray:
        """Return w at ``k`` and the maturities ``rows``."""
        positions, later, share = self.positions[rows], self.later[rows], self.share[rows]
        w = self.stack.variances(later, k)
        between, before, beyond = (np.flatnonzero(positions == p) for p in _ELSEWHERE)
        if between.size:
            near = self.stack.variances(later[between] - 1, k[between])
            w[between] = mixed_variances(k[between], share[between], near, w[between])
        if before.size:
            w[before] *= share[before]
        if beyond.size:
            log_factor = self.log_factor[self.of_factor[rows][beyond]]
            w[beyond] = variance_of_product(k[beyond], log_factor, self.stack)
        return w

    def variances_of_rows(self, k: FloatArray) -> FloatArray:
        """Return w(k_ij, t_i) of all the maturities, ``k`` (n, m)."""
        rows = np.repeat(np.arange(k.shape[0]), k.shape[1])
        return self.variances(k.ravel(), rows).reshape(k.shape)


@kernel
def find_places(t: FloatArray, maturities: FloatArray, positions: NDArray[np.int8], later: IntArray) -> None:
    """Write the position of each t and the slice it lies on, before or beyond, the later one between."""
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
        elif t[i] < maturities[0]:
            positions[i] = Position.BEFORE_FIRST
        elif t[i] > maturities[last]:
            positions[i] = Position.BEYOND_LAST
        else:
            positions[i] = Position.BETWEEN


@kernel
def fill_shares(
    t: FloatArray,
    positions: NDArray[np.int8],
    later: IntArray,
    maturities: FloatArray,
    theta: FloatArray,
    share: FloatArray,
) -> None:
    """Write alpha(t) between two slices, t / T1 before the first, 1 elsewhere; ``theta`` is w(0) of the slices.

    Where two slices have one at-the-money variance, alpha is linear in t between them.
    """
    price = np.empty(theta.shape[0])
    for i in range(theta.shape[0]):
        price[i] = at_the_money_price(theta[i])
    for i in range(t.shape[0]):
        j = later[i]
        share[i] = 1.0
        if positions[i] == Position.BEFORE_FIRST:
            share[i] = t[i] / maturities[0]
        elif positions[i] == Position.BETWEEN:
            elapsed = (t[i] - maturities[j - 1]) / (maturities[j] - maturities[j - 1])
            if price[j - 1] == price[j]:
                share[i] = 1.0 - elapsed
            else:
                here = at_the_money_price(theta[j - 1] + elapsed * (theta[j] - theta[j - 1]))
                # Rounding may take alpha past its ends where t is within rounding of an expiry.
                share[i] = min(max((price[j] - here) / (price[j] - price[j - 1]), 0.0), 1.0)
