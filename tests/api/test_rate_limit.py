"""Limits on what one key may ask: by rate over all processes, and by connections."""

import asyncio
import dataclasses

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from app.api.access import Gate
from app.api.app import create_app
from app.api.known_keys import KnownKeys
from app.api.problem import TooManyRequests
from app.api.rate_limit import RateLimit
from app.api.services import ApiServices
from app.service.access_key import Scope
from app.service.ports import StoreUnavailable
from tests.api.conftest import client_of, serving_of, until
from tests.api.key_ring import MemoryKeyRing, strict_gate

pytestmark = pytest.mark.anyio


class Allowance:
    """A bucket that does not fill."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.draws = 0
        self.away = False

    async def take(self, _: str, wanted: int, **rule: float) -> tuple[int, float]:
        assert rule["burst"] == 2 * rule["rate_per_s"]
        self.draws += 1
        if self.away:
            raise StoreUnavailable("away")
        taken = min(wanted, self.left)
        self.left -= taken
        return taken, 0.0 if taken else 1.5


async def asked(limit: RateLimit, times: int, caller: str = "k") -> int:
    refused = []
    for _ in range(times):
        try:
            await limit.pay(caller)
        except TooManyRequests as error:
            refused.append(error)
    assert all(0.0 < error.retry_after_s <= 1.5 for error in refused)
    return times - len(refused)


async def test_no_more_than_the_bucket_holds_and_few_trips_to_it() -> None:
    allowance = Allowance(35)
    assert await asked(RateLimit(allowance, 100.0, monotonic=lambda: 0.0), 200) == 35
    assert allowance.draws == 5, "four draws of ten, and one that found it empty"


async def test_processes_share_a_bucket_and_ask_it_at_once() -> None:
    allowance = Allowance(57)
    limits = [RateLimit(allowance, 100.0, monotonic=lambda: 0.0) for _ in range(3)]
    assert sum(await asyncio.gather(*(asked(limit, 50) for limit in limits))) == 57


async def test_without_the_store_nobody_is_counted() -> None:
    allowance = Allowance(0)
    allowance.away = True
    assert await asked(RateLimit(allowance, 1.0, monotonic=lambda: 0.0), 30) == 30


async def test_a_key_that_asks_too_often_is_told_when_to_come_back(services: ApiServices) -> None:
    ring = MemoryKeyRing()
    gate = Gate(keys=KnownKeys(ring), rate_limit=RateLimit(Allowance(3), 10.0, monotonic=lambda: 0.0))
    headers = {"X-API-Key": ring.make(Scope.READ)}
    async with client_of(create_app(dataclasses.replace(services, gate=gate))) as client:
        answers = [await client.get("/v1/surfaces", headers=headers) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert answers[-1].headers["retry-after"] == "2"
        assert answers[-1].json()["type"].endswith("too-many-requests")
        assert (await client.get("/v1/surfaces")).status_code == 200, "callers on this machine are not counted"


async def test_a_key_has_so_many_connections(services: ApiServices) -> None:
    ring = MemoryKeyRing()
    guarded = dataclasses.replace(services, gate=strict_gate(ring))
    headers = {"X-API-Key": ring.make(Scope.READ)}
    async with serving_of(guarded)(ws_connections_per_key=1, ws_strangers_per_address=1) as address:
        url = f"ws://{address}/v1/stream"
        async with connect(url, additional_headers=headers), connect(url, additional_headers=headers) as second:
            with pytest.raises(ConnectionClosed):
                await second.recv()
            assert second.close_code == 4029
        async with connect(url), connect(url) as second:
            with pytest.raises(ConnectionClosed):
                await second.recv()
            assert second.close_code == 4029

        async def has_a_place_again() -> bool:
            async with connect(url, additional_headers=headers) as again:
                try:
                    await again.send('{"op": "ping"}')
                    return "pong" in str(await again.recv())
                except ConnectionClosed:
                    return False

        await until(has_a_place_again)


def chain(strike: int) -> bytes:
    return (
        b'{"underlying":"BTC","source":"a","as_of":"2026-08-01T17:58:04Z","premium":"coin","quotes":'
        b'[{"expiry":"2026-08-28T08:00:00Z","strike":%d,"type":"P","bid":0.01}]}' % strike
    )


async def post(client: httpx.AsyncClient, body: bytes, key: str) -> httpx.Response:
    headers = {"Content-Type": "application/json", "Idempotency-Key": key}
    return await client.post("/v1/chains/native", content=body, headers=headers)


async def test_a_request_sent_again_gets_its_answer_again(client: httpx.AsyncClient) -> None:
    first, again = await post(client, chain(60_000), "a-1"), await post(client, chain(60_000), "a-1")
    assert (again.status_code, again.json()) == (first.status_code, first.json()) == (202, first.json())
    assert first.json()["status"] == "queued"
    assert (await post(client, chain(60_000), "a-2")).json()["status"] == "duplicate"
    other = await post(client, chain(61_000), "a-1")
    assert (other.status_code, "another request" in other.json()["detail"]) == (422, True)


async def test_a_request_that_failed_may_be_tried_again_with_its_key(client, store) -> None:
    assert (await post(client, b"{}", "b-1")).status_code == 422
    assert (await post(client, chain(60_000), "b-1")).status_code == 202
    assert (await post(client, chain(60_000), "two words")).status_code == 422
    store.away = True
    refused = await post(client, chain(60_000), "b-2")
    assert (refused.status_code, "retry-after" in refused.headers) == (503, True)


async def test_a_request_under_way_is_not_begun_twice(client, store) -> None:
    headers = {"Content-Type": "application/json", "Idempotency-Key": "c-1"}

    async def once() -> httpx.Response:
        return await client.post("/v1/chains/native?wait_ms=30000", content=chain(1), headers=headers)

    async def submitted() -> bool:
        return bool(store.chains)

    first = asyncio.create_task(once())
    await until(submitted)
    assert (await once()).status_code == 409
    underlying, as_of_ms, sequence, _ = store.chains[-1]
    store.publish(underlying, as_of_ms, sequence)
    assert (await first).status_code == 200
