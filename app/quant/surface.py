"""A calibrated surface: what it answers at any strike and maturity, and how forwards run between expiries."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.quant.arrays import FloatArray
from app.quant.black import strike_from_delta
from app.quant.errors import InvalidQuery
from app.quant.interpolation import Position, interpolated_variance, interpolated_variances
from app.quant.models.base import SliceState, SmileCurve
from app.quant.rate_curve import RateCurve
from app.quant.slice_variance import StackedSlices
from app.quant.vol_band import VolBand, half_width_between

SAME_MATURITY_YEARS: Final = 1e-10
"""Two maturities closer than this (3 ms) are one: below the clock's resolution."""


@dataclass(frozen=True, slots=True)
class SurfaceSlice:
    """One expiry of a surface; t in years at the surface's ``as_of_ms``, forward in quote currency.

    ``band`` holds its error bars; None where nothing is known of them.
    """

    expiry_ms: int
    t: float
    forward: float
    forward_sd: float
    discount_factor: float
    curve: SmileCurve
    band: VolBand | None = None

    @property
    def state(self) -> SliceState:
        """Expiry, t and curve: what certificate, interpolation and warm starts need."""
        return SliceState(self.expiry_ms, self.t, self.curve)


@dataclass(frozen=True)
class VolSurface:
    """Slices of one underlying, expiries ascending, and the curve of its forwards and discount factors.

    Raises InvalidQuery when built without a slice.
    """

    underlying: str
    as_of_ms: int
    model: str
    slices: tuple[SurfaceSlice, ...]
    rate_curve: RateCurve

    def __post_init__(self) -> None:
        if not self.slices:
            raise InvalidQuery(f"surface of {self.underlying} has no slice: there is nothing to ask")

    @cached_property
    def states(self) -> tuple[SliceState, ...]:
        """The slices as the pure functions take them."""
        return tuple(s.state for s in self.slices)

    @cached_property
    def stack(self) -> StackedSlices:
        """The slices packed for questions at many points."""
        return StackedSlices.of(self.states)

    @cached_property
    def maturities(self) -> FloatArray:
        """Maturities of the slices in years, ascending."""
        return np.array([s.t for s in self.slices])

    def total_variance(self, k: FloatArray, t: float) -> tuple[FloatArray, Position]:
        """Return w(k, t) and where t lies; free of arbitrage between and beyond expiries (interpolation.py)."""
        return interpolated_variance(k, t, self.stack)

    def total_variances(self, k: FloatArray, t: FloatArray) -> tuple[FloatArray, NDArray[np.int8]]:
        """Return w(k_i, t_i) and the :class:`Position` of each t_i, arrays of one length."""
        return interpolated_variances(k, t, self.stack)

    def vol(self, k: FloatArray, t: float) -> FloatArray:
        """Return implied vols at log-moneyness ``k`` and maturity ``t`` > 0."""
        w, _ = self.total_variance(k, t)
        return np.sqrt(w / t)

    def half_width(self, k: FloatArray, t: float) -> FloatArray:
        """Return half-widths of the vol's band at ``k`` and ``t`` (vol_band.py).

        NaN where none is known: before the first expiry, beyond the last, and next to an expiry without a band.
        """
        unknown = np.full(k.shape, np.nan)
        if not self.covers(t):
            return unknown
        nearest = self.slices[int(np.abs(self.maturities - t).argmin())]
        if abs(nearest.t - t) <= SAME_MATURITY_YEARS:
            return nearest.band.half_width_at(k) if nearest.band else unknown
        after = int(np.searchsorted(self.maturities, t))
        earlier, later = self.slices[after - 1], self.slices[after]
        if earlier.band is None or later.band is None:
            return unknown
        return half_width_between(k, t, (earlier.t, earlier.band), (later.t, later.band))

    def forward(self, t: float) -> float:
        """Return the forward for ``t``, on the rate curve."""
        return float(self.rate_curve.forward_at(t))

    def discount_factor(self, t: float) -> float:
        """Return the premium currency's discount factor for ``t``, on the rate curve."""
        return float(self.rate_curve.discount_factor(t))

    def covers(self, t: float) -> bool:
        """Return True where ``t`` lies within the calibrated expiries."""
        first, last = self.maturities[0], self.maturities[-1]
        return bool(first - SAME_MATURITY_YEARS <= t <= last + SAME_MATURITY_YEARS)

    def strikes_at_delta(
        self, delta: FloatArray, t: float, is_call: Sequence[bool], *, net: bool = False
    ) -> FloatArray:
        """Return strikes whose own smile vol gives them ``delta`` (signed: puts negative); NaN where none does."""

        def vol_of_k(k: FloatArray) -> FloatArray:
            return self.vol(k, t)

        return strike_from_delta(self.forward(t), vol_of_k, t, delta, np.asarray(is_call), net=net)
