"""Total variance of slices, checked: what interpolation in maturity is made of. Many slices are asked at once."""

from collections.abc import Sequence
from typing import cast

import numpy as np

from app.quant.arrays import FloatArray, IntArray
from app.quant.errors import InvalidParameters
from app.quant.models.base import SliceState, SmileCurve
from app.quant.models.stacked_svi import StackedSvi
from app.quant.models.svi_curve import SviCurve


def stacked_variance(curves: Sequence[SmileCurve], of_curve: IntArray, k: FloatArray) -> FloatArray:
    """Return w(k_i) of the curve ``curves[of_curve[i]]``; arrays of one length. SVI curves in one call."""
    if all(isinstance(curve, SviCurve) for curve in curves):
        return StackedSvi.of(cast(Sequence[SviCurve], curves)).total_variance(of_curve, k)
    w = np.empty(k.shape)
    for i in np.unique(of_curve).tolist():
        rows = of_curve == i
        w[rows] = curves[i].total_variance(k[rows])
    return w


def variances(slices: Sequence[SliceState], of_slice: IntArray, k: FloatArray) -> FloatArray:
    """Return w(k_i) of the slice ``slices[of_slice[i]]``; arrays of one length.

    Raises InvalidParameters where a curve's w is not a positive number.
    """
    w = stacked_variance([state.curve for state in slices], of_slice, k)
    bad = ~((w > 0.0) & np.isfinite(w))
    if bad.any():
        i = int(np.argmax(bad))
        expiry_ms = slices[of_slice[i]].expiry_ms
        raise InvalidParameters(f"expiry {expiry_ms}: total variance {w[i]} at k = {k[i]} must be positive")
    return w


def at_the_money_variances(slices: Sequence[SliceState]) -> FloatArray:
    """Return w(0) of each slice, checked as in :func:`variances`."""
    return variances(slices, np.arange(len(slices)), np.zeros(len(slices)))
