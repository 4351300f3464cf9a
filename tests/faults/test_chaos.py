"""Everything at once, on real calibrations: the conservation law, at every instant and after everything."""

import asyncio
import itertools
import json
import math
import os
import random
import signal
import threading
import time
from collections import Counter

import pytest

from app.service.factor_history import published_factors
from app.service.ports import PublishedSurface, StoreUnavailable, SubmitOutcome
from app.service.surface_factors import NO_FACTORS
from app.store.connect import connect_async
from app.store.fleet import RedisFleet
from app.store.intake import RedisChainIntake
from app.store.updates import RedisUpdateFeed
from tests.faults.conftest import Crew
from tests.faults.extent import FULL, seeds
from tests.faults.figures import law, timing
from tests.faults.recorded_chains import name_of, recorded_chain, recordings
from tests.faults.worker_process import LEASE_S, calibrate
from tests.servers import RealServer
from tests.store.factor_rows import rows_for, rows_of
from tests.store.stored import HANGS_AFTER_S, OpenStore, assert_conserved, until

UNDERLYINGS = 20
WORKERS = 2
LASTS_S = 60.0 if FULL else 10.0
PAUSE_S = 0.004
"""Between two chains that are sent."""
STEPS_A_ROUND = 4
"""By how many steps of its market an underlying has gone on when all had one chain."""
STEPS = math.ceil(1.25 * LASTS_S / PAUSE_S / UNDERLYINGS * STEPS_A_ROUND)
"""Chains of an underlying, more than are ever sent: from one to the next the recorded market moves on now and then."""
ZOMBIE_S = 2.2
"""How long a worker is stopped: more than two leases."""
PUBLISHED = ("ok", "degraded", "fallback", "moved")
STOPPED = "rejected"
"""By the gate, which compares with a surface that chaos may have made old; of any other end a defect is the reason."""


