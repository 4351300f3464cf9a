"""The API over a real server: what a trading system and a subscriber see, through a crash of the store too."""

import asyncio
import dataclasses
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from app.api.services import ApiServices
from app.service.document import encode_document
from app.service.ports import FitTimings
from app.store.codec import encode_chain
from app.store.connect import connect_async, connect_worker
from tests.api.conftest import NOW_MS, Serving, serving_of
from tests.api.documents import document
from tests.api.test_chains import chain
from tests.api.test_stream import hear, subscriber
from tests.servers import RealServer, shared_valkey, valkey  # noqa: F401  fixtures

pytestmark = pytest.mark.anyio


@pytest.fixture
async def services(services: ApiServices, valkey: RealServer) -> ApiServices:  # noqa: F811
    store = connect_async(valkey.url)
    return dataclasses.replace(
        services,
        intake=store.intake,
        reader=store.surfaces,
        feed=store.updates,
        fleet=store.fleet,
        encode_chain=encode_chain,
        close=store.close,
    )


@pytest.fixture
def serving(services: ApiServices) -> Serving:
    return serving_of(services)


class Worker:
    """Fits whatever waits, at once, with a made-up surface."""

    def __init__(self, url: str) -> None:
        self._queue = connect_worker(url, name="test", lease_s=30.0)
        self._queue.announce("test", warm=True, busy_with=None)

    def fit_one(self, timeout_s: float = 5.0) -> None:
        claim = self._queue.claim(timeout_s)
        assert claim is not None
        fitted = encode_document(document(claim.underlying, claim.as_of_ms, claim.sequence))
        self._queue.commit(claim, fitted, outcome="ok", timings=FitTimings(0.01, 0.001))

    def close(self) -> None:
        self._queue.close()


@asynccontextmanager
async def working(url: str) -> AsyncIterator[Worker]:
    worker = await asyncio.to_thread(Worker, url)
    try:
        yield worker
    finally:
        worker.close()


async def post(client: httpx.AsyncClient, as_of_ms: int, **query: Any) -> httpx.Response:
    return await client.post("/v1/chains/native", json=chain(as_of_ms), params=query)


async def loaded(client: httpx.AsyncClient) -> None:
    async with asyncio.timeout(10):
        while (await client.get("/readyz")).status_code != 200:
            await asyncio.sleep(0.02)


async def test_a_posted_chain_comes_back_as_a_surface(serving: Serving, valkey: RealServer) -> None:  # noqa: F811
    async with (
        working(valkey.url) as worker,
        serving() as address,
        httpx.AsyncClient(base_url=f"http://{address}") as client,
    ):
        await loaded(client)
        async with subscriber(address, "surface.BTC") as socket:
            fitting = asyncio.create_task(asyncio.to_thread(worker.fit_one))
            answer = await post(client, NOW_MS, wait_ms=5_000)
            await fitting
            assert answer.status_code == 200, answer.text
            heard = await hear(socket)
            assert (heard["type"], heard["version"]) == ("snapshot", answer.json()["version"])
            assert (await post(client, NOW_MS)).json()["status"] == "duplicate"
            assert (await post(client, NOW_MS - 1)).json()["status"] == "stale"
            text = (await client.get("/metrics")).text
            assert 'volsurf_fitted_total{underlying="BTC"} 1.0' in text
            assert 'volsurf_snapshots_total{outcome="stale",underlying="BTC"} 1.0' in text
            assert "volsurf_end_to_end_seconds_count 1.0" in text


async def test_resume_and_history_through_a_crash_of_the_store(
    serving: Serving,
    valkey: RealServer,  # noqa: F811
) -> None:
    async with (
        working(valkey.url) as worker,
        serving() as address,
        httpx.AsyncClient(base_url=f"http://{address}") as client,
    ):
        await loaded(client)
        versions: list[str] = []

        async def publish(as_of_ms: int) -> None:
            assert (await post(client, as_of_ms)).status_code == 202
            await asyncio.to_thread(worker.fit_one)

        async with subscriber(address, "surface.*") as socket:
            for n in range(5):
                await publish(NOW_MS + n)
                versions.append((await hear(socket))["version"])
            await asyncio.sleep(1.5)  # the server syncs its log every second
            valkey.kill()
            refused = await post(client, NOW_MS + 90)
            assert (refused.status_code, "retry-after" in refused.headers) == (503, True)
            assert (await client.get("/v1/surfaces/BTC")).json()["version"] == versions[-1]
            assert (await client.get("/readyz")).status_code == 503
            assert "volsurf_store_up 0.0" in (await client.get("/metrics")).text
            valkey.start()
            await loaded(client)
            for n in range(5, 8):
                await publish(NOW_MS + n)
                heard = await hear(socket)
                assert (heard["prev_version"], heard["conflated"]) == (versions[-1], 0)
                versions.append(heard["version"])
        async with subscriber(address, "surface.BTC", resume={"surface.BTC": versions[2]}) as socket:
            assert [(await hear(socket))["version"] for _ in versions[3:]] == versions[3:]
        history = (await client.get("/v1/surfaces/BTC/history")).json()["surfaces"]
        assert [surface["version"] for surface in history] == versions[::-1]
        async with subscriber(address, "surface.BTC", resume={"surface.BTC": "17"}) as socket:
            reset = await hear(socket)
            assert (reset["reset"], reset["version"]) == (True, versions[-1])


async def test_a_burst_is_heard_whole_or_counted(serving: Serving, valkey: RealServer) -> None:  # noqa: F811
    surfaces = 60
    async with (
        working(valkey.url) as worker,
        serving() as address,
        httpx.AsyncClient(base_url=f"http://{address}") as client,
    ):
        await loaded(client)

        async def account(socket: Any) -> int:
            accounted, last = 0, "0"
            while accounted < surfaces:
                message = json.loads(await socket.recv())
                assert message["conflated"] > 0 or message["prev_version"] == last
                accounted += 1 + message["conflated"]
                last = message["version"]
            return accounted

        async with (
            asyncio.timeout(20),
            subscriber(address, "surface.*") as one,
            subscriber(address, "surface.BTC") as two,
        ):
            accounting = [asyncio.create_task(account(socket)) for socket in (one, two)]
            for n in range(surfaces):
                assert (await post(client, NOW_MS + n)).status_code == 202
                await asyncio.to_thread(worker.fit_one)
            assert await asyncio.gather(*accounting) == [surfaces, surfaces]


async def test_a_frozen_store_is_answered_for_in_time(serving: Serving, valkey: RealServer) -> None:  # noqa: F811
    async with (
        working(valkey.url) as worker,
        serving() as address,
        httpx.AsyncClient(base_url=f"http://{address}") as client,
    ):
        await loaded(client)
        assert (await post(client, NOW_MS)).status_code == 202
        await asyncio.to_thread(worker.fit_one)
        async with asyncio.timeout(5):
            while (await client.get("/v1/surfaces/BTC")).headers.get("etag") is None:
                await asyncio.sleep(0.01)
        valkey.freeze()
        try:
            for _ in range(3):
                started = time.monotonic()
                refused = await post(client, NOW_MS + 1)
                assert (refused.status_code, "retry-after" in refused.headers) == (503, True)
                assert time.monotonic() - started < 1.5
            started = time.monotonic()
            assert (await client.get("/v1/surfaces/BTC")).status_code == 200
            assert time.monotonic() - started < 0.2
            assert (await client.get("/readyz")).status_code == 503
        finally:
            valkey.thaw()
        await loaded(client)
        answer = await post(client, NOW_MS + 1)
        assert answer.json()["status"] in ("queued", "duplicate"), "a refused chain has no double effect"
