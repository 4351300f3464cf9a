"""EventLog over the store: the kept events of all shards, merged by their ids."""

from collections.abc import Collection, Sequence
from typing import Final

from app.service.event import Event, EventId, EventKind
from app.store.event_records import event_of, id_of, number_of
from app.store.keys import Keys
from app.store.links import Link
from app.store.records import Entry

SCANNED_AT_ONCE: Final = 250
"""Entries read at a time while looking for those that pass a filter: some 100 kB."""


class RedisEventLog:
    """Where events are read; see event.EventLog."""

    def __init__(self, link: Link, keys: Keys) -> None:
        self._link = link
        self._keys = keys

    async def page(
        self,
        *,
        before: str | None,
        limit: int,
        underlyings: Collection[str] | None = None,
        kind: EventKind | None = None,
    ) -> Sequence[Event]:
        """Return up to ``limit`` kept events older than the one with id ``before``, newest first."""
        mark = EventId.parse(before) if before else None
        found = []
        for shard in self._shards_of(underlyings):
            last = "+" if mark is None else _below(mark, shard)
            taken: list[Event] = []
            while len(taken) < limit:
                page = await self._link.run(
                    "XREVRANGE", self._keys.events(shard), last, "-", "COUNT", max(limit, SCANNED_AT_ONCE)
                )
                taken += _readable(page, shard, underlyings, kind)
                if not page:
                    break
                last = f"({page[-1][0].decode()}"
            found += taken
        return sorted(found, key=_order, reverse=True)[:limit]

    async def after(
        self, event_id: str, *, limit: int, underlyings: Collection[str] | None = None
    ) -> Sequence[Event] | None:
        """Return up to ``limit`` events after the one with this id, oldest first; None when some may be gone."""
        mark = EventId.parse(event_id)
        found = []
        for shard in self._shards_of(underlyings):
            taken: list[Event] = []
            begin = _above(mark, shard)
            while len(taken) < limit:
                page = await self._link.run(
                    "XRANGE", self._keys.events(shard), begin, "+", "COUNT", max(limit, SCANNED_AT_ONCE)
                )
                events = [event_of(entry, shard) for entry in page]
                taken += [
                    event for event in events if event and (underlyings is None or event.underlying in underlyings)
                ]
                if not page:
                    break
                begin = f"({page[-1][0].decode()}"
            # Asked last: what is trimmed while we read shows, too.
            if await self._is_gone(shard, mark):
                return None
            found += taken
        return sorted(found, key=_order)[:limit]

    def _shards_of(self, underlyings: Collection[str] | None) -> Collection[int]:
        return self._keys.shards if underlyings is None else {self._keys.shard_of(name) for name in underlyings}

    async def _is_gone(self, shard: int, mark: EventId) -> bool:
        """Tell whether entries of ``shard`` newer than ``mark`` may have been trimmed."""
        first = await self._link.run("XRANGE", self._keys.events(shard), "-", "+", "COUNT", 1)
        return bool(first) and number_of(first[0]) > 1 and id_of(first[0][0], shard) > mark


def _readable(
    page: Sequence[Entry], shard: int, underlyings: Collection[str] | None, kind: EventKind | None
) -> list[Event]:
    """Return the undamaged events of ``page`` that pass the filters."""
    events = [event_of(entry, shard) for entry in page]
    named = [event for event in events if event and (underlyings is None or event.underlying in underlyings)]
    return [event for event in named if kind in (None, event.kind)]


def _below(mark: EventId, shard: int) -> str:
    """Return the end of a range that holds the entries of ``shard`` older than ``mark``."""
    return mark.entry if shard < mark.shard else f"({mark.entry}"


def _above(mark: EventId, shard: int) -> str:
    """Return the beginning of a range that holds the entries of ``shard`` newer than ``mark``."""
    return mark.entry if shard > mark.shard else f"({mark.entry}"


def _order(event: Event) -> EventId:
    return EventId.parse(event.id)
