"""API and workers ended and started one after another, as a redeployment does it, while chains come in and a desk
listens: every chain counts once, and the stream has no gap."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.client import AsyncClient, Heard
from app.service.ports import PublishedSurface
from app.store.data_folder import running_url
from tests.bench.market import next_chain
from tests.faults.extent import FULL, KINDS
from tests.faults.figures import law
from tests.running_service import RunningService, is_running, running_service
from tests.servers import program_of
from tests.store.stored import HANGS_AFTER_S, OpenStore, opened, until

WORKERS, ROUNDS = (2, 2) if FULL else (1, 1)
POST_EVERY_S = 0.25
NAME = "ROLL"
KEPT = 10_000
"""Surfaces, more than there are."""


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def service(kind: str, tmp_path: Path) -> Iterator[RunningService]:
    settings = {
        "SMILEKEEPER_WORKERS": str(WORKERS),
        "SMILEKEEPER_HISTORY_LIMIT": str(KEPT),
        "SMILEKEEPER_REDIS_BIN": str(program_of(kind)),
    }
    with running_service(tmp_path / "data", **settings) as service:
        yield service


class Desk:
    """Posts chains and listens through whatever happens to the service."""

    def __init__(self, service: RunningService) -> None:
        self.posted = 0
        self.heard: list[Heard] = []
        self.rolled = asyncio.Event()
        self._client = AsyncClient(service.base_url, retry_for_s=HANGS_AFTER_S)

    async def post(self) -> None:
        """Post a chain every now and then until all is restarted, and one more."""
        while not self.rolled.is_set():
            await self._client.post_chain("deribit", next_chain(NAME))
            self.posted += 1
            await asyncio.sleep(POST_EVERY_S)
        await self._client.post_chain("deribit", next_chain(NAME))
        self.posted += 1

    async def listen(self) -> None:
        """Hear surfaces until cancelled."""
        async for heard in self._client.stream(NAME):
            self.heard.append(heard)

    async def hear(self, version: int) -> None:
        """Return when this version, or a later one, was heard."""
        while not self.heard or int(self.heard[-1].surface.version) < version:
            await asyncio.sleep(0.05)

    async def close(self) -> None:
        await self._client.close()


def _roll(service: RunningService, store: OpenStore) -> None:
    """End each process in turn, when all the others are at work."""
    for number in range(ROUNDS):
        for pid in [*service.workers(), _api(service)]:
            os.kill(pid, signal.SIGTERM)
            until(lambda pid=pid: not is_running(pid))  # type: ignore[misc]
            until(lambda: _whole(service, store))
        assert store.counts(NAME).fitted > number, "the work went on"


def _api(service: RunningService) -> int:
    (pid,) = [pid for pid, line in service.processes().items() if "-m app api" in line]
    return pid


def _whole(service: RunningService, store: OpenStore) -> bool:
    apis = [line for line in service.processes().values() if "-m app api" in line]
    return len(apis) == 1 and store.run(store.api.fleet.status()).warm_workers == WORKERS


async def _redeployed(service: RunningService, store: OpenStore) -> Desk:
    desk = Desk(service)
    listening, posting = asyncio.create_task(desk.listen()), asyncio.create_task(desk.post())
    try:
        async with asyncio.timeout(HANGS_AFTER_S):
            await desk.hear(0)
        await asyncio.to_thread(_roll, service, store)
        desk.rolled.set()
        await posting
        newest = await asyncio.to_thread(until, lambda: _settled(store))
        async with asyncio.timeout(HANGS_AFTER_S):
            await desk.hear(newest.version)
        await asyncio.sleep(2.0 * POST_EVERY_S)  # for what ought not to come
    finally:
        posting.cancel()
        listening.cancel()
        await asyncio.gather(posting, listening, return_exceptions=True)
        await desk.close()
    return desk


def _settled(store: OpenStore) -> PublishedSurface | None:
    """Return the newest surface once no chain waits."""
    return None if store.counts(NAME).pending else store.run(store.api.surfaces.newest(NAME))


@pytest.mark.promise("T22")
def test_a_rolling_restart_loses_no_chain_and_no_sequence(service: RunningService) -> None:
    with opened(running_url(service.data_dir)) as store:
        desk = asyncio.run(_redeployed(service, store))
        counts = store.counts(NAME)
        versions = [int(heard.surface.version) for heard in desk.heard]
        published = store.run(store.api.surfaces.after(NAME, versions[0], KEPT))
    kept = counts.received - counts.duplicate - counts.stale
    law("T22", f"rolling restarts of {WORKERS} workers and the API: chains lost", desk.posted - kept, at_most=0)
    assert kept == counts.fitted + counts.superseded, "each was fitted, or a newer one came first"
    gaps = sum(not heard.follows and heard.missed is None for heard in desk.heard)
    law("T22", "gaps in what a subscriber heard that nobody told it of", gaps, at_most=0)
    assert versions == sorted(set(versions))
    assert published is not None
    assert versions[-1] == published[-1].version
    told = len(versions) - 1 + sum(heard.missed or 0 for heard in desk.heard)
    law("T22", "surfaces since the first that were neither heard nor counted", abs(len(published) - told), at_most=0)
