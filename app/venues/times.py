"""Times as bodies carry them: ISO-8601 with an offset, or integer milliseconds since the epoch, UTC."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import numpy as np
from msgspec import Meta

from app.quant.arrays import IntArray
from app.quant.errors import InvalidChain

EARLIEST_MS: Final = 946_684_800_000
"""2000-01-01. Seconds sent as milliseconds fall in 1970, which this catches."""
LATEST_MS: Final = 7_258_118_400_000
"""2200-01-01. Microseconds sent as milliseconds fall far beyond it."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)

Milliseconds = Annotated[
    int, Meta(ge=EARLIEST_MS, le=LATEST_MS, description="Milliseconds since 1970-01-01 UTC, in the years 2000 to 2199.")
]
Instant = Milliseconds | Annotated[datetime, Meta(tz=True, description="ISO-8601 with an offset; `Z` is UTC.")]


def instants_ms(instants: Sequence[int | datetime], pointer: Callable[[int], str]) -> IntArray:
    """Return the millisecond each instant lies in, since the epoch, UTC.

    ``pointer(row)`` is where an instant stands in the body. Raises InvalidChain there for a time outside the years
    2000 to 2199.
    """
    milliseconds = np.array(_milliseconds(instants), dtype=np.int64)
    outside = np.flatnonzero((milliseconds < EARLIEST_MS) | (milliseconds > LATEST_MS))
    if outside.size:
        row = int(outside[0])
        raise InvalidChain(f"{pointer(row)} is {instants[row]}: times lie in the years 2000 to 2199", pointer(row))
    return milliseconds


def instants_or_ms(
    instants: Sequence[int | datetime | None], otherwise_ms: int, pointer: Callable[[int], str]
) -> IntArray:
    """Return what :func:`instants_ms` does, and ``otherwise_ms`` where no instant is given."""
    # Whole columns without times are common.
    if instants.count(None) == len(instants):
        return np.full(len(instants), otherwise_ms, dtype=np.int64)
    return instants_ms([otherwise_ms if at is None else at for at in instants], pointer)


def milliseconds_or(times_ms: Sequence[int | None], otherwise_ms: int) -> IntArray:
    """Return times that were checked as they were decoded, and ``otherwise_ms`` where there is none."""
    if times_ms.count(None) == len(times_ms):
        return np.full(len(times_ms), otherwise_ms, dtype=np.int64)
    return np.array([otherwise_ms if at_ms is None else at_ms for at_ms in times_ms], dtype=np.int64)


def instant_ms(instant: int | datetime, pointer: str) -> int:
    """Return the millisecond ``instant`` lies in, since the epoch, UTC. Raises InvalidChain as ``instants_ms``."""
    return int(instants_ms([instant], lambda _: pointer)[0])


def _milliseconds(instants: Sequence[int | datetime]) -> list[int]:
    """Return the milliseconds of each; a chain names few times, and dividing takes longer than to look one up."""
    known: dict[timedelta, int] = {}
    found = []
    last: int | datetime | None = None
    at_ms = 0
    for at in instants:
        if at != last:
            last = at
            if isinstance(at, int):
                at_ms = at
            else:
                since = at - _EPOCH
                at_ms = known.get(since) or known.setdefault(since, since // _MILLISECOND)
        found.append(at_ms)
    return found
