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
from scipy.special import erf

from app.quant.arrays import FloatArray, IntArray
from app.quant.errors import InvalidQuery
from app.quant.extrapolation import variance_beyond
from app.quant.log_price import mixed_deviations
from app.quant.models.base import SliceState
from app.quant.slice_variance import at_the_money_variance, variances
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
    maturities = _maturities(slices)
    points = k.ravel()
    times = np.full(points.shape, t)
    _check(points, np.array([t]))
    position, later = _places(np.array([t]), maturities)
    w = _variance_at(Position(position[0]), int(later[0]), points, times, slices)
    return w.reshape(k.shape), Position(position[0])


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
    places = later * len(Position) + positions
    for place in np.unique(places):
        rows = np.flatnonzero(places == place)
        i, position = divmod(int(place), len(Position))
        w[rows] = _variance_at(Position(position), i, k[rows], t[rows], slices)
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


def _variance_at(position: Position, i: int, k: FloatArray, t: FloatArray, slices: Sequence[SliceState]) -> FloatArray:
    """Return w(k, t) for points that share a position and the slice ``i`` it refers to."""
    if position is Position.ON_EXPIRY:
        return variances(slices[i], k)
    if position is Position.BEFORE_FIRST:
        return t / slices[i].t * variances(slices[i], k)
    if position is Position.BETWEEN:
        return _between(k, t, slices[i - 1], slices[i])
    return variance_beyond(k, t, slices)


def _between(k: FloatArray, t: FloatArray, earlier: SliceState, later: SliceState) -> FloatArray:
    """Return w(k, t) of the price mixture. Where both slices have one at-the-money variance, alpha is linear in t."""
    elapsed = (t - earlier.t) / (later.t - earlier.t)
    theta = at_the_money_variance(earlier), at_the_money_variance(later)
    first, second = (float(at_the_money_price(np.array(v))) for v in theta)
    alpha = 1.0 - elapsed
    if first != second:
        alpha = (second - at_the_money_price(theta[0] + elapsed * (theta[1] - theta[0]))) / (second - first)
    # Rounding may take alpha past its ends where t is within rounding of an expiry.
    alpha = np.clip(alpha, 0.0, 1.0)
    return mixed_deviations(k, np.sqrt(variances(earlier, k)), np.sqrt(variances(later, k)), alpha) ** 2


def at_the_money_price(theta: FloatArray) -> FloatArray:
    """Return c(theta) = 2 Phi(sqrt(theta)/2) - 1, an at-the-money option's price over the forward."""
    price: FloatArray = erf(np.sqrt(theta / 8.0))
    return price
