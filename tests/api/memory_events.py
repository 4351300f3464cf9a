"""EventLog and EventFeed in memory."""

import asyncio
from collections.abc import Callable, Collection, Sequence

from app.service.event import Event, EventBatch, EventId, EventKind
from tests.api.documents import AS_OF_MS


class MemoryEvents:
    """``check`` raises while the store is away."""

    def __init__(self, check: Callable[[], None]) -> None:
        self.kept: list[Event] = []
        self._check = check
        self._trimmed = False
        self._lost = 0
        self._new: asyncio.Queue[Event] = asyncio.Queue()

    @property
    def all_heard(self) -> bool:
        return self._new.empty()

    def say(self, message: str, underlying: str = "BTC", kind: EventKind = EventKind.GATE) -> Event:
        """Record an event as a worker would."""
        ms = AS_OF_MS + len(self.kept) + 1
        event = Event(f"{ms}-0-0", kind, underlying, ms, 100, message, {"inside_spread": 0.74, "rules": "inside"})
        self.kept.append(event)
        self._new.put_nowait(event)
        return event

    def trim(self, keep: int) -> None:
        del self.kept[:-keep]
        self._trimmed = True

    def lose(self, count: int) -> None:
        """Make the feed miss so many with the next event."""
        self._lost = count

    async def page(
        self,
        *,
        before: str | None,
        limit: int,
        underlyings: Collection[str] | None = None,
        kind: EventKind | None = None,
    ) -> Sequence[Event]:
        self._check()
        mark = EventId.parse(before) if before else None
        found = [event for event in self.kept if kind in (None, event.kind)]
        found = [event for event in found if underlyings is None or event.underlying in underlyings]
        return [event for event in found[::-1] if mark is None or EventId.parse(event.id) < mark][:limit]

    async def after(
        self, event_id: str, *, limit: int, underlyings: Collection[str] | None = None
    ) -> Sequence[Event] | None:
        self._check()
        mark = EventId.parse(event_id)
        if self._trimmed and EventId.parse(self.kept[0].id) > mark:
            return None
        found = [event for event in self.kept if EventId.parse(event.id) > mark]
        return [event for event in found if underlyings is None or event.underlying in underlyings][:limit]

    async def next_events(self, timeout_s: float) -> EventBatch:
        self._check()
        try:
            async with asyncio.timeout(timeout_s):
                events = [await self._new.get()]
        except TimeoutError:
            return EventBatch()
        while not self._new.empty():
            events.append(self._new.get_nowait())
        missed, self._lost = self._lost, 0
        return EventBatch(tuple(events), missed)
