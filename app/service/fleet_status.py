"""What the store knows of queue, workers and the conservation law: what readiness, metrics and the page tell."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class UnderlyingCounts:
    """Counters of the conservation law, and the state, of one underlying."""

    underlying: str
    received: int
    fitted: int
    failed: int
    superseded: int
    stale: int
    duplicate: int
    pending: int
    reclaimed: int
    fenced: int
    dead_lettered: int
    outcomes: dict[str, int]
    """Accepted chains by submit outcome."""
    calibrations: dict[str, int]
    """Fits by outcome: ok, degraded, fallback, moved, rejected, no_smile, corrupt, error, dead_letter."""
    last_failure: str | None = None
    """Why the last chain that failed did."""
    last_failure_as_of_ms: int | None = None
    events: dict[str, int] = field(default_factory=dict)
    """Events recorded, by kind (event.EventKind)."""


@dataclass(frozen=True, slots=True)
class FleetStatus:
    """The store's view of queue and workers; ages in seconds by the store's clock.

    ``histograms`` maps a histogram's name to (cumulative bucket counts by upper bound, sum, count).
    """

    queue_depth: dict[str, int]
    queue_oldest_age_s: dict[str, float]
    workers_alive: int
    warm_workers: int
    underlyings: tuple[UnderlyingCounts, ...]
    histograms: dict[str, tuple[tuple[tuple[float, int], ...], float, int]]
    store_used_bytes: int
    invalid_by_venue: dict[str, int] = field(default_factory=dict)
    """Bodies refused before they became a chain."""
    quarantined: dict[str, int] = field(default_factory=dict)
    """Damaged payloads set aside, by kind: chain, surface."""
    dead_letters: int = 0
    """Chains kept as dead letters now."""
