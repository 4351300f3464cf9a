"""A calibrated surface: what it answers at any strike and maturity, and how forwards run between expiries."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from app.quant.arrays import FloatArray
from app.quant.black import strike_from_delta
from app.quant.errors import InvalidQuery
from app.quant.interpolation import Position, interpolated_variance, interpolated_variances
from app.quant.models.base import SliceState, SmileCurve
from app.quant.rate_curve import RateCurve
from app.quant.slice_variance import StackedSlices
from app.quant.stacked_bands import SAME_MATURITY_YEARS, StackedBands, half_widths_between
from app.quant.surface_delta import log_strikes
from app.quant.vol_band import VolBand


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

    def pack(self) -> None:
        """Pack slices and bands now, which the first question would wait for."""
        _ = self.states, self.maturities, self.stack.at_the_money, self.bands

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

    @cached_property
    def bands(self) -> StackedBands:
        """The slices' bands packed for questions at many points."""
        return StackedBands.of([s.band for s in self.slices])

    def half_width(self, k: FloatArray, t: float) -> FloatArray:
        """Return half-widths of the vol's band at log-moneyness ``k`` and maturity ``t``; as :meth:`half_widths`."""
        return self.half_widths(k.ravel(), np.full(k.size, t)).reshape(k.shape)

    def half_widths(self, k: FloatArray, t: FloatArray) -> FloatArray:
        """Return half-widths of the vol's band at ``k[i]`` and ``t[i]``, arrays of one length (vol_band.py).

        NaN where none is known: before the first expiry, beyond the last, and next to an expiry without a band.
        """
        return half_widths_between(k, t, self.maturities, self.bands)

    def forward(self, t: float) -> float:
        """Return the forward for ``t``, on the rate curve."""
        return float(self.rate_curve.forward_at(t))

    def forwards(self, t: FloatArray) -> FloatArray:
        """Return the forwards for ``t``, on the rate curve."""
        return self.rate_curve.forward_at(t)

    def discount_factor(self, t: float) -> float:
        """Return the premium currency's discount factor for ``t``, on the rate curve."""
        return float(self.rate_curve.discount_factor(t))

    def discount_factors(self, t: FloatArray) -> FloatArray:
        """Return the premium currency's discount factors for ``t``, on the rate curve."""
        return self.rate_curve.discount_factor(t)

    def covers(self, t: float) -> bool:
        """Return True where ``t`` lies within the calibrated expiries."""
        first, last = self.maturities[0], self.maturities[-1]
        return bool(first - SAME_MATURITY_YEARS <= t <= last + SAME_MATURITY_YEARS)

    def strikes_at_delta(self, delta: FloatArray, t: ArrayLike, is_call: ArrayLike, *, net: bool = False) -> FloatArray:
        """Return strikes whose own smile vol gives them ``delta`` (signed: puts negative); NaN where none does.

        ``delta`` (n,), the others of its length or one for all.
        """
        times = np.full(delta.shape, t)
        if not net:
            signed = np.where(np.equal(is_call, delta > 0.0), delta, np.nan)
            return self.forwards(times) * np.exp(log_strikes(signed, times, self.stack))

        def vol_of_k(k: FloatArray) -> FloatArray:
            vols: FloatArray = np.sqrt(self.total_variances(k, times)[0] / times)
            return vols

        return strike_from_delta(self.forwards(times), vol_of_k, times, delta, is_call, net=net)
