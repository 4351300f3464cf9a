"""What a previous surface says about the expiries of a new fit."""

from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

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


_Row: TypeAlias = tuple[int, float, float, tuple[float, ...], tuple[float, ...], tuple[float, ...]]

_NO_KNOTS: Final[tuple[float, ...]] = (0.0,) * 4
_NO_COEFFICIENTS: Final[tuple[float, ...]] = (0.0,) * MAX_COEFFICIENTS
_UNKNOWN: Final[_Row] = (0, 1.0, 1.0, (0.0,) * SLICE_SIZE, _NO_KNOTS, _NO_COEFFICIENTS)


def previous_slices(smiles: Sequence[Smile], previous: Sequence[SliceState]) -> PreviousSlices:
    """Match ``previous`` to ``smiles``, at least one, by expiry; other models and slices without wings are unknown."""
    states = {state.expiry_ms: state for state in previous}
    kept, *columns = zip(*(_row(smile, states.get(smile.expiry_ms)) for smile in smiles), strict=True)
    return PreviousSlices(np.array(kept, dtype=np.int64), *(np.array(c, dtype=np.float64) for c in columns))


def _row(smile: Smile, state: SliceState | None) -> _Row:
    if state is None or not isinstance(state.curve, SviCurve) or state.curve.b <= 0.0 or state.t <= 0.0:
        return _UNKNOWN
    curve, spline = state.curve, state.curve.spline
    knots, coefficients = _NO_KNOTS, _NO_COEFFICIENTS
    if spline is not None and len(spline.coefficients) <= MAX_COEFFICIENTS:
        count = len(spline.coefficients)
        knots = (spline.scale, spline.spacing, spline.first, count)
        coefficients = spline.coefficients + _NO_COEFFICIENTS[count:]
    raw = (curve.a, curve.b, curve.rho, curve.m, curve.sigma)
    return 1, state.t, smile.t / state.t, raw, knots, coefficients
