"""An event as the scripts write it, and back."""

import logging
from typing import Final

import msgspec

from app.service.event import Event, EventId, EventKind, Notice, Value
from app.store.records import Entry

log = logging.getLogger(__name__)

LONGEST_MESSAGE: Final = 1_000
"""Characters of a message that are kept."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Value]).decode


def fields_of_event(event: Notice) -> tuple[str, str, bytes]:
    """Return kind, message and values as the scripts take them."""
    return event.kind.value, event.message[:LONGEST_MESSAGE], _encode(event.values)


def id_of(entry: bytes, shard: int) -> EventId:
    """Return the id of the event in a stream's entry with this name."""
    ms, _, sequence = entry.partition(b"-")
    return EventId(int(ms), int(sequence), shard)


def number_of(entry: Entry) -> int:
    """Return the number of the entry in its shard's log."""
    return int(entry[1][b"number"])


def event_of(entry: Entry, shard: int) -> Event | None:
    """Return the event in an entry; None, and a line in the log, for one that cannot be read."""
    name, fields = entry
    event_id = id_of(name, shard)
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
