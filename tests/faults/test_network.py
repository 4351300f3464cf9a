"""A worker whose way to the store is cut, slow or broken, while others reach it."""

import time
from collections.abc import Iterator

import pytest

from tests.faults.conftest import Crew
from tests.faults.figures import law, timing
from tests.faults.network import Network, network_to
from tests.faults.test_worker_dies import running, settled
from tests.faults.worker_process import LEASE_S, QUICK, SLOW
from tests.servers import RealServer
from tests.store.stored import AS_OF_MS, OpenStore, until


@pytest.fixture
def network(server: RealServer) -> Iterator[Network]:
    with network_to(server.url) as network:
        yield network


@pytest.mark.promise("T10")
def test_who_was_cut_off_beyond_its_lease_changes_nothing_when_it_is_back(
    network: Network, store: OpenStore, crew: Crew
) -> None:
    crew.start_warm("far", url=network.url)
    store.submit(sequence=SLOW)
    until(lambda: running(store))
    cut_at = time.monotonic()
    network.cut()
    crew.start("near")
    until(lambda: settled(store))
    newest = store.run(store.api.surfaces.newest("BTC"))
    assert newest is not None
    assert newest.document == b'{"attempt":2,"by":"near"}'
    assert time.monotonic() - cut_at > 0.5 * LEASE_S
    crew.members["near"].terminate()
    assert crew.exit_code("near") == 0
    network.heal()
    counts = until(lambda: store.counts() if store.counts().fenced else None)
    law("T10", "late commits of a worker that was cut off, refused by the fence", counts.fenced, at_least=1)
    assert (counts.fitted, counts.reclaimed) == (1, 1)
    assert store.run(store.api.surfaces.newest("BTC")) == newest
    store.submit(as_of_ms=AS_OF_MS + 1, sequence=QUICK)
    began = time.monotonic()
    until(lambda: store.counts().fitted == 2)
    timing("T10", "the healed worker takes the next chain after", time.monotonic() - began, "s", at_most=2.0)
    after = store.run(store.api.surfaces.newest("BTC"))
    assert after is not None
    assert (after.prev_version, after.version > newest.version) == (newest.version, True)


@pytest.mark.promise("T10")
def test_a_slow_way_costs_time_and_nothing_else(network: Network, store: OpenStore, crew: Crew) -> None:
    crew.start_warm("far", url=network.url)
    network.delay(0.1)
    for number in range(4):
        store.submit(f"U{number}", sequence=SLOW if number == 0 else QUICK)
    until(lambda: all(settled(store, f"U{number}") for number in range(4)))
    for number in range(4):
        counts = store.counts(f"U{number}")
        assert (counts.fitted, counts.reclaimed, counts.fenced) == (1, 0, 0)


@pytest.mark.promise("T10")
def test_connections_that_break_during_a_fit_are_made_anew(network: Network, store: OpenStore, crew: Crew) -> None:
    crew.start_warm("far", url=network.url)
    store.submit(sequence=SLOW)
    until(lambda: running(store))
    network.reset()
    counts = until(lambda: settled(store))
    assert (counts.received, counts.fitted, counts.fenced) == (1, 1, 0)
    assert crew.exit_code("far", within_s=0.0) is None
