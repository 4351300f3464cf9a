"""Events that wait to be sent to one client: in order, bounded, and what did not fit is counted."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import msgspec

from app.service.event import Event, EventId, EventMessage, event_message

MAX_EVENTS: Final = 1_000
"""Events that may wait for one client; they are small, and hundreds at once are a crash of the market."""


class StreamEvent(msgspec.Struct, frozen=True, tag_field="type", tag="event"):
    """An event on its channel. ``missed`` counts those before it that this client, reading too slowly, was not sent.

    ``reset`` says that events before were lost and nobody can say how many: ``missed`` is null then, and so is
    ``data`` where nothing else is to be said.
    """

    channel: str
    missed: int | None
    data: EventMessage | None
    reset: bool = False


@dataclass(frozen=True)
class QueuedEvent:
    """An event and what is sent about it, made once for all clients."""

    event: Event

    @cached_property
    def channel(self) -> str:
        """The stream's channel this event is sent on."""
        return f"events.{self.event.underlying}"

    @cached_property
    def event_id(self) -> EventId:
        """Its id, which compares."""
        return EventId.parse(self.event.id)

    @cached_property
    def text(self) -> str:
        """The message for a client that missed none before it."""
        return stream_event(self.channel, self.event)


def stream_event(channel: str, event: Event | None, *, missed: int | None = 0, reset: bool = False) -> str:
    """Return StreamEvent as JSON."""
    said = StreamEvent(channel, None if reset else missed, event_message(event) if event else None, reset)
    return msgspec.json.encode(said).decode()


class EventQueue:
    """The newest MAX_EVENTS that wait; the oldest make room and are counted."""

    def __init__(self, limit: int = MAX_EVENTS) -> None:
        self._waiting: deque[QueuedEvent] = deque()
        self._limit = limit
        self._missed = 0
        self._lost = False

    @property
    def is_empty(self) -> bool:
        """True where there is nothing to tell."""
        return not self._waiting and not self._lost

    def put(self, event: QueuedEvent) -> bool:
        """Queue an event; True when an older one made room for it."""
        full = len(self._waiting) >= self._limit
        if full:
            self._waiting.popleft()
            self._missed += 1
        self._waiting.append(event)
        return full

    def lose_track(self) -> None:
        """Remember to say that events were lost before they reached this process."""
        self._lost = True

    def forget_loss(self) -> bool:
        """Return True, once, where events were lost."""
        lost, self._lost = self._lost, False
        return lost

    def forget_missed(self) -> int:
        """Return how many made room since this was last asked."""
        missed, self._missed = self._missed, 0
        return missed

    def take(self) -> QueuedEvent | None:
        """Return the oldest event, or None."""
        return self._waiting.popleft() if self._waiting else None

    def keep_only(self, wanted: Callable[[str], bool]) -> None:
        """Drop what waits on any channel but those ``wanted``."""
        self._waiting = deque(each for each in self._waiting if wanted(each.channel))
