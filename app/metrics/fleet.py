"""What the store counts: chains, fits, queue and workers, the same from every replica of the API."""

from collections.abc import Iterator, Mapping
from typing import Final

from prometheus_client.metrics_core import HistogramMetricFamily, Metric

from app.metrics.families import Series, counter, gauge
from app.metrics.labels import UnderlyingLabels
from app.service.event import EventKind
from app.service.fleet_status import FleetStatus, UnderlyingCounts
from app.service.ports import SubmitOutcome

SNAPSHOTS: Final = counter("volsurf_snapshots", "Chains submitted, by what became of them.", "underlying", "outcome")
FITTED: Final = counter("volsurf_fitted", "Chains whose fit ended with a surface.", "underlying")
FAILED: Final = counter("volsurf_failed", "Chains whose fit ended without a surface.", "underlying")
SUPERSEDED: Final = counter("volsurf_superseded", "Chains replaced by a newer one before a fit.", "underlying")
RECLAIMED: Final = counter("volsurf_reclaimed", "Chains taken over from a worker that lost its lease.", "underlying")
FENCED: Final = counter("volsurf_fenced", "Results refused because the lease had been lost.", "underlying")
DEAD_LETTERS: Final = counter("volsurf_dead_letter", "Chains given up after too many attempts.", "underlying")
CALIBRATIONS: Final = counter("volsurf_calibrations", "Fits, by outcome.", "underlying", "model", "outcome")
PROMOTIONS: Final = counter("volsurf_promotions", "Models that took over from the one before.", "underlying")
EVENTS: Final = counter("volsurf_events", "What people want to know, by kind.", "underlying", "kind")
INVALID: Final = counter("volsurf_invalid_bodies", "Bodies refused before they became a chain.", "venue")
QUARANTINED: Final = counter("volsurf_quarantined_payloads", "Damaged stored payloads set aside.", "kind")
DEAD_LETTERS_KEPT: Final = gauge("volsurf_dead_letters_kept", "Chains kept as dead letters now.")
PENDING: Final = gauge("volsurf_chains_pending", "Chains that wait or are being fitted.", "underlying")
QUEUE_DEPTH: Final = gauge("volsurf_queue_depth", "Underlyings that wait for a worker.", "shard")
QUEUE_AGE: Final = gauge("volsurf_queue_oldest_age_seconds", "Age of the longest wait in the queue.", "shard")
WORKERS: Final = gauge("volsurf_workers_alive", "Workers that announced themselves lately.")
WARM_WORKERS: Final = gauge("volsurf_workers_warm", "Workers whose kernels are compiled.")
STORE_USED: Final = gauge("volsurf_store_used_bytes", "Memory the store uses.")
STORE_UP: Final = gauge("volsurf_store_up", "1 when the store answered this scrape, else 0.")

DECLARED: Final = (
    SNAPSHOTS,
    FITTED,
    FAILED,
    SUPERSEDED,
    RECLAIMED,
    FENCED,
    DEAD_LETTERS,
    CALIBRATIONS,
    PROMOTIONS,
    EVENTS,
    INVALID,
    QUARANTINED,
    DEAD_LETTERS_KEPT,
    PENDING,
    QUEUE_DEPTH,
    QUEUE_AGE,
    WORKERS,
    WARM_WORKERS,
    STORE_USED,
    STORE_UP,
)

HISTOGRAMS: Final[Mapping[str, tuple[str, str]]] = {
    "calibration_duration": ("volsurf_calibration_duration_seconds", "Duration of a fit."),
    "queue_wait": ("volsurf_queue_wait_seconds", "Time a chain waited for a worker."),
    "end_to_end": ("volsurf_end_to_end_seconds", "From a chain's as_of to its surface's publication."),
    "received_to_published": (
        "volsurf_received_to_published_seconds",
        "From a chain's acceptance to its surface's publication.",
    ),
}
"""Names and help by the name the store keeps them under."""

UNKNOWN_UNDERLYING: Final = "unknown"
"""A body that never became a chain names no underlying that can be trusted."""

NO_MODEL: Final = "none"
"""An underlying that has no surface yet."""

_OUTCOME_LABELS: Final[Mapping[str, str]] = {SubmitOutcome.DUPLICATE: "dup"}


def fleet_metrics(status: FleetStatus | None, models: Mapping[str, str], label: UnderlyingLabels) -> Iterator[Metric]:
    """Return the families of ``status``; None says that the store did not answer. ``models`` are by underlying."""
    series = Series()
    series.add(STORE_UP, 0.0 if status is None else 1.0)
    if status is None:
        yield from series.metrics(DECLARED)
        return
    for counts in status.underlyings:
        _add_counts(series, counts, label(counts.underlying), models.get(counts.underlying, NO_MODEL))
    series.add(SNAPSHOTS, sum(status.invalid_by_venue.values()), UNKNOWN_UNDERLYING, "invalid")
    series.add_all(INVALID, status.invalid_by_venue)
    series.add_all(QUARANTINED, status.quarantined)
    series.add(DEAD_LETTERS_KEPT, status.dead_letters)
    series.add_all(QUEUE_DEPTH, status.queue_depth)
    series.add_all(QUEUE_AGE, status.queue_oldest_age_s)
    series.add(WORKERS, status.workers_alive)
    series.add(WARM_WORKERS, status.warm_workers)
    series.add(STORE_USED, status.store_used_bytes)
    yield from series.metrics(DECLARED)
    yield from _histograms(status)


def _add_counts(series: Series, counts: UnderlyingCounts, underlying: str, model: str) -> None:
    for outcome, count in counts.outcomes.items():
        series.add(SNAPSHOTS, count, underlying, _OUTCOME_LABELS.get(outcome, outcome))
    series.add(FITTED, counts.fitted, underlying)
    series.add(FAILED, counts.failed, underlying)
    series.add(SUPERSEDED, counts.superseded, underlying)
    series.add(RECLAIMED, counts.reclaimed, underlying)
    series.add(FENCED, counts.fenced, underlying)
    series.add(DEAD_LETTERS, counts.dead_lettered, underlying)
    series.add(PENDING, counts.pending, underlying)
    series.add_all(CALIBRATIONS, counts.calibrations, underlying, model)
    series.add(PROMOTIONS, counts.events.get(EventKind.PROMOTION, 0), underlying)
    series.add_all(EVENTS, counts.events, underlying)


def _histograms(status: FleetStatus) -> Iterator[Metric]:
    for name, (buckets, total, count) in status.histograms.items():
        metric, text = HISTOGRAMS[name]
        bounds = [("+Inf" if bound == float("inf") else f"{bound:g}", float(below)) for bound, below in buckets]
        if not bounds or bounds[-1][0] != "+Inf":
            bounds.append(("+Inf", float(count)))
        family = HistogramMetricFamily(metric, text)
        family.add_metric([], bounds, total)
        yield family
