"""An event as the scripts write it, and back; and the ids by which events of several shards are ordered."""

import logging
import re
from typing import Final, NamedTuple, Self

import msgspec

from app.service.event import Event, EventKind, Notice, Value
from app.store.records import Entry

log = logging.getLogger(__name__)

LONGEST_MESSAGE: Final = 1_000
"""Characters of a message that are kept."""

_ID: Final = re.compile(r"([0-9]{1,15})-([0-9]{1,15})-([0-9]{1,3})")

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Value]).decode


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

    @classmethod
    def of_entry(cls, entry: bytes, shard: int) -> Self:
        """Return the id of a stream's entry."""
        ms, _, sequence = entry.partition(b"-")
        return cls(int(ms), int(sequence), shard)

    @property
    def entry(self) -> str:
        """The id within its shard."""
        return f"{self.ms}-{self.sequence}"

    def __str__(self) -> str:
        return f"{self.ms}-{self.sequence}-{self.shard}"


def fields_of_event(event: Notice) -> tuple[str, str, bytes]:
    """Return kind, message and values as the scripts take them."""
    return event.kind.value, event.message[:LONGEST_MESSAGE], _encode(event.values)


def number_of(entry: Entry) -> int:
    """Return the number of the entry in its shard's log."""
    return int(entry[1][b"number"])


def event_of(entry: Entry, shard: int) -> Event | None:
    """Return the event in an entry; None, and a line in the log, for one that cannot be read."""
    name, fields = entry
    event_id = EventId.of_entry(name, shard)
    try:
        return Event(
            id=str(event_id),
            kind=EventKind(fields[b"kind"].decode()),
            underlying=fields[b"underlying"].decode(),
            at_ms=int(fields[b"at"]),
            version=int(fields[b"version"]) if fields[b"version"] else None,
            message=fields[b"message"].decode(),
            values=_decode(fields[b"values"]),
        )
    except (KeyError, ValueError, msgspec.DecodeError) as damaged:
        log.error("event_unreadable", extra={"event_id": str(event_id), "reason": repr(damaged)})
        return None
