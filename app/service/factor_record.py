"""The record of market factors that is kept beside the surfaces and reaches farther back than they do."""

from dataclasses import dataclass
from typing import Final, Protocol

from app.service.surface_factors import FactorSeries

SLOT_MS: Final = 6_000
"""Of the surfaces as of (end - SLOT_MS, end], ends at whole multiples UTC, the last fitted one is recorded, the last
moved one where none was fitted: all that bars of one or several slots see. The shortest bar is one slot."""


def slot_of(as_of_ms: int) -> int:
    """Return the number of the slot that a time is in."""
    return -(-as_of_ms // SLOT_MS)


@dataclass(frozen=True, slots=True, eq=False)
class RecordedFactors:
    """What is recorded now; from the surface of version ``since`` on no slot is missing."""

    series: FactorSeries
    since: int


class FactorReader(Protocol):
    """Where recorded factors are read (API side, asyncio)."""

    async def recorded(self, underlying: str, known: FactorSeries) -> RecordedFactors | None:
        """Return what is recorded; None unless that goes on to the newest surface. Raises StoreUnavailable.

        ``known`` is what an earlier call returned, so that only what is new must be read; empty for nothing.
        """
        ...
