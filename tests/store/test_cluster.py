"""Cluster mode: scripts touch no key outside their slot, and shards on several nodes are one store."""

import subprocess
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from redis.crc import key_slot

from app.service.factor_record import SLOT_MS
from app.service.ports import PublishedSurface, StoreUnavailable, SubmitOutcome
from app.service.surface_factors import NO_FACTORS
from app.store.connect import connect_dead_letters
from app.store.dead_letters import Revival
from app.store.keys import Keys
from app.store.server_program import find_server
from tests.cluster import Cluster
from tests.running_service import free_port
from tests.servers import program_of
from tests.store.factor_rows import factors_at, rows_of
from tests.store.stored import (
    AS_OF_MS,
    HANGS_AFTER_S,
    LEASE_NEVER_ENDS_S,
    NOTHING_DAMAGED,
    TIMINGS,
    OpenStore,
    claimed,
    opened,
    until,
)
from tests.store.test_dead_letters import kill_every_worker

SHARDS = 6
SPREAD_KEYS = Keys(shards=SHARDS)
UNUSED = [f"U{number}" for number in range(100)]
NAMES = [f"{name}-USD" for name in UNUSED[:9]]
"""Underlyings over the shards."""


@pytest.fixture(scope="module")
def cluster_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("cluster")
    port, bus = free_port(), free_port()
    place = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--logfile", str(folder / "log")]
    cluster = ["--cluster-enabled", "yes", "--cluster-port", str(bus), "--save", ""]
    process = subprocess.Popen([find_server(), *place, *cluster], stdout=subprocess.DEVNULL)
    client: Any = redis.Redis(port=port, protocol=2)
    try:
        until(lambda: _answers(client))
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        until(lambda: b"cluster_state:ok" in client.execute_command("CLUSTER", "INFO"))
        yield f"redis://127.0.0.1:{port}"
    finally:
        client.close()
        process.terminate()
        process.wait()


def _answers(client: Any) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


@pytest.fixture
def store(cluster_url: str) -> Iterator[OpenStore]:
    with redis.Redis.from_url(cluster_url, protocol=2) as client:
        client.flushall()
    with opened(cluster_url) as store:
        yield store


def test_one_shard_works_in_cluster_mode(store: OpenStore) -> None:
    assert store.run(store.api.updates.next_updates(0.0)) == []
    store.publish("BTC")
    worker = store.worker()
    store.submit("BTC", AS_OF_MS + 1)
    worker.hand_back(claimed(worker))
    claim = claimed(worker)
    worker.extend(claim)
    assert store.submit("BTC", AS_OF_MS + 2) is SubmitOutcome.DEFERRED
    worker.commit(claim, b"{}", outcome="ok", timings=TIMINGS)
    worker.fail(claimed(worker), "no", outcome="rejected", timings=TIMINGS)
    worker.announce("w", warm=True, busy_with=None)
    assert len(store.run(store.api.surfaces.history("BTC", before=None, limit=9))) == 2
    assert store.run(store.api.surfaces.as_of("BTC", AS_OF_MS)) is not None
    assert [surface.as_of_ms for surface in store.run(store.api.updates.next_updates(1.0))] == [AS_OF_MS, AS_OF_MS + 1]
    counts = store.counts("BTC")
    assert (counts.received, counts.fitted, counts.failed) == (3, 2, 1)
    assert store.run(store.api.fleet.status()).warm_workers == 1
    worker.leave("w")


def test_dead_letters_and_quarantine_work_in_cluster_mode(store: OpenStore) -> None:
    kill_every_worker(store)
    letters = connect_dead_letters(store.url)
    (letter,) = letters.kept()
    assert letters.retry(letter.name) is Revival.QUEUED
    letters.close()
    link = store.api.fleet._link
    store.run(link.run("SETRANGE", Keys().chain("BTC"), 20, b"\xff\xff"))
    assert store.worker().claim(0.2) is None
    assert store.run(store.api.fleet.status()).quarantined == NOTHING_DAMAGED | {"chain": 1}


@pytest.fixture(scope="module", params=["valkey", "redis"])
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(program_of(request.param), tmp_path_factory.mktemp("cluster"))
    for node in cluster.nodes:
        node.run("CONFIG", "SET", "cluster-node-timeout", round(1e3 * HANGS_AFTER_S))  # here none of them dies
    yield cluster
    cluster.close()


@pytest.fixture
def spread(cluster: Cluster) -> Iterator[OpenStore]:
    """A store of shards on all three nodes."""
    assert {cluster.primary_of(shard, SPREAD_KEYS).port for shard in SPREAD_KEYS.shards} == {
        node.port for node in cluster.nodes
    }
    for node in cluster.nodes:
        node.run("FLUSHALL")
    with opened(cluster.url, shards=SHARDS) as store:
        yield store


