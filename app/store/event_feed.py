"""EventFeed over the store: the event logs of all shards, read side by side, each from the last entry seen."""

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Final

from app.service.event import EventBatch, EventId
from app.service.ports import StoreUnavailable
from app.store.event_records import event_of, id_of, number_of
from app.store.keys import Keys
from app.store.links import Link
from app.store.records import Entry
from app.store.shard_reads import ShardReads

log = logging.getLogger(__name__)

BATCH: Final = 500
"""Entries taken in one read: some 200 kB."""
LINGER_S: Final = 0.02
"""How long an event waits for an older one of another shard."""


@dataclass(frozen=True, slots=True)
class _Position:
    """Where in a shard's log we are: id and number of the last entry seen."""

    last: EventId
    number: int


class RedisEventFeed:
    """The one subscription of a process to events, for one task; see event.EventFeed. It begins at its first call."""

    def __init__(self, blocking: Link, keys: Keys) -> None:
        self._tails = {shard: _Tail(shard, blocking, keys) for shard in keys.shards}
        self._reads = ShardReads({shard: tail.read for shard, tail in self._tails.items()}, LINGER_S)
        self._begun = False

    async def next_events(self, timeout_s: float) -> EventBatch:
        """Wait for events, each once; empty on timeout."""
        deadline = time.monotonic() + timeout_s
        if not self._begun:
            await asyncio.gather(*(tail.begin() for tail in self._tails.values()))
            self._begun = True
        while True:
            batches = await self._reads.arrived(deadline)
            events = [event for batch in batches for event in batch.events]
            missed = sum(batch.missed for batch in batches)
            if events or missed or deadline <= time.monotonic():
                return EventBatch(tuple(sorted(events, key=lambda event: EventId.parse(event.id))), missed)

    async def close(self) -> None:
        """End the reads."""
        await self._reads.close()


class _Tail:
    def __init__(self, shard: int, blocking: Link, keys: Keys) -> None:
        self._shard = shard
        self._blocking = blocking
        self._events = keys.events(shard)
        self._position: _Position | None = None
        self._unsure = True

    async def begin(self) -> _Position:
        """Begin at the end of the log; after a failure, step back where a restarted server has lost its tail."""
        if self._position and not self._unsure:
            return self._position
        page = await self._blocking.run("XREVRANGE", self._events, "+", "-", "COUNT", 1)
        end = _Position(EventId(0, 0, self._shard), 0)
        if page:
            end = _Position(id_of(page[0][0], self._shard), number_of(page[0]))
        if self._position is None or end.last < self._position.last:
            self._position = end
        self._unsure = False
        return self._position

    async def read(self, block_s: float) -> EventBatch:
        try:
            position = await self.begin()
            block_ms = max(1, round(block_s * 1e3))
            answer = await self._blocking.run(
                "XREAD", "COUNT", BATCH, "BLOCK", block_ms, "STREAMS", self._events, position.last.entry
            )
        except (StoreUnavailable, asyncio.CancelledError):
            self._unsure = True
            raise
        return self._taken(position, answer[0][1]) if answer else EventBatch((), 0)

    def _taken(self, position: _Position, entries: list[Entry]) -> EventBatch:
        missed = max(0, number_of(entries[0]) - position.number - 1)
        if missed:
            log.warning("event_log_trimmed_past_reader", extra={"shard": self._shard, "events_missed": missed})
        self._position = _Position(id_of(entries[-1][0], self._shard), number_of(entries[-1]))
        return EventBatch(tuple(event for entry in entries if (event := event_of(entry, self._shard))), missed)
