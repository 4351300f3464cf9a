"""A server in cluster mode: scripts touch no key outside their slot. All slots are here, so nothing is redirected."""

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from redis.crc import key_slot

from app.service.ports import StoreUnavailable, SubmitOutcome
from app.store.connect import connect_dead_letters
from app.store.dead_letters import Revival
from app.store.embedded import find_server
from app.store.keys import Keys
from tests.running_service import free_port
from tests.store.stored import AS_OF_MS, NOTHING_DAMAGED, TIMINGS, OpenStore, claimed, opened, until
from tests.store.test_dead_letters import kill_every_worker


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


def test_shards_of_a_cluster_are_refused_as_unavailable(cluster_url: str) -> None:
    """A blocking read spans all shards, which a cluster does not do for keys of two slots."""
    with opened(cluster_url, shards=3) as store, pytest.raises(StoreUnavailable, match="slot"):
        store.worker().claim(0.1)


@pytest.mark.parametrize("shard", [0, 1, 63])
def test_the_keys_of_a_shard_share_a_slot(shard: int) -> None:
    keys = Keys(shards=64)
    underlying = next(name for name in (f"U{n}" for n in range(10_000)) if keys.shard_of(name) == shard)
    of_shard = [keys.underlyings, keys.queue, keys.updates, keys.dead, keys.quarantine, keys.counters, keys.histograms]
    names = [name(shard) for name in of_shard]
    names += [name(underlying) for name in (keys.state, keys.chain, keys.history)]
    assert len({key_slot(name.encode()) for name in names}) == 1
