"""One shard's update log: a blocking read from the last entry seen.

An entry brings the surface that was published, so that one answer is all a subscriber waits for; one that brings none,
or a damaged one, is read from its history. Entries are numbered without gaps, so an entry that was trimmed before we
read it shows, and is made good from the histories.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from app.service.ports import CorruptPayload, PublishedSurface, StoreUnavailable
from app.store.keys import Keys
from app.store.links import Link
from app.store.records import Entry, surface_of
from app.store.surfaces import RedisSurfaceReader

log = logging.getLogger(__name__)

BATCH: Final = 100
"""Entries taken in one read: a burst after a pause is handed over in pieces."""


@dataclass(slots=True)
class _Position:
    """Where in the log we are: id and number of the last entry seen."""

    entry: str
    number: int


class UpdateLog:
    """The log of ``shard``, read by one task at a time. Every method raises StoreUnavailable."""

    def __init__(self, shard: int, blocking: Link, reader: RedisSurfaceReader, keys: Keys) -> None:
        self._shard = shard
        self._blocking = blocking
        self._reader = reader
        self._keys = keys
        self._position: _Position | None = None
        self._handed_over: dict[str, int] = {}
        self._begun_at = 0
        self._unsure = False

    async def begin(self) -> None:
        """Begin at the end of the log, the first time; after a failure step back to the end of a log that lost it."""
        if self._position and not self._unsure:
            return
        last, number = await self._blocking.run_all(
            [
                ("XREVRANGE", self._keys.updates(self._shard), "+", "-", "COUNT", 1),
                ("HGET", self._keys.counters(self._shard), "updates"),
            ]
        )
        end, known = _Position(last[0][0].decode() if last else "0-0", int(number or 0)), self._position
        if known is None:
            ((_, (clock,)),) = await self._blocking.of_owners([self._keys.updates(self._shard)], [("TIME",)])
            self._begun_at = clock[0] * 1_000_000 + clock[1]
        elif _moment(end.entry) < _moment(known.entry):
            log.warning("update_log_went_back", extra={"shard": self._shard, "from": known.number, "to": end.number})
        if known is None or _moment(end.entry) < _moment(known.entry):
            self._position = end
        self._unsure = False

    async def read(self, block_s: float) -> list[PublishedSurface]:
        """Wait for surfaces up to ``block_s`` and return them in commit order, each once."""
        try:
            await self.begin()
            assert self._position is not None
            updates, block_ms = self._keys.updates(self._shard), max(1, round(block_s * 1e3))
            answer = await self._blocking.run(
                "XREAD", "COUNT", BATCH, "BLOCK", block_ms, "STREAMS", updates, self._position.entry
            )
            return await self._taken(self._position, answer[0][1]) if answer else []
        except (StoreUnavailable, asyncio.CancelledError):
            self._unsure = True
            raise

    async def _taken(self, position: _Position, entries: list[Entry]) -> list[PublishedSurface]:
        """Return the surfaces the entries announce. The position moves only after everything was read."""
        numbers = [int(fields[b"number"]) for _, fields in entries]
        missed = numbers[0] - position.number - 1
        surfaces = await self._made_good(missed) if missed > 0 else []
        for _, fields in entries:
            surfaces += await self._announced(fields)
        self._position = _Position(entries[-1][0].decode(), numbers[-1])
        return self._not_yet_handed_over(surfaces)

    async def _announced(self, fields: Mapping[bytes, bytes]) -> list[PublishedSurface]:
        """Return the surface in an entry, or the one its history has under that version, if that is undamaged."""
        underlying, version = fields[b"underlying"].decode(), f"{int(fields[b'version'])}-0"
        try:
            return [surface_of(underlying, (version.encode(), fields))]
        except CorruptPayload as corrupt:  # or written by a worker of older code, while the program is updated
            log.warning("update_without_surface", extra={"underlying": underlying, "reason": str(corrupt)})
            page = await self._blocking.run("XRANGE", self._keys.history(underlying), version, version)
            return await self._reader.readable(underlying, page)

    async def _made_good(self, missed: int) -> list[PublishedSurface]:
        """Return what the histories keep beyond what was handed over."""
        log.warning("update_log_trimmed_past_reader", extra={"shard": self._shard, "entries_missed": missed})
        underlyings = await self._blocking.run("SMEMBERS", self._keys.underlyings(self._shard))
        names = [name.decode() for name in underlyings]
        since = [self._handed_over.get(name, self._begun_at) for name in names]
        pages = await self._blocking.run_all(
            [
                ("XRANGE", self._keys.history(name), f"({version}-0", "+")
                for name, version in zip(names, since, strict=True)
            ]
        )
        surfaces = []
        for name, page in zip(names, pages, strict=True):
            surfaces += await self._reader.readable(name, page)
        return surfaces

    def _not_yet_handed_over(self, surfaces: list[PublishedSurface]) -> list[PublishedSurface]:
        fresh = []
        for surface in sorted(surfaces, key=lambda each: each.version):
            if surface.version > self._handed_over.get(surface.underlying, 0):
                self._handed_over[surface.underlying] = surface.version
                fresh.append(surface)
        return fresh


def _moment(entry: str) -> tuple[int, int]:
    milliseconds, _, sequence = entry.partition("-")
    return int(milliseconds), int(sequence)
