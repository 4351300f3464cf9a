import math
import time

from app.service.ports import FitTimings
from tests.store.stored import AS_OF_MS, OpenStore, claimed


def test_an_empty_store_has_a_status(store: OpenStore) -> None:
    status = store.run(store.api.fleet.status())
    assert status.underlyings == ()
    assert (status.queue_depth, status.queue_oldest_age_s) == ({"0": 0}, {"0": 0.0})
    assert (status.workers_alive, status.warm_workers) == (0, 0)
    assert status.store_used_bytes > 100_000
    assert all(count == 0 for _, _, count in status.histograms.values())


def test_durations_fall_into_cumulative_buckets(store: OpenStore) -> None:
    worker = store.worker()
    durations_s = [0.0005, 0.005, 0.0051, 3.0, 99.0]
    for i, duration_s in enumerate(durations_s):
        store.submit(as_of_ms=AS_OF_MS + i)
        timings = FitTimings(calibration_s=duration_s, queue_wait_s=0.0)
        worker.commit(claimed(worker), b"{}", outcome="ok", timings=timings)
    buckets, total_s, count = store.run(store.api.fleet.status()).histograms["calibration_duration"]
    assert count == len(durations_s)
    assert math.isclose(total_s, sum(durations_s))
    for bound, cumulative in buckets:
        assert cumulative == sum(duration_s <= bound for duration_s in durations_s)
    assert buckets[-1] == (math.inf, len(durations_s))


def test_ends_are_measured_by_the_stores_clock(store: OpenStore) -> None:
    now_ms = time.time_ns() // 1_000_000
    store.submit(as_of_ms=now_ms - 700)
    time.sleep(0.03)
    worker = store.worker()
    worker.commit(claimed(worker), b"{}", outcome="ok", timings=FitTimings(0.01, 0.03))
    histograms = store.run(store.api.fleet.status()).histograms
    took_s = (time.time_ns() // 1_000_000 + 1 - now_ms) / 1e3
    assert 0.73 <= histograms["end_to_end"][1] <= 0.7 + took_s
    assert 0.03 <= histograms["received_to_published"][1] <= took_s


def test_a_surface_that_was_moved_counts_as_fitted(store: OpenStore) -> None:
    worker = store.worker()
    for i, outcome in enumerate(["ok", "moved", "moved"]):
        store.submit(as_of_ms=AS_OF_MS + i)
        worker.commit(claimed(worker), b"{}", outcome=outcome, timings=FitTimings(0.01, 0.0))
    (counts,) = store.run(store.api.fleet.status()).underlyings
    assert (counts.received, counts.fitted, counts.failed, counts.pending) == (3, 3, 0, 0)
    assert counts.calibrations == {"ok": 1, "moved": 2}


def test_a_failure_without_a_fit_is_not_timed(store: OpenStore) -> None:
    store.submit()
    worker = store.worker()
    worker.fail(claimed(worker), "unreadable", outcome="corrupt", timings=None)
    histograms = store.run(store.api.fleet.status()).histograms
    assert all(count == 0 for _, _, count in histograms.values())


def test_the_oldest_wait_counts_from_the_first_chain_that_waits(store: OpenStore) -> None:
    began = time.monotonic()
    store.submit()
    time.sleep(0.05)
    store.submit(as_of_ms=AS_OF_MS + 1)
    status = store.run(store.api.fleet.status())
    took_s = time.monotonic() - began
    assert status.queue_depth == {"0": 1}
    assert 0.05 <= status.queue_oldest_age_s["0"] <= took_s + 0.002
    claimed(store.worker())
    assert store.run(store.api.fleet.status()).queue_depth == {"0": 0}


def test_workers_count_while_they_announce_themselves(store: OpenStore) -> None:
    one, other = store.worker(), store.worker()
    one.announce("one", warm=False, busy_with=None)
    other.announce("other", warm=True, busy_with="B|TC", busy_since_ms=5)
    status = store.run(store.api.fleet.status())
    assert (status.workers_alive, status.warm_workers) == (2, 1)
    one.announce("one", warm=True, busy_with=None)
    other.leave("other")
    status = store.run(store.api.fleet.status())
    assert (status.workers_alive, status.warm_workers) == (1, 1)


def test_refused_bodies_are_counted_by_venue(store: OpenStore) -> None:
    for venue in ("deribit", "native", "deribit"):
        store.run(store.api.intake.count_invalid(venue))
    assert store.run(store.api.fleet.status()).invalid_by_venue == {"deribit": 2, "native": 1}
