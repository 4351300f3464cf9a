"""The only clock arithmetic: ACT/365 from UTC milliseconds."""

from typing import Final

MS_PER_DAY: Final = 86_400_000
MS_PER_YEAR: Final = 365 * MS_PER_DAY


def year_fraction(from_ms: int, to_ms: int) -> float:
    """Return (to - from) / 365 days, both in milliseconds since the epoch, UTC. Negative when ``to`` is earlier."""
    return (to_ms - from_ms) / MS_PER_YEAR


def days(t: float) -> float:
    """Return a year fraction as calendar days."""
    return t * 365.0
