"""The API over a real server: what a trading system and a subscriber see, through a crash of the store too."""

import asyncio
import dataclasses
import json
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
from tests.api.conftest import NOW_MS, Serving, serving_of, until
from tests.api.documents import document
from tests.api.test_chains import chain
from tests.api.test_stream import hear, subscriber
from tests.servers import RealServer, shared_valkey, valkey  # noqa: F401  fixtures
from tests.store.stored import HANGS_AFTER_S

pytestmark = pytest.mark.anyio


@pytest.fixture
def answer_within_s() -> float:
    return HANGS_AFTER_S


@pytest.fixture
async def services(
    services: ApiServices,
    valkey: RealServer,  # noqa: F811
    answer_within_s: float,
) -> ApiServices:
    store = connect_async(valkey.url, answer_within_s=answer_within_s)
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

    def fit_one(self, timeout_s: float = HANGS_AFTER_S) -> None:
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


async def ready(client: httpx.AsyncClient) -> bool:
    return (await client.get("/readyz")).status_code == 200


async def loaded(client: httpx.AsyncClient) -> None:
    await until(lambda: ready(client))


async def test_a_posted_chain_comes_back_as_a_surface(serving: Serving, valkey: RealServer) -> None:  # noqa: F811
    async with (
        working(valkey.url) as worker,
        serving() as address,
        httpx.AsyncClient(base_url=f"http://{address}", timeout=HANGS_AFTER_S) as client,
    ):
        await loaded(client)
        async with subscriber(address, "surface.BTC") as socket:
            fitting = asyncio.create_task(asyncio.to_thread(worker.fit_one))
            answer = await post(client, NOW_MS, wait_ms=30_000)
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
        httpx.AsyncClient(base_url=f"http://{address}", timeout=HANGS_AFTER_S) as client,
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
            await asyncio.to_thread(valkey.write_out)
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
        httpx.AsyncClient(base_url=f"http://{address}", timeout=HANGS_AFTER_S) as client,
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
            asyncio.timeout(HANGS_AFTER_S),
            subscriber(address, "surface.*") as one,
            subscriber(address, "surface.BTC") as two,
        ):
            accounting = [asyncio.create_task(account(socket)) for socket in (one, two)]
            for n in range(surfaces):
                assert (await post(client, NOW_MS + n)).status_code == 202
                await asyncio.to_thread(worker.fit_one)
            assert await asyncio.gather(*accounting) == [surfaces, surfaces]


@pytest.mark.parametrize("answer_within_s", [0.3])
async def test_a_frozen_store_is_answered_for_in_time(serving: Serving, valkey: RealServer) -> None:  # noqa: F811
    async with (
        working(valkey.url) as worker,
        serving() as address,
        httpx.AsyncClient(base_url=f"http://{address}", timeout=HANGS_AFTER_S) as client,
    ):

        async def taken(as_of_ms: int) -> bool:
            answer = await post(client, as_of_ms)
            assert answer.status_code == 503 or answer.json()["status"] in ("queued", "duplicate")
            return answer.status_code != 503

        async def heard() -> bool:
            return bool((await client.get("/v1/surfaces")).json()["surfaces"])

        await loaded(client)
        await until(lambda: taken(NOW_MS))
        await asyncio.to_thread(worker.fit_one)
        await until(heard)
        valkey.freeze()
        try:
            for _ in range(3):
                refused = await post(client, NOW_MS + 1)
                assert (refused.status_code, "retry-after" in refused.headers) == (503, True)
            assert (await client.get("/v1/surfaces/BTC")).status_code == 200
            assert not await ready(client)
        finally:
            valkey.thaw()
        await loaded(client)
        await until(lambda: taken(NOW_MS + 1))  # a refused chain has no double effect
