"""What a previous surface says about the expiries of a new fit."""

from collections.abc import Sequence
from itertools import chain
from typing import Final, NamedTuple

import numpy as np

from app.quant.arrays import FloatArray, IntArray
from app.quant.models.base import SliceState
from app.quant.models.packed_curve import KNOT_NUMBERS, MAX_COEFFICIENTS
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
        return int(np.count_nonzero(self.kept))


_KEPT, _T, _RATIO = 0, 1, 2
_RAW: Final = slice(3, 3 + SLICE_SIZE)
_KNOTS: Final = slice(_RAW.stop, _RAW.stop + KNOT_NUMBERS)
_COEFFICIENTS: Final = slice(_KNOTS.stop, _KNOTS.stop + MAX_COEFFICIENTS)
"""Columns of what is known of a slice."""
_PLAIN: Final = (0.0,) * (KNOT_NUMBERS + MAX_COEFFICIENTS)
_UNKNOWN: Final = (0.0, 1.0, 1.0, *(0.0,) * SLICE_SIZE, *_PLAIN)


def previous_slices(smiles: Sequence[Smile], previous: Sequence[SliceState]) -> PreviousSlices:
    """Match ``previous`` to ``smiles``, at least one, by expiry; other models and slices without wings are unknown."""
    states = {state.expiry_ms: state for state in previous}
    numbers = chain.from_iterable(_row(smile, states.get(smile.expiry_ms)) for smile in smiles)
    table = np.fromiter(numbers, np.float64, _COEFFICIENTS.stop * len(smiles)).reshape(len(smiles), -1)
    columns = (table[:, column].copy() for column in (_T, _RATIO, _RAW, _KNOTS, _COEFFICIENTS))
    return PreviousSlices(table[:, _KEPT].astype(np.int64), *columns)


def _row(smile: Smile, state: SliceState | None) -> tuple[float, ...]:
    if state is None or not isinstance(state.curve, SviCurve) or state.curve.b <= 0.0 or state.t <= 0.0:
        return _UNKNOWN
    curve, spline = state.curve, state.curve.spline
    known = (1.0, state.t, smile.t / state.t, curve.a, curve.b, curve.rho, curve.m, curve.sigma)
    if spline is None or len(spline.coefficients) > MAX_COEFFICIENTS:
        return known + _PLAIN
    count = len(spline.coefficients)
    residual = (spline.scale, spline.spacing, spline.first, count, *spline.coefficients)
    return known + residual + _PLAIN[len(residual) :]
