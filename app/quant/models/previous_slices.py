"""What a previous surface says about the expiries of a new fit."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from app.quant.arrays import FloatArray, IntArray
from app.quant.models.base import SliceState
from app.quant.models.packed_curve import MAX_COEFFICIENTS
from app.quant.models.svi_coordinates import SLICE_SIZE
from app.quant.models.svi_curve import SviCurve
from app.quant.smile import Smile


class PreviousSlices(NamedTuple):
    """The previous slices in the order of the new smiles; rows with ``kept`` 0 are unknown."""

    kept: IntArray
    """(n): 1 where the expiry was fitted before."""
    t: FloatArray
    """(n): year fraction it was fitted at; 1 where unknown."""
    ratio: FloatArray
    """(n): t now over t then."""
    raw: FloatArray
    """(n, 5): raw SVI (a, b, rho, m, sigma)."""
    knots: FloatArray
    """(n, 4): scale, spacing, first, count of the residual; count 0 without one."""
    coefficients: FloatArray
    """(n, MAX_COEFFICIENTS)"""

    @property
    def matches(self) -> int:
        """Number of known expiries."""
        return int(self.kept.sum())


def previous_slices(smiles: Sequence[Smile], previous: Sequence[SliceState]) -> PreviousSlices:
    """Match ``previous`` to ``smiles`` by expiry; curves of other models and degenerate slices are unknown."""
    n = len(smiles)
    matched = PreviousSlices(
        np.zeros(n, dtype=np.int64),
        np.ones(n),
        np.ones(n),
        np.zeros((n, SLICE_SIZE)),
        np.zeros((n, 4)),
        np.zeros((n, MAX_COEFFICIENTS)),
    )
    states = {state.expiry_ms: state for state in previous}
    for i, smile in enumerate(smiles):
        state = states.get(smile.expiry_ms)
        if state is None or not isinstance(state.curve, SviCurve) or state.curve.b <= 0.0 or state.t <= 0.0:
            continue
        curve = state.curve
        matched.kept[i] = 1
        matched.t[i] = state.t
        matched.ratio[i] = smile.t / state.t
        matched.raw[i] = (curve.a, curve.b, curve.rho, curve.m, curve.sigma)
        spline = curve.spline
        if spline is not None and len(spline.coefficients) <= MAX_COEFFICIENTS:
            matched.knots[i] = (spline.scale, spline.spacing, spline.first, len(spline.coefficients))
            matched.coefficients[i, : len(spline.coefficients)] = spline.coefficients
    return matched