class Witness(threading.Thread):
    """The API's side: submits, listens, and checks the law all the time, through whatever happens to the store."""

    def __init__(self, url: str, seed: int) -> None:
        super().__init__(name="witness", daemon=True)
        self.outcomes: Counter[str] = Counter()
        self.heard: list[PublishedSurface] = []
        self.checks = 0
        self.failure: BaseException | None = None
        self.submitting = threading.Event()
        self.submitting.set()
        self.over = threading.Event()
        self._url = url
        self._random = random.Random(seed)

    def run(self) -> None:
        try:
            asyncio.run(self._watch())
        except BaseException as failure:  # noqa: BLE001  it is raised again by the test
            self.failure = failure

    async def _watch(self) -> None:
        store = connect_async(self._url)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._submit(store.intake))
            group.create_task(self._listen(store.updates))
            group.create_task(self._check(store.fleet))
        await store.close()

    async def _submit(self, intake: RedisChainIntake) -> None:
        for step in itertools.count():
            if not self.submitting.is_set():
                return
            number = self._random.randrange(UNDERLYINGS)
            late = self._random.choice([0] * 19 + [1, 5])
            chain = recorded_chain(number, max(step // UNDERLYINGS * STEPS_A_ROUND - late, 0), STEPS)
            try:
                self.outcomes[await intake.submit(name_of(number), *chain)] += 1
            except StoreUnavailable:
                self.outcomes["refused"] += 1
            await asyncio.sleep(PAUSE_S)

    async def _listen(self, updates: RedisUpdateFeed) -> None:
        while not self.over.is_set():
            try:
                self.heard += await updates.next_updates(0.2)
            except StoreUnavailable:
                await asyncio.sleep(0.02)

    async def _check(self, fleet: RedisFleet) -> None:
        while not self.over.is_set():
            try:
                for counts in (await fleet.status()).underlyings:
                    assert_conserved(counts)
                    self.checks += 1
            except StoreUnavailable:
                pass
            await asyncio.sleep(0.1)


class Chaos:
    """Kills, stops and restarts, by a seed."""

    def __init__(self, server: RealServer, crew: Crew, seed: int) -> None:
        self.done: Counter[str] = Counter()
        self._server = server
        self._crew = crew
        self._random = random.Random(seed)
        self._stopped: dict[str, float] = {}
        self._names = itertools.count(WORKERS)

    def reign(self, lasts_s: float) -> None:
        """Do one thing or another about twice a second; everybody is back at the end."""
        end = time.monotonic() + lasts_s
        while time.monotonic() < end:
            time.sleep(self._random.uniform(0.2, 0.8))
            self._random.choice([self._kill_worker, self._kill_worker, self._stop_worker, self._kill_server])()
            self._wake(time.monotonic() - ZOMBIE_S)
        self._wake(time.monotonic())

    def _kill_worker(self) -> None:
        victim = self._random.choice(sorted(self._crew.members))
        self._crew.members[victim].kill()
        self._crew.exit_code(victim)
        self._stopped.pop(victim, None)
        self._crew.members.pop(victim).close()
        self._crew.start(f"w{next(self._names)}", target=calibrate)
        self.done["workers killed"] += 1

    def _stop_worker(self) -> None:
        running = sorted(set(self._crew.members) - set(self._stopped))
        if running:
            victim = self._random.choice(running)
            os.kill(self._crew.pid(victim), signal.SIGSTOP)
            self._stopped[victim] = time.monotonic()
            self.done["workers stopped"] += 1

    def _kill_server(self) -> None:
        self._server.kill()
        time.sleep(self._random.uniform(0.0, 0.2))
        self._server.start()
        self.done["servers killed"] += 1

    def _wake(self, stopped_before: float) -> None:
        for victim, since in list(self._stopped.items()):
            if since <= stopped_before:
                os.kill(self._crew.pid(victim), signal.SIGCONT)
                del self._stopped[victim]


def drained(store: OpenStore) -> bool:
    try:
        return all(counts.pending == 0 for counts in store.run(store.api.fleet.status()).underlyings)
    except StoreUnavailable:
        return False


@pytest.mark.promise("T1")
@pytest.mark.parametrize("seed", seeds(full=1))
def test_chaos_breaks_no_law(server: RealServer, store: OpenStore, crew: Crew, seed: int) -> None:
    recordings()
    crew.start_warm(*(f"w{number}" for number in range(WORKERS)), target=calibrate)
    chaos, witness = Chaos(server, crew, seed), Witness(server.url, seed)
    witness.start()
    try:
        chaos.reign(LASTS_S)
        witness.submitting.clear()
        until(lambda: drained(store))
        time.sleep(0.5)
    finally:
        witness.submitting.clear()
        witness.over.set()
        witness.join(HANGS_AFTER_S)
    if witness.failure:
        raise witness.failure
    ended = _assert_lawful(store, witness)
    accepted = witness.outcomes.total() - witness.outcomes["refused"]
    assert {SubmitOutcome.STALE, SubmitOutcome.QUEUED, SubmitOutcome.COALESCED} <= set(witness.outcomes)
    timing("T1", f"chains taken in {LASTS_S:g} s of chaos", accepted, "", at_least=10.0 * LASTS_S)
    timing("T1", "surfaces heard, all certified", len(witness.heard), "", at_least=LASTS_S / LEASE_S)
    stopped = 100.0 * ended[STOPPED] / ended.total()
    timing("T1", "good chains that the gate stopped, in a hundred", stopped, "", at_most=2.0)
    timing("T1", "checks of the law, none of them failed", witness.checks, "", at_least=10.0 * LASTS_S)
    for name, count in chaos.done.items():
        law("T1", f"in its course: {name}", count, at_least=1)


def _assert_lawful(store: OpenStore, witness: Witness) -> Counter[str]:
    """Return how many fits ended how."""
    ended: Counter[str] = Counter()
    documents: dict[tuple[str, int], bytes] = {}
    for number in range(UNDERLYINGS):
        name = name_of(number)
        heard = [surface for surface in witness.heard if surface.underlying == name]
        assert all(a.version < b.version for a, b in itertools.pairwise(heard)), "versions rise"
        counts = store.counts(name)
        assert counts.calibrations.keys() <= {*PUBLISHED, STOPPED}, (counts.calibrations, counts.last_failure)
        ended.update(counts.calibrations)
        history = store.run(store.api.surfaces.history(name, before=None, limit=1_000))[::-1]
        orders = [(surface.as_of_ms, surface.sequence) for surface in history]
        assert orders == sorted(orders), "an older chain never replaces a newer surface"
        for surface in [*heard, *history]:
            assert documents.setdefault((name, surface.version), surface.document) == surface.document
            assert json.loads(surface.document)["certificate"]["arbitrage_free"] is True
        recorded = store.run(store.api.factors.recorded(name, NO_FACTORS))
        assert rows_of(recorded) == rows_for(map(published_factors, history)), "no row is missing, none there twice"
    return ended
