import math
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.metrics import ServiceMetrics
from app.metrics.labels import OTHER, UnderlyingLabels
from app.metrics.process import STORE_OPERATIONS
from app.service.document import (
    CertificateDocument,
    ConfidenceDocument,
    DriftAlarm,
    DriftDocument,
    ParameterDrift,
    SurfaceDocument,
)
from app.service.fleet_status import FleetStatus, UnderlyingCounts
from app.service.ports import PublishedSurface, StoreUnavailable
from tests.api.documents import AS_OF_MS, document, published

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def counts(underlying: str) -> UnderlyingCounts:
    outcomes = {"queued": 5, "coalesced": 2, "duplicate": 1, "stale": 1}
    return UnderlyingCounts(underlying, 9, 3, 1, 2, 1, 1, 1, 4, 5, 6, outcomes, {"ok": 3, "no_smile": 1})


def status(*underlyings: str) -> FleetStatus:
    waits = ((0.01, 3), (0.1, 7), (math.inf, 8)), 0.31, 8
    fits = ((0.01, 0), (0.1, 4)), 0.2, 5
    return FleetStatus(
        {"0": 2},
        {"0": 1.5},
        3,
        2,
        tuple(counts(name) for name in underlyings),
        {"queue_wait": waits, "calibration_duration": fits},
        1_000_000,
        invalid_by_venue={"native": 4, "deribit": 3},
    )


def surface(name: str = "BTC", **changes: object) -> tuple[PublishedSurface, SurfaceDocument]:
    return published(name, version=1_785_607_084_520_000), document(name, **changes)


def scrape(fleet: FleetStatus | None, *surfaces: tuple[PublishedSurface, SurfaceDocument]) -> Samples:
    text = ServiceMetrics("1.2.3").exposition(fleet, surfaces).decode()
    return dict(samples(text))


def samples(text: str) -> Iterator[tuple[tuple[str, frozenset[tuple[str, str]]], float]]:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            yield (sample.name, frozenset(sample.labels.items())), sample.value


def value(found: Samples, name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


def test_counts_of_the_store_come_through_under_their_labels() -> None:
    found = scrape(status("BTC", "ETH"), surface("BTC"))
    assert value(found, "volsurf_snapshots_total", underlying="BTC", outcome="queued") == 5
    assert value(found, "volsurf_snapshots_total", underlying="ETH", outcome="dup") == 1
    assert value(found, "volsurf_snapshots_total", underlying="unknown", outcome="invalid") == 7
    assert value(found, "volsurf_superseded_total", underlying="BTC") == 2
    assert value(found, "volsurf_reclaimed_total", underlying="BTC") == 4
    assert value(found, "volsurf_fenced_total", underlying="BTC") == 5
    assert value(found, "volsurf_dead_letter_total", underlying="BTC") == 6
    assert value(found, "volsurf_calibrations_total", underlying="BTC", model="svi_spline", outcome="ok") == 3
    assert value(found, "volsurf_calibrations_total", underlying="ETH", model="none", outcome="no_smile") == 1
    assert value(found, "volsurf_queue_depth", shard="0") == 2
    assert value(found, "volsurf_queue_oldest_age_seconds", shard="0") == 1.5
    assert value(found, "volsurf_workers_alive") == 3
    assert value(found, "volsurf_store_up") == 1


def test_histograms_of_the_store_end_in_their_count() -> None:
    found = scrape(status("BTC"))
    assert value(found, "volsurf_queue_wait_seconds_bucket", le="0.1") == 7
    assert value(found, "volsurf_queue_wait_seconds_bucket", le="+Inf") == 8
    assert value(found, "volsurf_queue_wait_seconds_count") == 8
    assert value(found, "volsurf_queue_wait_seconds_sum") == 0.31
    assert value(found, "volsurf_calibration_duration_seconds_bucket", le="+Inf") == 5


def test_surfaces_say_how_well_they_fit_and_how_far_they_moved() -> None:
    found = scrape(status("BTC"), surface())
    whole, bucket = {"underlying": "BTC", "model": "svi_spline"}, {"underlying": "BTC", "tenor": "1m"}
    assert value(found, "volsurf_fit_error_rmse_vol", **whole) == 0.003
    assert value(found, "volsurf_fit_error_max_vol", **whole) == 0.011
    assert value(found, "volsurf_fit_inside_spread_ratio", **whole) == 0.98
    pooled = math.sqrt((40 * 0.002**2 + 10 * 0.004**2) / 50)
    assert value(found, "volsurf_tenor_fit_error_rmse_vol", model="svi_spline", **bucket) == pytest.approx(pooled)
    assert value(found, "volsurf_drift_vol_rms", underlying="BTC") == 0.0042
    assert value(found, "volsurf_tenor_drift_vol_rms", **bucket) == 0.005
    assert value(found, "volsurf_parameter_drift", model="svi_spline", parameter="a", **bucket) == 0.001
    assert value(found, "volsurf_parameter_value", model="svi_spline", parameter="sigma", **bucket) == 0.1
    assert value(found, "volsurf_surface_source_timestamp_seconds", underlying="BTC") == AS_OF_MS / 1e3
    assert value(found, "volsurf_surface_version_timestamp_seconds", underlying="BTC") == 1_785_607_084.52
    assert not [labels for name, labels in found if name.startswith("volsurf_tenor_fit") and ("tenor", "3m") in labels]


@pytest.mark.parametrize(
    ("butterfly", "gap", "slope", "kind"),
    [(-0.1, 0.1, 1.0, "butterfly"), (0.1, -0.1, 1.0, "calendar"), (0.1, None, 2.1, "wing"), (0.1, 0.1, 1.0, "other")],
)
def test_arbitrage_is_counted_by_kind(butterfly: float, gap: float | None, slope: float, kind: str) -> None:
    certificate = CertificateDocument(False, "exact", butterfly, gap, slope, {}, ["it is broken"])
    found = scrape(None, surface(certificate=certificate))
    for each in ("butterfly", "calendar", "wing", "other"):
        assert value(found, "volsurf_arbitrage_violations", underlying="BTC", kind=each) == (each == kind)
    assert value(found, "volsurf_arbitrage_certified", underlying="BTC") == 0
    assert value(scrape(None, surface()), "volsurf_arbitrage_certified", underlying="BTC") == 1


def test_a_scrape_without_a_store_has_what_the_process_knows() -> None:
    found = scrape(None, surface())
    assert value(found, "volsurf_store_up") == 0
    assert value(found, "volsurf_fit_error_max_vol", underlying="BTC", model="svi_spline") == 0.011
    assert not [name for name, _ in found if name.startswith("volsurf_snapshots")]


def test_a_thousand_underlyings_make_a_bounded_scrape() -> None:
    names = [f"U{i:04d}" for i in range(1_000)]
    found = scrape(status(*names), *(surface(name) for name in names))
    labels = {dict(labels)["underlying"] for _, labels in found if "underlying" in dict(labels)}
    assert len(labels) == 200 + 2
    assert {"U0000", "U0199", OTHER, "unknown"} <= labels
    assert value(found, "volsurf_snapshots_total", underlying=OTHER, outcome="queued") == 5 * 800
    assert len(found) < 200 * 80


def test_labels_are_kept() -> None:
    label = UnderlyingLabels(limit=2)
    label.admit(["B", "C"])
    assert [label(name) for name in ("A", "B", "C", "A")] == [OTHER, "B", "C", OTHER]


def test_store_failures_are_counted_and_not_timed() -> None:
    metrics = ServiceMetrics("1.2.3")
    with pytest.raises(StoreUnavailable), metrics.store_call("submit"):
        raise StoreUnavailable("away")
    with metrics.store_call("submit"):
        pass
    found = dict(samples(metrics.exposition(None, []).decode()))
    assert value(found, "volsurf_redis_errors_total", kind="submit") == 1
    assert value(found, "volsurf_redis_command_duration_seconds_count", operation="submit") == 1


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Debian: prometheus) is not installed")
def test_promtool_finds_nothing() -> None:
    metrics = ServiceMetrics("1.2.3")
    metrics.observe_request("GET", "/v1/surfaces", 200, 0.01)
    with metrics.store_call("submit"):
        pass
    text = metrics.exposition(status("BTC", "ETH"), [surface()])
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    assert (checked.returncode, checked.stderr.decode(), checked.stdout.decode()) == (0, "", "")


