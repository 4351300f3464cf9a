"""The server killed under load, and started from a log that was cut off anywhere."""

import asyncio
import itertools
import random
import shutil
import threading
from pathlib import Path

import pytest

from app.service.event import Event, EventKind, Notice
from app.service.factor_record import SLOT_MS
from app.service.ports import Claim, PublishedSurface, StoreUnavailable, SubmitOutcome
from app.service.surface_factors import NO_FACTORS, SurfaceFactors
from app.store.connect import AsyncStore, connect_async, connect_worker
from app.store.keys import EVENTS_KEPT, Keys
from app.store.work_queue import RedisWorkQueue
from tests.faults.extent import FULL, KINDS, SEED
from tests.faults.figures import law
from tests.servers import RealServer, program_of
from tests.store.factor_rows import factors_at, rows_for, rows_of
from tests.store.stored import AS_OF_MS, CHAIN, HANGS_AFTER_S, TIMINGS, OpenStore, assert_conserved, opened

KILLS = 10 if FULL else 4
CUTS = 60 if FULL else 12
NAMES = [f"U{i}" for i in range(8)]
KEYS = Keys()
ENOUGH = 100
"""Chains accepted: until then it is no load, however slow the disk is."""


def factors_of_chain(as_of_ms: int) -> SurfaceFactors:
    """Chains of these tests are milliseconds apart; three of them shall share a row."""
    return factors_at(as_of_ms * SLOT_MS // 3)


class Bench(threading.Thread):
    """A worker's main loop in a thread: claims, answers, and waits while the store is away."""

    def __init__(self, queue: RedisWorkQueue, over: threading.Event) -> None:
        super().__init__(daemon=True)
        self._queue = queue
        self._over = over

    def run(self) -> None:
        while not self._over.is_set():
            try:
                claim = self._queue.claim(0.1)
                if claim:
                    self._over.wait(0.003)
                    self._answer(claim)
            except StoreUnavailable:
                self._over.wait(0.02)
        self._queue.close()

    def _answer(self, claim: Claim) -> None:
        """Repeat the answer, as a worker does, until one is heard."""
        events = (Notice(EventKind.GATE, f"fence {claim.fence}"), Notice(EventKind.ROLL, f"fence {claim.fence}"))
        while not self._over.is_set():
            try:
                factors = factors_of_chain(claim.as_of_ms)
                self._queue.commit(claim, b"{}", outcome="ok", timings=TIMINGS, events=events, factors=factors)
                return
            except StoreUnavailable:
                self._over.wait(0.02)


class Traffic:
    """What the API side saw: acknowledged chains, and surfaces and events in the order they were heard."""

    def __init__(self) -> None:
        self.accepted = 0
        self.heard: list[PublishedSurface] = []
        self.events: list[Event] = []

    async def submit(self, store: AsyncStore, random_number: random.Random) -> None:
        """Submit chains of all underlyings until cancelled; about one in ten again, or late."""
        for step in itertools.count():
            late = random_number.choice([0] * 8 + [1, 5])
            try:
                outcome = await store.intake.submit(random_number.choice(NAMES), AS_OF_MS + step - late, 0, CHAIN)
                self.accepted += outcome not in (SubmitOutcome.STALE, SubmitOutcome.DUPLICATE)
            except StoreUnavailable:
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.001)

    async def listen(self, store: AsyncStore) -> None:
        """Hear surfaces until cancelled."""
        while True:
            try:
                self.heard += await store.updates.next_updates(0.2)
            except StoreUnavailable:
                await asyncio.sleep(0.02)

    async def listen_to_events(self, store: AsyncStore) -> None:
        """Hear events until cancelled."""
        while True:
            try:
                batch = await store.event_feed.next_events(0.2)
                assert batch.missed == 0
                self.events += batch.events
            except StoreUnavailable:
                await asyncio.sleep(0.02)


async def _kill_under_load(server: RealServer, traffic: Traffic) -> None:
    number = random.Random(SEED)
    store = connect_async(server.url)
    jobs = [
        asyncio.create_task(traffic.listen(store)),
        asyncio.create_task(traffic.submit(store, number)),
        asyncio.create_task(traffic.listen_to_events(store)),
    ]
    for _ in range(KILLS):
        await asyncio.sleep(number.uniform(0.2, 0.5))
        server.kill()
        await asyncio.sleep(number.uniform(0.0, 0.1))
        server.start()
    async with asyncio.timeout(HANGS_AFTER_S):
        while traffic.accepted < ENOUGH:
            await asyncio.sleep(0.05)
        jobs[1].cancel()
        await _drained(store)
        while not await _all_heard(store, traffic):
            await asyncio.sleep(0.05)
    await asyncio.sleep(0.3)  # for what ought not to come
    jobs[0].cancel()
    jobs[2].cancel()
    ended = await asyncio.gather(*jobs, return_exceptions=True)
    assert all(isinstance(each, asyncio.CancelledError) for each in ended), ended
    await store.close()


async def _all_heard(store: AsyncStore, traffic: Traffic) -> bool:
    """Say whether the listeners have heard of the newest surface of each underlying, and of the newest event."""
    try:
        newest = [await store.surfaces.newest(name) for name in NAMES]
        last = await store.events.page(before=None, limit=1)
    except StoreUnavailable:
        return False
    return all(surface is None or surface in traffic.heard for surface in newest) and traffic.events[-1:] == [*last]


