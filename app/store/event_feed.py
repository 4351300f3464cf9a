"""EventFeed over the store: one blocking read of the event logs, from the last entry seen."""

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Final

from app.service.event import EventBatch, EventId
from app.service.ports import StoreUnavailable
from app.store.event_records import event_of, id_of, number_of
from app.store.keys import Keys
from app.store.links import BLOCK_S, Link
from app.store.records import Entry

log = logging.getLogger(__name__)

BATCH: Final = 500
"""Entries taken in one read: some 200 kB."""


@dataclass(frozen=True, slots=True)
class _Position:
    """Where in a shard's log we are: id and number of the last entry seen."""

    last: EventId
    number: int


class RedisEventFeed:
    """The one subscription of a process to events, for one task; see event.EventFeed. It begins at its first call."""

    def __init__(self, blocking: Link, keys: Keys) -> None:
        self._blocking = blocking
        self._keys = keys
        self._positions: dict[int, _Position] = {}
        self._unsure = True

    async def next_events(self, timeout_s: float) -> EventBatch:
        """Wait for events, each once; empty on timeout."""
        deadline = time.monotonic() + timeout_s
        try:
            await self._find_positions()
            while True:
                remaining_s = deadline - time.monotonic()
                answer = await self._wait(min(max(remaining_s, 0.001), BLOCK_S))
                batch = self._taken(answer)
                if batch.events or batch.missed or deadline <= time.monotonic():
                    return batch
        except (StoreUnavailable, asyncio.CancelledError):
            self._unsure = True
            raise

    async def _find_positions(self) -> None:
        """Begin at the end of the logs; after a failure, step back where a restarted server has lost their tails."""
        if not self._unsure:
            return
        ends = await self._blocking.run_all(
            [("XREVRANGE", self._keys.events(shard), "+", "-", "COUNT", 1) for shard in self._keys.shards]
        )
        for shard, page in zip(self._keys.shards, ends, strict=True):
            end = _Position(EventId(0, 0, shard), 0)
            if page:
                end = _Position(id_of(page[0][0], shard), number_of(page[0]))
            known = self._positions.get(shard)
            if known is None or end.last < known.last:
                self._positions[shard] = end
        self._unsure = False

    async def _wait(self, block_s: float) -> list[tuple[bytes, list[Entry]]]:
        shards = self._keys.shards
        answer: list[tuple[bytes, list[Entry]]] | None = await self._blocking.run(
            "XREAD",
            "COUNT",
            BATCH,
            "BLOCK",
            max(1, round(block_s * 1e3)),
            "STREAMS",
            *[self._keys.events(shard) for shard in shards],
            *[self._positions[shard].last.entry for shard in shards],
        )
        return answer or []

    def _taken(self, answer: list[tuple[bytes, list[Entry]]]) -> EventBatch:
        shard_of = {self._keys.events(shard).encode(): shard for shard in self._keys.shards}
        events = []
        missed = 0
        for stream, entries in answer:
            shard = shard_of[stream]
            missed += max(0, number_of(entries[0]) - self._positions[shard].number - 1)
            self._positions[shard] = _Position(id_of(entries[-1][0], shard), number_of(entries[-1]))
            events += [event for entry in entries if (event := event_of(entry, shard))]
        if missed:
            log.warning("event_log_trimmed_past_reader", extra={"events_missed": missed})
        return EventBatch(tuple(sorted(events, key=lambda event: EventId.parse(event.id))), missed)
