"""What an operator or an auditor wants to know about an underlying: said once, in the script that made it happen."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

Value = str | int | float | None
"""A number (or name) that a message carries, for machines."""


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


@dataclass(frozen=True, slots=True)
class Event:
    """A recorded event. ``at_ms`` is when, by the store's clock; ``version`` the surface it came with, if any.

    ``id`` is ``<ms>-<sequence>-<shard>``: those of one underlying rise.
    """

    id: str
    kind: EventKind
    underlying: str
    at_ms: int
    version: int | None
    message: str
    values: Mapping[str, Value]


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

    async def after(self, event_id: str, *, limit: int, underlying: str | None = None) -> Sequence[Event] | None:
        """Return up to ``limit`` events after the one with this id, oldest first; None when some are gone.

        Only those of ``underlying``, where given. Raises ValueError for what is no id.
        """
        ...


class EventFeed(Protocol):
    """The one subscription of a process to events (API side, asyncio)."""

    async def next_events(self, timeout_s: float) -> EventBatch:
        """Wait for events, each once; empty on timeout. Survives a store restart.

        Raises StoreUnavailable while the store is away; the next call goes on where the last one ended.
        """
        ...
