"""What is proven about a published surface."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Evidence(StrEnum):
    """What stands behind a certificate."""

    EXACT = "exact"
    """A proof over the whole real line: polynomial positivity and interval bounds."""
    GRID = "grid"
    """Evaluation at points: finds arbitrage, proves nothing. Only for models that are not arbitrage-free."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a margin is smallest: expiry in ms UTC, k = ln(K/F)."""

    expiry_ms: int
    k: float
    value: float


@dataclass(frozen=True, slots=True)
class Certificate:
    """The outcome of checking a surface from its published numbers.

    ``min_butterfly_g`` is the smallest value of Durrleman's g over slices and strikes; ``min_calendar_gap`` the
    smallest w_later(k)/w_earlier(k) - 1 over neighbours (None: a single slice); ``max_wing_slope`` the largest |w'| at
    infinity (Lee: at most 2). ``worst`` names their places under the keys ``butterfly``, ``calendar``, ``wing``.
    ``failures`` are sentences; empty exactly when ``arbitrage_free``.
    """

    arbitrage_free: bool
    method: Evidence
    min_butterfly_g: float
    min_calendar_gap: float | None
    max_wing_slope: float
    worst: Mapping[str, Place]
    failures: tuple[str, ...]
