"""Times on the wire: ISO-8601 UTC with milliseconds out; ISO-8601 with an offset, or integer milliseconds, in."""

from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


def iso_utc(ms: int) -> str:
    """Return milliseconds since the epoch as 2026-08-01T17:58:04.320Z."""
    return (_EPOCH + ms * _MILLISECOND).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def ms_of(text: str) -> int:
    """Return an ISO-8601 time as milliseconds since the epoch, rounded down.

    Raises ValueError for anything else, and for a naive time: without an offset it names no instant.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"time {text!r} has no UTC offset: write it with Z or +00:00")
    return (moment - _EPOCH) // _MILLISECOND
