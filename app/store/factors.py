"""FactorReader over the store: rows read in pages, of those that are known already only what is new."""

import logging
from collections.abc import Sequence
from typing import Final

from app.service.factor_record import RecordedFactors
from app.service.ports import CorruptPayload
from app.service.surface_factors import NO_FACTORS, FactorSeries
from app.store.factor_rows import check_row, decode_rows
from app.store.keys import Keys
from app.store.links import Link
from app.store.quarantine import factors_quarantined
from app.store.records import Entry, version_of

log = logging.getLogger(__name__)

PAGE: Final = 1_000
"""Rows read at once: two milliseconds."""


class RedisFactorReader:
    """See factor_record.FactorReader."""

    def __init__(self, link: Link, keys: Keys) -> None:
        self._link = link
        self._keys = keys

    async def recorded(self, underlying: str, known: FactorSeries) -> RecordedFactors | None:
        """Return what is recorded; None unless that goes on to the newest surface.

        The last row of ``known`` waited beside the stream and may have been replaced; those before it are final.
        """
        stream, final = self._keys.factors(underlying), known[:-1]
        last = int(final.version[-1]) if len(final) else 0
        # What waits is read first: if it waits no more by then, it is found in the stream.
        (waiting, newest, since, version), oldest, page = await self._link.run_all(
            [
                ("HMGET", self._keys.state(underlying), "factor_row", "factor_version", "factor_since", "version"),
                ("XRANGE", stream, "-", "+", "COUNT", 1),
                ("XRANGE", stream, f"{last}-0", "+", "COUNT", PAGE),
            ]
        )
        if not waiting or newest != version:
            return None
        if len(final):
            if not page or version_of(page[0][0]) != last:  # the store is not the one that was read, or let it go
                return await self.recorded(underlying, NO_FACTORS)
            final = final[final.version >= version_of(oldest[0][0])]
        found = final + await self._readable(underlying, page[1:] if len(final) else page)
        while len(page) == PAGE:
            after = f"({version_of(page[-1][0])}-0"
            page = await self._link.run("XRANGE", stream, after, "+", "COUNT", PAGE)
            found = found + await self._readable(underlying, page)
        try:
            check_row(underlying, waiting)
        except CorruptPayload as corrupt:  # set aside once it is in the stream
            log.error("factors_damaged", extra={"underlying": underlying, "reason": str(corrupt)})
            return None
        found = found[found.version < int(newest)] + decode_rows([int(newest)], [waiting])
        return RecordedFactors(found, int(since))

    async def _readable(self, underlying: str, page: Sequence[Entry]) -> FactorSeries:
        """Return the undamaged rows of ``page`` and put the others in quarantine."""
        versions, rows = [], []
        for name, fields in page:
            row = fields.get(b"row", b"")
            try:
                check_row(underlying, row)
            except CorruptPayload as corrupt:
                await self._link.call(*factors_quarantined(self._keys, underlying, (name, fields), str(corrupt)))
                continue
            versions.append(version_of(name))
            rows.append(row)
        return decode_rows(versions, rows) if rows else NO_FACTORS