def test_maintenance_shows_coverage_alarms_regime_and_drift_in_standard_errors() -> None:
    alarm = DriftAlarm("cusum", "1w", "level", 10.0, 9.5, "2026-08-01T17:58:04.320Z")
    drift = DriftDocument(0.004, [], [], [ParameterDrift("1m", "a", 0.001, 1.7)], {"1m": 1.2}, [alarm])
    confidence = ConfidenceDocument(0.95, 0.948, {"1w/atm": 0.94, "1y/put": 0.97})
    found = scrape(status("BTC"), surface("BTC", drift=drift, confidence=confidence, regime="shift"))
    assert value(found, "volsurf_band_coverage_ratio", underlying="BTC", bucket="1w/atm") == 0.94
    assert value(found, "volsurf_drift_alarm", underlying="BTC", monitor="cusum") == 1.0
    assert value(found, "volsurf_drift_alarm", underlying="BTC", monitor="ewma") == 0.0
    assert value(found, "volsurf_regime_shift", underlying="BTC") == 1.0
    tenor = {"underlying": "BTC", "model": "svi_spline", "tenor": "1m"}
    assert value(found, "volsurf_parameter_drift_zscore", **tenor, parameter="a") == 1.7
    assert value(found, "volsurf_parameter_drift_zscore", **tenor, parameter="joint") == 1.2


def test_a_surface_of_no_series_shows_no_coverage() -> None:
    found = scrape(status("BTC"), surface("BTC"))
    assert not [name for name, _ in found if name in ("volsurf_band_coverage_ratio", "volsurf_regime_shift")]


def test_every_operation_on_the_store_has_a_series_of_errors_from_the_start() -> None:
    found = scrape(None)
    assert {dict(labels)["kind"] for name, labels in found if name == "volsurf_redis_errors_total"} == set(
        STORE_OPERATIONS
    )
    assert value(found, "volsurf_redis_errors_total", kind="submit") == 0.0
    called = re.compile(r"(?:store_call|count_store_errors|_persist)\(\s*\"(\w+)\"")
    sources = (Path(__file__).parents[2] / "app" / "api").glob("*.py")
    assert {name for source in sources for name in called.findall(source.read_text())} == set(STORE_OPERATIONS)


def test_events_are_counted_by_kind() -> None:
    fleet = status("BTC")
    counted = replace(fleet.underlyings[0], events={"gate": 3, "roll": 0})
    found = scrape(replace(fleet, underlyings=(counted,)))
    assert value(found, "volsurf_events_total", underlying="BTC", kind="gate") == 3.0
    assert value(found, "volsurf_events_total", underlying="BTC", kind="roll") == 0.0
