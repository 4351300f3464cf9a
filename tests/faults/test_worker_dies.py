"""Worker processes killed, stopped, hung and frozen in the middle of a fit."""

import os
import signal
import time

import pytest

from app.service.fleet_status import UnderlyingCounts
from app.service.ports import StoreUnavailable
from app.store.keys import MAX_ATTEMPTS, Keys
from app.worker import EXIT_FIT_LIMIT
from tests.faults.conftest import Crew
from tests.faults.figures import timing
from tests.faults.worker_process import (
    DIES,
    FIT_LIMIT_S,
    HANGS,
    HANGS_AFTERWARDS,
    LEASE_S,
    QUICK,
    RAISES,
    RAISES_AFTERWARDS,
    REFUSES,
    SLOW,
    SLOW_S,
    work_under_a_limit,
    work_undisturbed,
)
from tests.servers import RealServer
from tests.store.stored import AS_OF_MS, OpenStore, claimed, until

KEYS = Keys()


def settled(store: OpenStore, underlying: str = "BTC") -> UnderlyingCounts | None:
    counts = store.counts(underlying)
    return counts if counts.pending == 0 else None


def running(store: OpenStore) -> bool:
    return bool(store.run(store.api.fleet._link.run("HGET", KEYS.state("BTC"), "state")) == b"running")


def events(store: OpenStore) -> list[tuple[str, str]]:
    """Kind and message of every event, oldest first."""
    kept = store.run(store.api.events.page(before=None, limit=100))
    return [(event.kind.value, event.message) for event in reversed(kept)]


def holder(store: OpenStore) -> str:
    """The name of the worker that holds the token."""
    ask = "return redis.call('XPENDING', KEYS[1], 'fit', '-', '+', 9)[1][2]"
    return str(store.run(store.api.fleet._link.run("EVAL", ask, 1, KEYS.queue(0))).decode()).partition("-")[0]


@pytest.mark.promise("T12")
def test_a_worker_lives_on_after_bad_chains(store: OpenStore, crew: Crew) -> None:
    crew.start_warm("one")
    for i, kind in enumerate((RAISES, REFUSES, QUICK)):
        store.submit(as_of_ms=AS_OF_MS + i, sequence=kind)
        until(lambda: settled(store))
    counts = store.counts()
    assert counts.calibrations == {"error": 1, "no_smile": 1, "ok": 1}
    assert counts.last_failure == "no smile in it"
    assert crew.exit_code("one", within_s=0.0) is None


@pytest.mark.promise("T3")
def test_sigterm_ends_an_idle_worker_at_once(store: OpenStore, crew: Crew) -> None:
    crew.start_warm("one")
    crew.members["one"].terminate()
    began = time.monotonic()
    assert crew.exit_code("one") == 0
    timing("T3", "SIGTERM to the end of an idle worker", time.monotonic() - began, "s", at_most=1.5)
    assert store.run(store.api.fleet.status()).workers_alive == 0


@pytest.mark.promise("T3")
def test_sigterm_lets_a_short_fit_finish(store: OpenStore, crew: Crew) -> None:
    crew.start_warm("one", target=work_undisturbed)
    store.submit(sequence=SLOW)
    until(lambda: running(store))
    crew.members["one"].terminate()
    began = time.monotonic()
    assert crew.exit_code("one") == 0
    timing("T3", "SIGTERM to the end of a worker whose fit is short", time.monotonic() - began, "s", at_most=5.0)
    counts = store.counts()
    assert (counts.fitted, counts.pending, counts.reclaimed) == (1, 0, 0)


@pytest.mark.promise("T3")
def test_sigterm_hands_a_long_fit_back_at_no_cost(store: OpenStore, crew: Crew) -> None:
    crew.start_warm("one")
    store.submit(sequence=HANGS)
    until(lambda: running(store))
    crew.members["one"].terminate()
    began = time.monotonic()
    assert crew.exit_code("one") == 0
    timing("T3", "SIGTERM to the end of a worker whose fit is long", time.monotonic() - began, "s", at_most=5.0)
    assert claimed(store.worker()).attempt == 1, "the next worker need not wait for the lease, which never ends"
    assert store.counts().reclaimed == 0


@pytest.mark.promise("T12")
def test_what_fails_after_the_surface_is_out_costs_no_surface(store: OpenStore, crew: Crew) -> None:
    crew.start_warm("one")
    for i, kind in enumerate((RAISES_AFTERWARDS, QUICK)):
        store.submit(as_of_ms=AS_OF_MS + i, sequence=kind)
        until(lambda: settled(store))
    assert store.counts().calibrations == {"ok": 2}
    assert crew.exit_code("one", within_s=0.0) is None


