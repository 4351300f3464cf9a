"""A history entry as the scripts write it -> PublishedSurface."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from app.service.ports import CorruptPayload, PublishedSurface
from app.store.codec import open_document, open_state

Entry = tuple[bytes, Mapping[bytes, bytes]]
"""A stream entry: its id and its fields."""


def entries_of(answer: Sequence[Any]) -> list[Entry]:
    """Return the entries of a stream as a script hands them on: fields flat, name before value."""
    return [(entry, dict(zip(flat[::2], flat[1::2], strict=True))) for entry, flat in answer]


def version_of(entry: bytes) -> int:
    """Return the version of the history entry with this id."""
    return int(entry.partition(b"-")[0])


def surface_of(underlying: str, entry: Entry) -> PublishedSurface:
    """Return the surface in a history entry. Raises CorruptPayload when document, state or envelope is damaged.

    An entry written before surfaces had a state has none.
    """
    name, stored = entry
    version = version_of(name)
    try:
        numbers = [stored[key] for key in (b"prev_version", b"as_of", b"sequence", b"received_ms", b"calibrated_ms")]
        document, check = stored[b"document"], stored[b"check"]
    except KeyError as missing:
        raise CorruptPayload(f"surface {underlying} {version} has no field {missing}") from missing
    envelope = b"|".join([underlying.encode(), str(version).encode(), *numbers])
    if hashlib.sha1(envelope, usedforsecurity=False).hexdigest().encode() != check:
        raise CorruptPayload(f"surface {underlying} {version}: its envelope does not match its checksum")
    prev_version, as_of_ms, sequence, received_ms, calibrated_at_ms = map(int, numbers)
    return PublishedSurface(
        underlying=underlying,
        version=version,
        prev_version=prev_version,
        as_of_ms=as_of_ms,
        sequence=sequence,
        received_ms=received_ms,
        calibrated_at_ms=calibrated_at_ms,
        document=open_document(document),
        state=open_state(stored[b"state"]) if b"state" in stored else b"",
    )