async def _drained(store: AsyncStore) -> None:
    while True:
        try:
            status = await store.fleet.status()
            if all(counts.pending == 0 for counts in status.underlyings):
                return
        except StoreUnavailable:
            pass
        await asyncio.sleep(0.05)


@pytest.mark.promise("T4")
@pytest.mark.parametrize("kind", ["valkey", "redis"])
def test_nothing_acknowledged_is_lost_when_the_server_is_killed(kind: str) -> None:
    server = RealServer(program_of(kind), appendfsync="always")
    over = threading.Event()
    benches = [Bench(connect_worker(server.url, name=f"w{i}", lease_s=0.5), over) for i in range(2)]
    for bench in benches:
        bench.start()
    traffic = Traffic()
    try:
        asyncio.run(_kill_under_load(server, traffic))
        over.set()
        for bench in benches:
            bench.join()
        with opened(server.url) as store:
            counts = [store.counts(name) for name in NAMES]
            newest = {name: store.run(store.api.surfaces.newest(name)) for name in NAMES}
            _assert_events_once(store, traffic.events)
            _assert_factors_once(store)
    finally:
        over.set()
        server.close()
    kept = sum(each.received - each.stale - each.duplicate for each in counts)
    law("T4", f"always: acknowledged chains lost in {KILLS} kills", max(traffic.accepted - kept, 0), at_most=0)
    for name in NAMES:
        heard = [surface for surface in traffic.heard if surface.underlying == name]
        assert all(a.version < b.version and a.as_of_ms <= b.as_of_ms for a, b in itertools.pairwise(heard))
        assert all(a.version == b.prev_version for a, b in itertools.pairwise(heard)), "no surface was missed"
        assert (heard[-1] if heard else None) == newest[name]


def _assert_events_once(store: OpenStore, heard: list[Event]) -> None:
    """Each published surface has brought its two events once, in the log and to who listened; no other claim has."""
    kept = store.run(store.api.events.page(before=None, limit=EVENTS_KEPT))[::-1]
    assert [event.id for event in heard] == [event.id for event in kept]
    for name in NAMES:
        versions = [s.version for s in store.run(store.api.surfaces.after(name, 0, 10_000)) or ()]
        events = [event for event in kept if event.underlying == name]
        assert [event.version for event in events] == [version for version in versions for _ in range(2)]
        assert len({(event.kind, event.message) for event in events}) == len(events)
        assert store.counts(name).events["gate"] == len(versions)


def _assert_factors_once(store: OpenStore) -> None:
    for name in NAMES:
        surfaces = store.run(store.api.surfaces.after(name, 0, 10_000)) or ()
        recorded = store.run(store.api.factors.recorded(name, NO_FACTORS))
        assert rows_of(recorded) == rows_for(factors_of_chain(surface.as_of_ms) for surface in surfaces)


def _worked_on(server: RealServer) -> None:
    """Leave underlyings in every state."""
    number = random.Random(SEED)
    with opened(server.url) as store:
        workers = [store.worker("a"), store.worker("b"), store.worker("thief", lease_s=0.0)]
        for step in range(120):
            store.submit(number.choice(NAMES), AS_OF_MS + step - number.choice([0, 0, 0, 3]))
            claim = number.choice(workers).claim(0.05) if step % 3 == 0 else None
            if claim:
                action = number.random()
                if action < 0.5:
                    workers[0].commit(claim, b"{}", outcome="ok", timings=TIMINGS)
                elif action < 0.6:
                    workers[0].fail(claim, "no", outcome="rejected", timings=TIMINGS)
                elif action < 0.7:
                    workers[0].hand_back(claim)


def _assert_whole(store: OpenStore) -> None:
    """The law holds, every underlying at work has its token, and all work can be finished."""
    run = store.api.fleet._link.run
    for counts in store.run(store.api.fleet.status()).underlyings:
        assert_conserved(counts)
        state, token = store.run(run("HMGET", KEYS.state(counts.underlying), "state", "token"))
        tokens = store.run(run("XRANGE", KEYS.queue(0), token, token))
        assert len(tokens) == (state != b"idle")
    worker = store.worker(lease_s=0.0)
    while claim := worker.claim(0.02):
        worker.commit(claim, b"{}", outcome="ok", timings=TIMINGS)
    for counts in store.run(store.api.fleet.status()).underlyings:
        assert_conserved(counts)
        assert counts.pending == 0
        assert store.run(store.api.surfaces.after(counts.underlying, 0, 1_000)) is not None


@pytest.mark.promise("T8")
@pytest.mark.parametrize("kind", KINDS)
def test_a_log_cut_anywhere_is_a_valid_past(kind: str, tmp_path: Path) -> None:
    server = RealServer(program_of(kind))
    written = server.folder / "appendonlydir"
    try:
        _worked_on(server)
        server.embedded.stop()
        shutil.copytree(written, tmp_path / "whole")
        length = server.append_only_file().stat().st_size
        number = random.Random(SEED)
        for cut in number.sample(range(length // 20, length), CUTS):
            shutil.rmtree(written)
            shutil.copytree(tmp_path / "whole", written)
            with server.append_only_file().open("r+b") as log:
                log.truncate(cut)
            with opened(server.embedded.start()) as store:
                _assert_whole(store)
            server.embedded.stop()
        law("T8", "logs cut anywhere that are a valid past", CUTS, at_least=CUTS)
    finally:
        server.close()
