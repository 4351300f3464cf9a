"""A published surface -> its market factors, and the factors of many surfaces in columns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np

from app.quant.arrays import BoolArray, FloatArray, IntArray
from app.quant.market_factors import FACTORS, TENOR_DAYS, MarketFactors, log_forward_at, market_factors
from app.service.document import RateCurveDocument, SurfaceDocument, VolGrid


@dataclass(frozen=True, slots=True)
class SurfaceFactors:
    """The factors of one surface. ``moved`` ones took their smile from an earlier fit."""

    as_of_ms: int
    degraded: bool
    moved: bool
    factors: MarketFactors


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FactorSeries:
    """Factors of several surfaces, versions ascending: columns (n,), and ``values`` (n, FACTORS); NaN is missing."""

    version: IntArray
    as_of_ms: IntArray
    degraded: BoolArray
    moved: BoolArray
    values: FloatArray
    smile_slope: FloatArray

    @classmethod
    def of(cls, versions: Sequence[int], surfaces: Sequence[SurfaceFactors]) -> "FactorSeries":
        """Return the factors of ``surfaces``, which have these versions."""
        return cls(
            version=np.array(versions, np.int64),
            as_of_ms=np.array([each.as_of_ms for each in surfaces], np.int64),
            degraded=np.array([each.degraded for each in surfaces], np.bool_),
            moved=np.array([each.moved for each in surfaces], np.bool_),
            values=np.array([each.factors.values for each in surfaces], np.float64).reshape(-1, len(FACTORS)),
            smile_slope=np.array([each.factors.smile_slope for each in surfaces], np.float64),
        )

    def __len__(self) -> int:
        """Return the number of surfaces."""
        return self.version.size

    def __getitem__(self, rows: slice | BoolArray) -> "FactorSeries":
        """Return some of the surfaces."""
        return FactorSeries(*(column[rows] for column in self._columns()))

    def __add__(self, later: "FactorSeries") -> "FactorSeries":
        """Return these surfaces and ``later`` ones after them."""
        pairs = zip(self._columns(), later._columns(), strict=True)
        return FactorSeries(*(np.concatenate(pair) for pair in pairs)) if len(later) else self

    def _columns(self) -> tuple[np.ndarray[Any, Any], ...]:
        return self.version, self.as_of_ms, self.degraded, self.moved, self.values, self.smile_slope


NO_FACTORS: Final = FactorSeries.of([], [])


class _Recalibration(msgspec.Struct, frozen=True):
    kind: str


class FactorDocument(msgspec.Struct, frozen=True):
    """The part of a SurfaceDocument that factors are read from; the rest is passed over."""

    status: str
    rate_curve: RateCurveDocument
    vol_grid: VolGrid
    recalibration: _Recalibration | None = None


def surface_factors(as_of_ms: int, document: SurfaceDocument | FactorDocument) -> SurfaceFactors:
    """Return the factors of the surface that ``document`` publishes."""
    curve, grid = document.rate_curve, document.vol_grid
    log_forward = log_forward_at(TENOR_DAYS / 365.0, curve.spot, curve.t, curve.carry)
    return SurfaceFactors(
        as_of_ms=as_of_ms,
        degraded=document.status != "ok",
        moved=document.recalibration is not None and document.recalibration.kind == "moved",
        factors=market_factors(grid.tenor_days, grid.delta, grid.vol, log_forward),
    )
