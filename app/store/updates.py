"""UpdateFeed over the store: one blocking read of the update logs, from the last entry seen.

The log says which version of which underlying was published; the surface itself is read from its history. Entries are
numbered without gaps, so an entry that was trimmed before we read it shows, and is made good from the histories.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

from app.service.ports import PublishedSurface, StoreUnavailable
from app.store.keys import Keys
from app.store.links import BLOCK_S, Command, Link
from app.store.records import Entry
from app.store.surfaces import RedisSurfaceReader

log = logging.getLogger(__name__)

_BATCH = 100
"""Entries taken in one read: a burst after a pause is handed over in pieces."""


@dataclass(slots=True)
class _Position:
    """Where in a shard's log we are: id and number of the last entry seen."""

    entry: str
    number: int


class RedisUpdateFeed:
    """The one subscription of a process, for one task; see ports.UpdateFeed. It begins at its first call."""

    def __init__(self, blocking: Link, reader: RedisSurfaceReader, keys: Keys) -> None:
        self._blocking = blocking
        self._reader = reader
        self._keys = keys
        self._positions: dict[int, _Position] = {}
        self._handed_over: dict[str, int] = {}
        self._begun_at = 0
        self._unsure = False

    async def next_updates(self, timeout_s: float) -> Sequence[PublishedSurface]:
        """Wait for committed surfaces, in commit order, each once; empty on timeout."""
        deadline = time.monotonic() + timeout_s
        try:
            await self._find_positions()
            while True:
                remaining_s = deadline - time.monotonic()
                answer = await self._wait(min(max(remaining_s, 0.001), BLOCK_S))
                updates = await self._take(answer) if answer else []
                if updates or deadline <= time.monotonic():
                    return updates
        except (StoreUnavailable, asyncio.CancelledError):
            self._unsure = True
            raise

    async def _find_positions(self) -> None:
        """Begin at the end of the logs; after a failure, step back where a restarted server has lost their tails."""
        if self._positions and not self._unsure:
            return
        asked: list[Command] = [
            ("XREVRANGE", self._keys.updates(shard), "+", "-", "COUNT", 1) for shard in self._keys.shards
        ]
        asked += [("HGET", self._keys.counters(shard), "updates") for shard in self._keys.shards]
        *ends, clock = await self._blocking.run_all([*asked, ("TIME",)])
        shards = len(self._keys.shards)
        if not self._positions:
            self._begun_at = clock[0] * 1_000_000 + clock[1]
        for shard, last, number in zip(self._keys.shards, ends[:shards], ends[shards:], strict=True):
            end = _Position(last[0][0].decode() if last else "0-0", int(number or 0))
            known = self._positions.get(shard)
            if known is None or _moment(end.entry) < _moment(known.entry):
                if known:
                    log.warning("update_log_went_back", extra={"shard": shard, "from": known.number, "to": end.number})
                self._positions[shard] = end
        self._unsure = False

    async def _wait(self, block_s: float) -> list[tuple[bytes, list[Entry]]]:
        shards = self._keys.shards
        answer: list[tuple[bytes, list[Entry]]] | None = await self._blocking.run(
            "XREAD",
            "COUNT",
            _BATCH,
            "BLOCK",
            max(1, round(block_s * 1e3)),
            "STREAMS",
            *[self._keys.updates(shard) for shard in shards],
            *[self._positions[shard].entry for shard in shards],
        )
        return answer or []

    async def _take(self, answer: list[tuple[bytes, list[Entry]]]) -> list[PublishedSurface]:
        """Return the surfaces the entries announce. Positions move only after everything was read."""
        shard_of = {self._keys.updates(shard).encode(): shard for shard in self._keys.shards}
        positions = {}
        announced: list[tuple[str, int]] = []
        missed: list[PublishedSurface] = []
        for stream, entries in answer:
            shard = shard_of[stream]
            numbers = [int(fields[b"number"]) for _, fields in entries]
            if numbers[0] > self._positions[shard].number + 1:
                missed += await self._make_good(shard, numbers[0])
            positions[shard] = _Position(entries[-1][0].decode(), numbers[-1])
            announced += [(fields[b"underlying"].decode(), int(fields[b"version"])) for _, fields in entries]
        surfaces = missed + await self._read(announced)
        self._positions.update(positions)
        return self._not_yet_handed_over(surfaces)

    async def _read(self, announced: list[tuple[str, int]]) -> list[PublishedSurface]:
        pages = await self._blocking.run_all(
            [
                ("XRANGE", self._keys.history(underlying), f"{version}-0", f"{version}-0")
                for underlying, version in announced
            ]
        )
        surfaces = []
        for (underlying, _), page in zip(announced, pages, strict=True):
            surfaces += await self._reader.readable(underlying, page)
        return surfaces

    async def _make_good(self, shard: int, number: int) -> list[PublishedSurface]:
        """Return what the histories keep of a shard beyond what was handed over."""
        missed = number - self._positions[shard].number - 1
        log.warning("update_log_trimmed_past_reader", extra={"shard": shard, "entries_missed": missed})
        names = [name.decode() for name in await self._blocking.run("SMEMBERS", self._keys.underlyings(shard))]
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
