"""The market factors of kept surfaces: read from the store once, then only what is new.

What it gives is always that of the surfaces which the store keeps now, so every process answers alike, whether it has
read them before or not. Surfaces are read in small pages: while one is unpacked nothing else runs in this process.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from app.quant.market_factors import TENOR_DAYS, MarketFactors, log_forward_at, market_factors
from app.service.document import RateCurveDocument, VolGrid
from app.service.ports import CorruptPayload, PublishedSurface, SurfaceReader

PAGE: Final = 8
"""Surfaces read at once: two milliseconds."""
MOST_SURFACES: Final = 2_000
"""Newest ones of an underlying that are looked at: a week of five-minute chains."""
MOST_UNDERLYINGS: Final = 64
"""Whose factors are remembered: some 20 MB where each keeps MOST_SURFACES."""


@dataclass(frozen=True, slots=True)
class FactorPoint:
    """The factors of one surface. ``moved`` ones took their smile from an earlier fit."""

    version: int
    as_of_ms: int
    degraded: bool
    moved: bool
    factors: MarketFactors


class _Recalibration(msgspec.Struct, frozen=True):
    kind: str


class _FactorDocument(msgspec.Struct, frozen=True):
    """The part of a SurfaceDocument that factors are read from; the rest is passed over."""

    status: str
    rate_curve: RateCurveDocument
    vol_grid: VolGrid
    recalibration: _Recalibration | None = None


@dataclass(slots=True)
class _Remembered:
    points: list[FactorPoint] = field(default_factory=list)
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)


_decode: Final = msgspec.json.Decoder(_FactorDocument).decode


def factor_point(surface: PublishedSurface) -> FactorPoint:
    """Return the factors of a published surface. Raises CorruptPayload when its document is none of this version's."""
    try:
        document = _decode(surface.document)
    except msgspec.DecodeError as error:
        raise CorruptPayload(
            f"document of {surface.underlying} version {surface.version} cannot be read: {error}"
        ) from error
    curve, grid = document.rate_curve, document.vol_grid
    log_forward = log_forward_at(TENOR_DAYS / 365.0, curve.spot, curve.t, curve.carry)
    return FactorPoint(
        version=surface.version,
        as_of_ms=surface.as_of_ms,
        degraded=document.status != "ok",
        moved=document.recalibration is not None and document.recalibration.kind == "moved",
        factors=market_factors(grid.tenor_days, grid.delta, grid.vol, log_forward),
    )


class FactorHistory:
    """Factors by underlying, oldest first, of the surfaces that ``reader`` finds kept."""

    def __init__(self, reader: SurfaceReader) -> None:
        self._reader = reader
        self._remembered: OrderedDict[str, _Remembered] = OrderedDict()

    async def of(self, underlying: str) -> Sequence[FactorPoint]:
        """Return the factors of the kept surfaces, MOST_SURFACES at most. Raises StoreUnavailable, CorruptPayload."""
        remembered = self._remembered.setdefault(underlying, _Remembered())
        self._remembered.move_to_end(underlying)
        while len(self._remembered) > MOST_UNDERLYINGS:
            self._remembered.popitem(last=False)
        async with remembered.reading:
            remembered.points = await self._read(underlying, remembered.points)
            return tuple(remembered.points)

    async def _read(self, underlying: str, points: list[FactorPoint]) -> list[FactorPoint]:
        newer = await self._after(underlying, points[-1].version) if points else None
        if newer is None:
            return await self._everything(underlying)
        if newer:  # only a new surface makes the store let old ones go
            points = points[await self._first_kept(underlying, points) :] + newer
        return points[-MOST_SURFACES:]

    async def _everything(self, underlying: str) -> list[FactorPoint]:
        newest_first: list[FactorPoint] = []
        while len(newest_first) < MOST_SURFACES:
            before = newest_first[-1].version if newest_first else None
            page = await self._reader.history(underlying, before=before, limit=PAGE)
            newest_first += map(factor_point, page)
            if len(page) < PAGE:
                break
        return newest_first[:MOST_SURFACES][::-1]

    async def _after(self, underlying: str, version: int) -> list[FactorPoint] | None:
        """Return the points that follow ``version`` without a gap, None where that cannot be told."""
        newer: list[FactorPoint] = []
        while True:
            page = await self._reader.after(underlying, newer[-1].version if newer else version, PAGE)
            if page is None:
                return None
            newer += map(factor_point, page)
            if len(page) < PAGE:
                return newer

    async def _first_kept(self, underlying: str, points: Sequence[FactorPoint]) -> int:
        """Return the place of the first of ``points`` that is still kept: the oldest go first."""
        low, high = 0, len(points)
        middle = 0  # most often nothing went
        while low < high:
            version = points[middle].version
            found = await self._reader.history(underlying, before=version + 1, limit=1)
            if found and found[0].version == version:
                high = middle
            else:
                low = middle + 1
            middle = (low + high) // 2
        return low
