"""What this process measures itself, and the text of a whole scrape."""

import asyncio
import contextlib
import platform
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from app.metrics.correlations import correlation_metrics
from app.metrics.fleet import fleet_metrics
from app.metrics.labels import UnderlyingLabels
from app.metrics.models import model_metrics
from app.metrics.surfaces import surface_metrics
from app.service.correlation_document import Correlations
from app.service.document import SurfaceDocument
from app.service.fleet_status import FleetStatus
from app.service.ports import CorruptPayload, PublishedSurface, QueueBehind, StoreUnavailable
from app.service.score_document import ModelScores

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

HTTP_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
STORE_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

STORE_OPERATIONS: Final = (
    "after",
    "as_of",
    "chain",
    "count_invalid",
    "events",
    "factors",
    "feed",
    "history",
    "list",
    "load",
    "newest",
    "promote",
    "reports",
    "scores",
    "status",
    "submit",
)
"""What is asked of the store. Each has its series of errors from the start: a rate needs a zero to rise from."""

LAG_SAMPLE_S: Final = 0.25
LAG_SAMPLES: Final = 60
"""The lag shown is the worst of the last 15 s: the usual interval between scrapes."""


class Connections:
    """WebSocket connections that are open now."""

    def __init__(self, gauge: Gauge) -> None:
        self.count = 0
        self._gauge = gauge

    def opened(self) -> None:
        """Count one more."""
        self.count += 1
        self._gauge.set(self.count)

    def closed(self) -> None:
        """Count one less."""
        self.count -= 1
        self._gauge.set(self.count)


class ServiceMetrics:
    """The metrics of one application, in a registry of their own."""

    def __init__(self, version: str) -> None:
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
        registry = self._registry = CollectorRegistry()
        self._labels = UnderlyingLabels()
        self.connections = Connections(
            Gauge("volsurf_ws_connections", "WebSocket connections open.", registry=registry)
        )
        self.ws_conflated = Counter(
            "volsurf_ws_conflated", "Surfaces a slow subscriber was not sent.", registry=registry
        )
        self.ws_events_missed = Counter(
            "volsurf_ws_events_missed", "Events a slow subscriber was not sent.", registry=registry
        )
        self.ws_slow_disconnects = Counter(
            "volsurf_ws_slow_disconnects", "Connections closed because the client did not read.", registry=registry
        )
        self._http = Histogram(
            "volsurf_http_request_duration_seconds",
            "Duration of a request, by route template.",
            ("method", "route", "status"),
            buckets=HTTP_SECONDS,
            registry=registry,
        )
        self._store_errors = Counter(
            "volsurf_redis_errors", "Calls the store did not answer, by operation.", ("kind",), registry=registry
        )
        for operation in STORE_OPERATIONS:
            self._store_errors.labels(operation)
        self._store_seconds = Histogram(
            "volsurf_redis_command_duration_seconds",
            "Duration of an answered call to the store, by operation.",
            ("operation",),
            buckets=STORE_SECONDS,
            registry=registry,
        )
        self._lag = Gauge(
            "volsurf_event_loop_lag_seconds", "Worst delay of the event loop in the last 15 s.", registry=registry
        )
        build = Gauge("volsurf_build_info", "1, with the versions.", ("version", "python"), registry=registry)
        build.labels(version, platform.python_version()).set(1)
        ProcessCollector(registry=registry)

    def observe_request(self, method: str, route: str, status: int, duration_s: float) -> None:
        """Count one HTTP request."""
        self._http.labels(method, route, str(status)).observe(duration_s)

    @contextlib.contextmanager
    def count_store_errors(self, operation: str) -> Iterator[None]:
        """Count a failure of the block against the store, and let it pass."""
        try:
            yield
        except QueueBehind:  # the store answered
            raise
        except (StoreUnavailable, CorruptPayload):
            self._store_errors.labels(operation).inc()
            raise

    @contextlib.contextmanager
    def store_call(self, operation: str) -> Iterator[None]:
        """Time the block, which calls the store; count it as an error instead when it fails."""
        started_s = time.perf_counter()
        with self.count_store_errors(operation):
            yield
        self._store_seconds.labels(operation).observe(time.perf_counter() - started_s)

    async def watch_event_loop(self) -> None:
        """Measure for ever how late the event loop wakes a sleeper."""
        loop = asyncio.get_running_loop()
        lags: deque[float] = deque(maxlen=LAG_SAMPLES)
        while True:
            due_s = loop.time() + LAG_SAMPLE_S
            await asyncio.sleep(LAG_SAMPLE_S)
            lags.append(loop.time() - due_s)
            self._lag.set(max(0.0, *lags))

    def exposition(
        self,
        status: FleetStatus | None,
        surfaces: Sequence[tuple[PublishedSurface, SurfaceDocument]],
        reports: Sequence[ModelScores] = (),
        correlations: Sequence[Correlations] = (),
    ) -> bytes:
        """Return everything in Prometheus' text format; ``status`` is None when the store did not answer."""
        fleet = _Fleet(status, surfaces, reports, correlations, self._labels)
        return generate_latest(self._registry) + generate_latest(fleet)


class _Fleet(Collector):
    """One scrape of the fleet."""

    def __init__(
        self,
        status: FleetStatus | None,
        surfaces: Sequence[tuple[PublishedSurface, SurfaceDocument]],
        reports: Sequence[ModelScores],
        correlations: Sequence[Correlations],
        labels: UnderlyingLabels,
    ) -> None:
        self._status = status
        self._surfaces = surfaces
        self._reports = reports
        self._correlations = correlations
        self._labels = labels

    def collect(self) -> Iterator[Metric]:
        """Return the fleet's families."""
        counted = [counts.underlying for counts in self._status.underlyings] if self._status else []
        self._labels.admit([published.underlying for published, _ in self._surfaces] + counted)
        models = {published.underlying: document.model for published, document in self._surfaces}
        yield from fleet_metrics(self._status, models, self._labels)
        yield from surface_metrics(self._surfaces, self._labels)
        yield from model_metrics(self._reports, self._labels)
        yield from correlation_metrics(self._correlations, self._labels)