def test_shards_live_on_different_nodes_and_work_as_one_store(cluster: Cluster, spread: OpenStore) -> None:
    store, feed, worker = spread, spread.api.updates, spread.worker()
    assert store.run(feed.next_updates(0.0)) == []
    for round_number in range(3):
        for name in NAMES:
            assert store.submit(name, AS_OF_MS + round_number) is SubmitOutcome.QUEUED
        for _ in NAMES:
            claim = claimed(worker)
            factors = factors_at(SLOT_MS * claim.as_of_ms)
            worker.commit(claim, b"{}", outcome="ok", timings=TIMINGS, factors=factors)
    heard: list[PublishedSurface] = []
    until(lambda: len(heard.extend(store.run(feed.next_updates(0.2))) or heard) >= 3 * len(NAMES))
    assert store.run(feed.next_updates(0.2)) == []
    for name in NAMES:
        counts, of_name = store.counts(name), [surface for surface in heard if surface.underlying == name]
        assert (counts.received, counts.fitted) == (3, 3)
        assert [surface.as_of_ms - AS_OF_MS for surface in of_name] == [0, 1, 2]
        assert [surface.prev_version for surface in of_name[1:]] == [surface.version for surface in of_name[:-1]]
        assert store.run(store.api.surfaces.after(name, of_name[0].version, 9)) == of_name[1:]
        rows = rows_of(store.run(store.api.factors.recorded(name, NO_FACTORS)))
        assert rows == [factors_at(SLOT_MS * surface.as_of_ms) for surface in of_name]
    assert store.run(store.api.surfaces.underlyings()) == sorted(NAMES)
    status = store.run(store.api.fleet.status())
    assert sorted(status.queue_depth) == sorted(map(str, SPREAD_KEYS.shards))
    used = [node.run("INFO", "memory")["used_memory"] for node in cluster.nodes]
    assert status.store_used_bytes == pytest.approx(sum(used), rel=0.2), "the memory of all nodes"
    store.run(store.api.ping())
    worker.leave("w")


def test_a_dead_workers_chain_is_taken_over_on_any_node(spread: OpenStore) -> None:
    dead, heir = spread.worker("dead"), spread.worker("heir")
    for name in NAMES:
        spread.submit(name)
    for _ in NAMES:
        claimed(dead)
    for shard in SPREAD_KEYS.shards:
        spread.age_claims(2.0 * LEASE_NEVER_ENDS_S, shard)
    assert sorted(claimed(heir).underlying for _ in NAMES) == sorted(NAMES)
    assert spread.counts(NAMES[0]).reclaimed == 1


def test_a_chain_wakes_a_waiting_worker(spread: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("connect", "bells"):
        monkeypatch.setattr(f"app.store.{module}.BLOCK_S", 2.0 * HANGS_AFTER_S)
    worker = spread.worker()
    assert worker.claim(0.3) is None
    for name in NAMES:
        soon = threading.Timer(0.1, lambda name=name: _submit_from_elsewhere(spread.url, name))
        soon.start()
        claim = claimed(worker)  # long before any read for the bell is over
        assert claim.underlying == name
        worker.commit(claim, b"{}", outcome="ok", timings=TIMINGS)
        soon.join()


def _submit_from_elsewhere(url: str, name: str) -> None:
    with opened(url, shards=SHARDS) as elsewhere:
        elsewhere.submit(name)


def test_a_slot_that_moves_is_followed(cluster: Cluster, spread: OpenStore) -> None:
    store, worker = spread, spread.worker()
    assert store.run(store.api.updates.next_updates(0.0)) == []
    name = NAMES[0]
    shard = SPREAD_KEYS.shard_of(name)
    slot = key_slot(SPREAD_KEYS.queue(shard).encode())
    source = cluster.primary_of(shard, SPREAD_KEYS)
    target = next(node for node in cluster.nodes if node is not source)
    store.submit(name)
    worker.commit(claimed(worker), b'{"n":1}', outcome="ok", timings=TIMINGS)
    moved = AS_OF_MS
    for here, there in ((source, target), (target, source)):
        there.run("CLUSTER", "SETSLOT", slot, "IMPORTING", here.id())
        here.run("CLUSTER", "SETSLOT", slot, "MIGRATING", there.id())
        with pytest.raises(StoreUnavailable, match="being moved"):
            store.submit(next(other for other in UNUSED if SPREAD_KEYS.shard_of(other) == shard))
        keys = here.run("CLUSTER", "GETKEYSINSLOT", slot, 100)
        here.run("MIGRATE", "127.0.0.1", there.port, "", 0, round(1e3 * HANGS_AFTER_S), "KEYS", *keys)
        for node in (there, here, *cluster.nodes):
            node.run("CLUSTER", "SETSLOT", slot, "NODE", there.id())
        moved += 1
        until(lambda moved=moved: _taken(store, name, moved))
        claim = until(lambda: worker.claim(0.5))
        worker.commit(claim, b'{"n":2}', outcome="ok", timings=TIMINGS)
        assert claim.as_of_ms == moved
    counts = store.counts(name)
    assert counts.received == counts.fitted == 3
    heard: list[PublishedSurface] = []
    until(lambda: len(heard.extend(_patiently_heard(store)) or heard) >= counts.fitted)
    assert len({surface.version for surface in heard}) == counts.fitted == len(heard)


def _taken(store: OpenStore, name: str, as_of_ms: int) -> bool:
    try:
        return store.submit(name, as_of_ms) is SubmitOutcome.QUEUED
    except StoreUnavailable:
        return False


def _patiently_heard(store: OpenStore) -> list[PublishedSurface]:
    try:
        return list(store.run(store.api.updates.next_updates(0.2)))
    except StoreUnavailable:
        return []


@pytest.mark.parametrize("shard", [0, 1, 63])
def test_the_keys_of_a_shard_share_a_slot(shard: int) -> None:
    keys = Keys(shards=64)
    underlying = next(name for name in (f"U{n}" for n in range(10_000)) if keys.shard_of(name) == shard)
    of_shard = [keys.underlyings, keys.queue, keys.updates, keys.dead, keys.quarantine, keys.counters, keys.histograms]
    names = [name(shard) for name in of_shard]
    names += [name(underlying) for name in (keys.state, keys.chain, keys.history)]
    assert len({key_slot(name.encode()) for name in names}) == 1
