"""The market factors of an underlying's surfaces: from their record, or where it does not reach, from kept surfaces.

What it gives depends on what the store keeps now alone, so every process answers alike, whether it has read before or
not. Surfaces are read in small pages: while one is unpacked nothing else runs in this process.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from app.service.factor_record import FactorReader, RecordedFactors
from app.service.ports import CorruptPayload, PublishedSurface, SurfaceReader
from app.service.surface_factors import NO_FACTORS, FactorDocument, FactorSeries, SurfaceFactors, surface_factors

PAGE: Final = 8
"""Surfaces read at once: two milliseconds."""
MOST_SURFACES: Final = 2_000
"""Newest ones of an underlying that are looked at: a week of five-minute chains."""
MOST_UNDERLYINGS: Final = 64
"""Whose factors are remembered: half a megabyte each where the record is full."""


_decode: Final = msgspec.json.Decoder(FactorDocument).decode


def published_factors(surface: PublishedSurface) -> SurfaceFactors:
    """Return the factors of a published surface. Raises CorruptPayload when its document is none of this version's."""
    try:
        document = _decode(surface.document)
    except msgspec.DecodeError as error:
        raise CorruptPayload(
            f"document of {surface.underlying} version {surface.version} cannot be read: {error}"
        ) from error
    return surface_factors(surface.as_of_ms, document)


@dataclass(slots=True)
class _Remembered:
    kept: FactorSeries = NO_FACTORS
    recorded: FactorSeries = NO_FACTORS
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)


class FactorHistory:
    """Factors by underlying, oldest first, of what ``record`` holds or of the surfaces that ``reader`` finds kept."""

    def __init__(self, reader: SurfaceReader, record: FactorReader | None = None) -> None:
        self._reader = reader
        self._record = record
        self._remembered: OrderedDict[str, _Remembered] = OrderedDict()

    async def of(self, underlying: str) -> FactorSeries:
        """Return the factors that are known. Raises StoreUnavailable, CorruptPayload."""
        remembered = self._remembered.setdefault(underlying, _Remembered())
        self._remembered.move_to_end(underlying)
        while len(self._remembered) > MOST_UNDERLYINGS:
            self._remembered.popitem(last=False)
        async with remembered.reading:
            recorded = await self._record.recorded(underlying, remembered.recorded) if self._record else None
            if recorded:
                remembered.recorded = recorded.series
                if await self._reaches_as_far(underlying, recorded):
                    remembered.kept = NO_FACTORS
                    return recorded.series
            remembered.kept = await self._read(underlying, remembered.kept)
            return remembered.kept

    async def _reaches_as_far(self, underlying: str, recorded: RecordedFactors) -> bool:
        """Say whether kept surfaces tell of nothing older; as many rows as surfaces reach no less far."""
        if len(recorded.series) >= MOST_SURFACES:
            return True
        return not await self._reader.history(underlying, before=recorded.since, limit=1)

    async def _read(self, underlying: str, known: FactorSeries) -> FactorSeries:
        newer = await self._after(underlying, int(known.version[-1])) if len(known) else None
        if newer is None:
            return await self._everything(underlying)
        if len(newer):  # only a new surface makes the store let old ones go
            known = known[await self._first_kept(underlying, known.version.tolist()) :] + newer
        return known[-MOST_SURFACES:]

    async def _everything(self, underlying: str) -> FactorSeries:
        found = NO_FACTORS
        while len(found) < MOST_SURFACES:
            before = int(found.version[0]) if len(found) else None
            page = await self._reader.history(underlying, before=before, limit=PAGE)
            found = _series(page[::-1]) + found
            if len(page) < PAGE:
                break
        return found[-MOST_SURFACES:]

    async def _after(self, underlying: str, version: int) -> FactorSeries | None:
        """Return the factors that follow ``version`` without a gap, None where that cannot be told."""
        newer = NO_FACTORS
        while True:
            page = await self._reader.after(underlying, int(newer.version[-1]) if len(newer) else version, PAGE)
            if page is None:
                return None
            newer = newer + _series(page)
            if len(page) < PAGE:
                return newer

    async def _first_kept(self, underlying: str, versions: Sequence[int]) -> int:
        """Return the place of the first of ``versions`` that is still kept: the oldest go first."""
        low, high = 0, len(versions)
        middle = 0  # most often nothing went
        while low < high:
            version = versions[middle]
            found = await self._reader.history(underlying, before=version + 1, limit=1)
            if found and found[0].version == version:
                high = middle
            else:
                low = middle + 1
            middle = (low + high) // 2
        return low


def _series(surfaces: Sequence[PublishedSurface]) -> FactorSeries:
    return FactorSeries.of([each.version for each in surfaces], [published_factors(each) for each in surfaces])
