"""Total variance of slices, checked: what interpolation in maturity is made of. Many slices are asked at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import cast

import numpy as np

from app.quant.arrays import FloatArray, IntArray
from app.quant.compiled import kernel
from app.quant.errors import InvalidParameters, InvalidQuery
from app.quant.models.base import SliceState, SmileCurve
from app.quant.models.stacked_svi import StackedSvi
from app.quant.models.svi_curve import SviCurve


def stacked_variance(curves: Sequence[SmileCurve], of_curve: IntArray, k: FloatArray) -> FloatArray:
    """Return w(k_i) of the curve ``curves[of_curve[i]]``; arrays of one length. SVI curves in one call."""
    svi = _stacked(curves)
    return svi.total_variance(of_curve, k) if svi else _variance_one_by_one(curves, of_curve, k)


@dataclass(frozen=True, eq=False)
class StackedSlices:
    """The slices of one surface, expiries ascending, packed once for every question that follows."""

    states: tuple[SliceState, ...]
    maturities: FloatArray
    """Years, ascending."""
    svi: StackedSvi | None
    """The curves where all of them are SVI."""

    @classmethod
    def of(cls, states: Sequence[SliceState]) -> "StackedSlices":
        """Pack ``states``. Raises InvalidQuery where there is none, or maturities are not positive and ascending."""
        if not states:
            raise InvalidQuery("a surface without slices has no variance to interpolate")
        maturities = [s.t for s in states]
        if not maturities[0] > 0.0 or any(later <= earlier for earlier, later in pairwise(maturities)):
            raise InvalidQuery(f"maturities of slices must be positive and ascend, got {maturities}")
        return cls(tuple(states), np.array(maturities), _stacked([s.curve for s in states]))

    def __len__(self) -> int:
        return len(self.states)

    def variances(self, of_slice: IntArray, k: FloatArray) -> FloatArray:
        """Return w(k_i) of slice ``of_slice[i]``; arrays of one length.

        Raises InvalidParameters where a curve's w is not a positive number.
        """
        if self.svi:
            w = self.svi.total_variance(of_slice, k)
        else:
            w = _variance_one_by_one([s.curve for s in self.states], of_slice, k)
        i = first_not_positive(w)
        if i < w.size:
            expiry_ms = self.states[of_slice[i]].expiry_ms
            raise InvalidParameters(f"expiry {expiry_ms}: total variance {w[i]} at k = {k[i]} must be positive")
        return w

    @cached_property
    def at_the_money(self) -> FloatArray:
        """w(0) of each slice, checked as in :meth:`variances`."""
        return self.variances(np.arange(len(self)), np.zeros(len(self)))


@kernel
def first_not_positive(values: FloatArray) -> int:
    """Return the first place whose value is not positive and finite, the number of values where all are."""
    for i in range(values.shape[0]):
        if not 0.0 < values[i] < np.inf:
            return i
    return len(values)


def _stacked(curves: Sequence[SmileCurve]) -> StackedSvi | None:
    for curve in curves:
        if not isinstance(curve, SviCurve):
            return None
    return StackedSvi.of(cast(Sequence[SviCurve], curves))


def _variance_one_by_one(curves: Sequence[SmileCurve], of_curve: IntArray, k: FloatArray) -> FloatArray:
    w = np.empty(k.shape)
    for i in np.unique(of_curve).tolist():
        rows = of_curve == i
        w[rows] = curves[i].total_variance(k[rows])
    return w
