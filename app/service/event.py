"""What an operator or an auditor wants to know about an underlying: said once, in the script that made it happen."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple, Protocol, Self

import msgspec

from app.service.iso_time import iso_utc

Value = str | int | float | None
"""A number (or name) that a message carries, for machines."""

ID: Final = r"([0-9]{1,15})-([0-9]{1,15})-([0-9]{1,3})"
_ID: Final = re.compile(ID)


class EventKind(StrEnum):
    """What sort of thing happened."""

    REGIME = "regime"
    """The market shifted, or is calm again."""
    GATE = "gate"
    """A surface was published degraded for a new reason, or ok again; or a fit was rejected."""
    ALARM = "alarm"
    """A drift monitor crossed its limit."""
    ROLL = "roll"
    """An expiry left, or a new listing entered."""
    DEAD_LETTER = "dead_letter"
    """A chain was given up after it ended its worker too often."""
    FAILED = "failed"
    """A chain gave no surface: no smile, damaged, or a defect."""
    PROMOTION = "promotion"
    """Another model took over."""


@dataclass(frozen=True, slots=True)
class Notice:
    """An event as it is said, before the store gives it an id, a time and a version.

    ``message`` is a sentence that carries the numbers; ``values`` are the same for machines.
    """

    kind: EventKind
    message: str
    values: Mapping[str, Value] = field(default_factory=dict)


class EventId(NamedTuple):
    """Where an event stands: ids compare by time, then by the order within a millisecond, then by shard."""

    ms: int
    sequence: int
    shard: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the id written as ``text``. Raises ValueError."""
        found = _ID.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is no id of an event: <ms>-<sequence>-<shard>")
        return cls(*map(int, found.groups()))

    @property
    def entry(self) -> str:
        """Time and order: the id within its shard."""
        return f"{self.ms}-{self.sequence}"

    def __str__(self) -> str:
        return f"{self.ms}-{self.sequence}-{self.shard}"


@dataclass(frozen=True, slots=True)
class Event:
    """A recorded event. ``at_ms`` is when, by the store's clock; ``version`` the surface it came with, if any.

    ``id`` is an EventId as text: those of one underlying rise.
    """

    id: str
    kind: EventKind
    underlying: str
    at_ms: int
    version: int | None
    message: str
    values: Mapping[str, Value]


class EventMessage(msgspec.Struct, frozen=True):
    """An event as it is sent: ``message`` is for people, ``values`` are its numbers for machines."""

    id: str
    kind: EventKind
    underlying: str
    at: str
    version: str | None
    message: str
    values: dict[str, Value]


def event_message(event: Event) -> EventMessage:
    """Return what is sent about ``event``."""
    version = None if event.version is None else str(event.version)
    at = iso_utc(event.at_ms)
    return EventMessage(event.id, event.kind, event.underlying, at, version, event.message, dict(event.values))


@dataclass(frozen=True, slots=True)
class EventBatch:
    """Events in the order they happened, and how many before them were no longer kept."""

    events: Sequence[Event] = ()
    missed: int = 0


class EventLog(Protocol):
    """Where events are read (API side, asyncio). Every method raises StoreUnavailable."""

    async def page(
        self,
        *,
        before: str | None,
        limit: int,
        underlyings: Collection[str] | None = None,
        kind: EventKind | None = None,
    ) -> Sequence[Event]:
        """Return up to ``limit`` kept events older than the one with id ``before``, newest first.

        Only those of ``underlyings`` and ``kind``, where given. Raises ValueError for what is no id.
        """
        ...

    async def after(
        self, event_id: str, *, limit: int, underlyings: Collection[str] | None = None
    ) -> Sequence[Event] | None:
        """Return up to ``limit`` events after the one with this id, oldest first; None when some may be gone.

        Only those of ``underlyings``, where given. Raises ValueError for what is no id.
        """
        ...


class EventFeed(Protocol):
    """The one subscription of a process to events (API side, asyncio)."""

    async def next_events(self, timeout_s: float) -> EventBatch:
        """Wait for events, each once; empty on timeout. Survives a store restart.

        Raises StoreUnavailable while the store is away; the next call goes on where the last one ended.
        """
        ...
