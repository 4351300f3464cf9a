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
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.quant.arrays import FloatArray, IntArray
from app.quant.errors import InvalidQuery
from app.quant.extrapolation import variance_beyond
from app.quant.log_price import at_the_money_price, mixed_deviations
from app.quant.models.base import SliceState
from app.quant.slice_variance import variances
from app.quant.year_fraction import MS_PER_YEAR

SAME_MATURITY: Final = 0.5 / MS_PER_YEAR
"""Maturities closer than this many years, half a millisecond, are one: the clock does not tell them apart."""


class Position(IntEnum):
    """Where a maturity lies among the expiries of a surface."""

    ON_EXPIRY = 0
    BETWEEN = 1
    BEFORE_FIRST = 2
    BEYOND_LAST = 3


def interpolated_variance(k: FloatArray, t: float, slices: Sequence[SliceState]) -> tuple[FloatArray, Position]:
    """Return w(k, t), the shape of ``k``, and where ``t`` lies; as :func:`interpolated_variances`."""
    # One point more, at the money, so that t has a position where k is empty.
    points = np.append(k.ravel(), 0.0)
    w, positions = interpolated_variances(points, np.full(points.size, t), slices)
    return w[:-1].reshape(k.shape), Position(positions[-1])


def interpolated_variances(
    k: FloatArray, t: FloatArray, slices: Sequence[SliceState]
) -> tuple[FloatArray, NDArray[np.int8]]:
    """Return w(k_i, t_i) and the :class:`Position` of each t_i, for arrays of one length and slices ascending in t.

    Every value is finite and positive. Raises InvalidQuery where there is no slice, slices do not ascend, a k is not
    finite or a t not positive and finite; InvalidParameters where a curve has no positive variance.
    """
    maturities = _maturities(slices)
    if k.shape != t.shape or k.ndim != 1:
        raise InvalidQuery(f"k {k.shape} and t {t.shape} must be one-dimensional and of one length")
    _check(k, t)
    positions, later = _places(t, maturities)
    w = np.empty(k.shape)
    for position, variance in _VARIANCE.items():
        rows = np.flatnonzero(positions == position)
        if rows.size:
            w[rows] = variance(k[rows], t[rows], later[rows], slices)
    return w, positions


def _maturities(slices: Sequence[SliceState]) -> FloatArray:
    if not slices:
        raise InvalidQuery("a surface without slices has no variance to interpolate")
    maturities = [s.t for s in slices]
    if not maturities[0] > 0.0 or any(later <= earlier for earlier, later in pairwise(maturities)):
        raise InvalidQuery(f"maturities of slices must be positive and ascend, got {maturities}")
    return np.array(maturities)


def _check(k: FloatArray, t: FloatArray) -> None:
    if not np.isfinite(k).all():
        raise InvalidQuery(f"log-moneyness must be finite, got {k[~np.isfinite(k)][0]}")
    bad = ~((t > 0.0) & np.isfinite(t))
    if bad.any():
        raise InvalidQuery(f"maturity must be positive and finite, got {t[bad][0]}")


def _places(t: FloatArray, maturities: FloatArray) -> tuple[NDArray[np.int8], IntArray]:
    """Return the position of each t and the index of the slice it lies on, before or beyond; the later one between."""
    nearest = np.abs(t[:, np.newaxis] - maturities).argmin(axis=1)
    on = np.abs(t - maturities[nearest]) <= SAME_MATURITY
    later = np.where(on, nearest, np.minimum(np.searchsorted(maturities, t), maturities.size - 1))
    position = np.full(t.shape, Position.BETWEEN, dtype=np.int8)
    position[t < maturities[0]] = Position.BEFORE_FIRST
    position[t > maturities[-1]] = Position.BEYOND_LAST
    position[on] = Position.ON_EXPIRY
    return position, later


def _on_expiry(k: FloatArray, t: FloatArray, at: IntArray, slices: Sequence[SliceState]) -> FloatArray:  # noqa: ARG001
    return variances(slices, at, k)


def _before_first(k: FloatArray, t: FloatArray, at: IntArray, slices: Sequence[SliceState]) -> FloatArray:
    return t / slices[0].t * variances(slices, at, k)


def _between(k: FloatArray, t: FloatArray, later: IntArray, slices: Sequence[SliceState]) -> FloatArray:
    """Return w(k, t) of the price mixture. Where both slices have one at-the-money variance, alpha is linear in t."""
    maturities, every, earlier = np.array([s.t for s in slices]), np.arange(len(slices)), later - 1
    found = variances(slices, np.concatenate([earlier, later, every]), np.concatenate([k, k, np.zeros(every.size)]))
    near, far, theta = np.split(found, [k.size, 2 * k.size])
    price = at_the_money_price(theta)
    elapsed = (t - maturities[earlier]) / (maturities[later] - maturities[earlier])
    first, second = price[earlier], price[later]
    here = at_the_money_price(theta[earlier] + elapsed * (theta[later] - theta[earlier]))
    rises = first != second
    alpha = np.where(rises, (second - here) / np.where(rises, second - first, 1.0), 1.0 - elapsed)
    # Rounding may take alpha past its ends where t is within rounding of an expiry.
    alpha = np.clip(alpha, 0.0, 1.0)
    return mixed_deviations(k, np.sqrt(near), np.sqrt(far), alpha) ** 2


def _beyond_last(k: FloatArray, t: FloatArray, last: IntArray, slices: Sequence[SliceState]) -> FloatArray:  # noqa: ARG001
    return variance_beyond(k, t, slices)


_VARIANCE: Final = {
    Position.ON_EXPIRY: _on_expiry,
    Position.BETWEEN: _between,
    Position.BEFORE_FIRST: _before_first,
    Position.BEYOND_LAST: _beyond_last,
}
"""w(k, t) of points that share a position; ``later`` indexes the slice each lies on, before or, between, before."""