@pytest.mark.promise("T13")
def test_what_hangs_after_the_surface_is_out_ends_the_worker_alone(store: OpenStore, crew: Crew) -> None:
    crew.start_warm("one", target=work_under_a_limit)
    store.submit(sequence=HANGS_AFTERWARDS)
    until(lambda: settled(store))
    assert store.newest_document() == b'{"attempt":1,"by":"one"}'
    assert crew.exit_code("one") == EXIT_FIT_LIMIT
    crew.start_warm("two")
    store.submit(as_of_ms=AS_OF_MS + 1, sequence=QUICK)
    counts = until(lambda: settled(store))
    assert counts is not None
    assert (counts.fitted, counts.reclaimed, counts.fenced) == (2, 0, 0)


@pytest.mark.promise("T3")
def test_sigterm_does_not_wait_for_what_hangs_afterwards(store: OpenStore, crew: Crew) -> None:
    crew.start_warm("one")
    store.submit(sequence=HANGS_AFTERWARDS)
    until(lambda: settled(store))
    crew.members["one"].terminate()
    assert crew.exit_code("one") == 0
    assert (store.counts().fitted, store.counts().pending) == (1, 0)


@pytest.mark.promise("T2")
def test_a_killed_worker_is_replaced_within_its_lease(store: OpenStore, crew: Crew) -> None:
    crew.start_warm("one", "two")
    store.submit(sequence=SLOW)
    until(lambda: running(store))
    victim = holder(store)
    crew.members[victim].kill()
    began = time.monotonic()
    until(lambda: store.counts().reclaimed == 1)
    timing("T2", "kill -9 mid-fit to the takeover, lease 1 s", time.monotonic() - began, "s", at_most=LEASE_S + 0.5)
    counts = until(lambda: settled(store))
    assert (counts.received, counts.fitted, counts.reclaimed) == (1, 1, 1)
    assert events(store) == [("gate", "attempt 2")], "the one that died said nothing"
    survivor = {"one": "two", "two": "one"}[victim]
    assert store.newest_document() == b'{"attempt":2,"by":"%s"}' % survivor.encode()


@pytest.mark.promise("T13")
def test_a_fit_that_hangs_ends_its_process(store: OpenStore, crew: Crew) -> None:
    crew.start_warm("one", target=work_under_a_limit)
    submitted = time.monotonic()
    store.submit(sequence=HANGS)
    until(lambda: running(store))
    began = time.monotonic()
    assert crew.exit_code("one") == EXIT_FIT_LIMIT
    took_s = time.monotonic() - began
    assert time.monotonic() - submitted > FIT_LIMIT_S
    timing("T13", f"a hanging fit ends its process, limit {FIT_LIMIT_S:g} s", took_s, "s", at_most=FIT_LIMIT_S + 1.0)
    next_worker = store.worker(lease_s=LEASE_S)
    assert until(lambda: next_worker.claim(0.1)).attempt == 2, "the hang counts as an attempt"


@pytest.mark.promise("T10")
def test_a_frozen_worker_that_wakes_late_changes_nothing(store: OpenStore, crew: Crew) -> None:
    crew.start_warm("one", "two")
    store.submit(sequence=SLOW)
    until(lambda: running(store))
    victim = crew.pid(holder(store))
    os.kill(victim, signal.SIGSTOP)
    until(lambda: settled(store))
    newest = store.run(store.api.surfaces.newest("BTC"))
    os.kill(victim, signal.SIGCONT)
    counts = until(lambda: store.counts() if store.counts().fenced else None)
    assert (counts.fitted, counts.reclaimed, counts.fenced) == (1, 1, 1)
    assert events(store) == [("gate", "attempt 2")], "the one that woke late said nothing"
    assert store.run(store.api.surfaces.newest("BTC")) == newest


@pytest.mark.promise("T12")
def test_a_poison_chain_takes_three_workers_and_no_more(store: OpenStore, crew: Crew) -> None:
    store.submit(sequence=DIES)
    for attempt in range(MAX_ATTEMPTS):
        crew.start(f"victim{attempt}")
        assert crew.exit_code(f"victim{attempt}") == -signal.SIGKILL
    crew.start("survivor")
    until(lambda: store.counts().dead_lettered == 1)
    store.submit(as_of_ms=AS_OF_MS + 1, sequence=QUICK)
    began = time.monotonic()
    until(store.newest_document)
    timing("T12", "the next good chain after a poison one", time.monotonic() - began, "s", at_most=0.5)
    assert store.counts().fitted == 1
    assert [kind for kind, _ in events(store)] == ["dead_letter", "gate"]


@pytest.mark.promise("T4")
def test_a_worker_outlives_the_server_and_its_fit_is_published(
    server: RealServer, store: OpenStore, crew: Crew
) -> None:
    crew.start_warm("one")
    store.submit(sequence=SLOW)
    until(lambda: running(store))
    server.kill()
    time.sleep(2.0 * SLOW_S)
    server.start()
    until(lambda: _answers(store))
    counts = until(lambda: settled(store))
    assert (counts.received, counts.fitted) == (1, 1)
    assert len(events(store)) == 1
    assert crew.exit_code("one", within_s=0.0) is None


def _answers(store: OpenStore) -> bool:
    try:
        store.run(store.api.ping())
    except StoreUnavailable:
        return False
    return True
