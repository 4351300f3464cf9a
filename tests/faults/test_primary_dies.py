"""One primary of a cluster killed under load: its shards are away, the others go on; it returns, and all go on."""

import asyncio
import contextlib
import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.service.ports import PublishedSurface, StoreUnavailable, SubmitOutcome
from app.store.connect import AsyncStore, connect_async, connect_worker
from app.store.keys import Keys
from app.store.links import ANSWER_WITHIN_S
from tests.cluster import Cluster
from tests.faults.extent import FULL, KINDS
from tests.faults.figures import law, timing
from tests.faults.test_server_dies import Bench
from tests.servers import program_of
from tests.store.stored import AS_OF_MS, CHAIN, HANGS_AFTER_S, opened

SHARDS = 6
KEYS = Keys(shards=SHARDS)
NAMES = [f"U{number}" for number in range(18)]
AWAY_S = 5.0 if FULL else 2.5
BACK_WITHIN_S = 10.0
LEASE_S = 0.5


@pytest.fixture(params=KINDS)
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(program_of(request.param), tmp_path)
    if not FULL:
        for node in cluster.nodes:
            node.run("CONFIG", "SET", "cluster-node-timeout", round(1e3 * HANGS_AFTER_S))  # a pause is no death
    yield cluster
    cluster.close()


class Traffic:
    """The API side: every chain's answer, how long a refusal took, and what was heard, by phase."""

    def __init__(self) -> None:
        self.phase = "before"
        self.accepted: Counter[tuple[str, str]] = Counter()
        self.refused: Counter[tuple[str, str]] = Counter()
        self.slowest_refusal_s = 0.0
        self.back_at = 0.0
        self.heard: list[tuple[str, float, PublishedSurface]] = []

    async def submit(self, store: AsyncStore) -> None:
        """Submit chains of all underlyings until the phase is "over"."""
        for step in itertools.count():
            if self.phase == "over":
                return
            name, began = NAMES[step % len(NAMES)], time.monotonic()
            try:
                outcome = await store.intake.submit(name, AS_OF_MS + step, 0, CHAIN)
                assert outcome not in (SubmitOutcome.STALE, SubmitOutcome.DUPLICATE)
                self.accepted[self.phase, name] += 1
            except StoreUnavailable:
                self.refused[self.phase, name] += 1
                self.slowest_refusal_s = max(self.slowest_refusal_s, time.monotonic() - began)
            await asyncio.sleep(0.005)

    def heard_in(self, phase: str) -> set[str]:
        """Return the underlyings of which a surface was heard in ``phase``."""
        return {surface.underlying for each, _, surface in self.heard if each == phase}

    async def listen(self, store: AsyncStore) -> None:
        """Hear surfaces until cancelled."""
        while True:
            try:
                for surface in await store.updates.next_updates(0.2):
                    self.heard.append((self.phase, time.monotonic(), surface))
            except StoreUnavailable:
                await asyncio.sleep(0.02)


async def _kill_a_primary(cluster: Cluster, victim: int, gone: set[str], traffic: Traffic) -> None:
    store = connect_async(cluster.url, shards=SHARDS, answer_within_s=ANSWER_WITHIN_S if FULL else HANGS_AFTER_S)
    assert await store.updates.next_updates(0.0) == []
    jobs = [asyncio.create_task(traffic.listen(store)), asyncio.create_task(traffic.submit(store))]
    await asyncio.sleep(1.0)
    traffic.phase = "away"
    cluster.nodes[victim].kill()
    await asyncio.sleep(AWAY_S)
    async with asyncio.timeout(HANGS_AFTER_S):
        while not (set(NAMES) - gone <= traffic.heard_in("away") and _of(traffic.refused, "away", gone)):
            await asyncio.sleep(0.05)
    await asyncio.to_thread(cluster.nodes[victim].start)
    traffic.phase = "back"
    traffic.back_at = time.monotonic()
    async with asyncio.timeout(HANGS_AFTER_S):
        while not all(traffic.accepted["back", name] for name in NAMES):
            await asyncio.sleep(0.05)
        traffic.phase = "over"
        await jobs[1]
        await _drained(store)
        while not await _all_heard(store, traffic):
            await asyncio.sleep(0.05)
    await asyncio.sleep(1.0)  # for what ought not to come
    jobs[0].cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await jobs[0]
    await store.close()


async def _all_heard(store: AsyncStore, traffic: Traffic) -> bool:
    try:
        newest = [await store.surfaces.newest(name) for name in NAMES]
    except StoreUnavailable:
        return False
    return {surface for surface in newest if surface} <= {surface for _, _, surface in traffic.heard}


async def _drained(store: AsyncStore) -> None:
    while True:
        try:
            if all(counts.pending == 0 for counts in (await store.fleet.status()).underlyings):
                return
        except StoreUnavailable:
            pass
        await asyncio.sleep(0.05)


@pytest.mark.promise("T4")
@pytest.mark.parametrize("victim", [0, 1] if FULL else [0])
def test_a_killed_primary_takes_only_its_shards_along(cluster: Cluster, victim: int) -> None:
    gone = {name for name in NAMES if cluster.primary_of(KEYS.shard_of(name), KEYS) is cluster.nodes[victim]}
    assert 0 < len(gone) < len(NAMES)
    over, traffic = threading.Event(), Traffic()
    queues = [connect_worker(cluster.url, name=f"w{i}", lease_s=LEASE_S, shards=SHARDS) for i in range(2)]
    benches = [Bench(queue, over) for queue in queues]
    for bench in benches:
        bench.start()
    try:
        asyncio.run(_kill_a_primary(cluster, victim, gone, traffic))
    finally:
        over.set()
        for bench in benches:
            bench.join()
    _assert_lawful(cluster, traffic)
    others = set(NAMES) - gone
    assert others <= traffic.heard_in("away"), "shards of the other nodes are fitted and heard meanwhile"
    refused = _of(traffic.refused, "away", others)
    law("T4", "a primary away: chains of other nodes refused", refused, at_most=0)
    assert _of(traffic.refused, "away", gone) > 0
    timing("T4", "a primary away: slowest refusal", traffic.slowest_refusal_s, "s", at_most=1.0)
    heard_again = min(at for _, at, surface in traffic.heard if surface.underlying in gone and at > traffic.back_at)
    returned_s = heard_again - traffic.back_at
    timing("T4", "a primary back: first surface of its shards", returned_s, "s", at_most=BACK_WITHIN_S)


def _of(counted: Counter[tuple[str, str]], phase: str, names: set[str]) -> int:
    return sum(counted[phase, name] for name in names)


def _assert_lawful(cluster: Cluster, traffic: Traffic) -> None:
    with opened(cluster.url, shards=SHARDS) as store:
        for name in NAMES:
            counts = store.counts(name)
            heard = [surface for _, _, surface in traffic.heard if surface.underlying == name]
            accepted = sum(count for (_, each), count in traffic.accepted.items() if each == name)
            refused = sum(count for (_, each), count in traffic.refused.items() if each == name)
            assert accepted <= counts.received <= accepted + refused, "an accepted chain is never lost"
            assert all(a.version < b.version and a.as_of_ms <= b.as_of_ms for a, b in itertools.pairwise(heard))
            assert all(a.version == b.prev_version for a, b in itertools.pairwise(heard)), "every surface, once"
            assert heard[-1] == store.run(store.api.surfaces.newest(name))
            assert len(heard) == counts.fitted
