"""Who is let in, by address and by key, and to what."""

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator
from ipaddress import ip_network
from typing import Any

import httpx
import pytest
from starlette.requests import HTTPConnection
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from app.api.access import Gate
from app.api.app import create_app
from app.api.known_keys import KNOWN_FOR_S, KnownKeys
from app.api.services import ApiServices
from app.service.access_key import Scope, issue, recognised
from app.service.ports import StoreUnavailable
from app.venues import VENUES
from tests.api.conftest import client_of, serving_of
from tests.api.key_ring import MemoryKeyRing, strict_gate
from tests.api.memory_store import MemoryStore
from tests.store.stored import HANGS_AFTER_S

pytestmark = pytest.mark.anyio

TRUSTED = (ip_network("172.16.0.0/12"), ip_network("fd00::/8"))
EXAMPLE = VENUES["native"].example.replace(b"2026-08-01T17:58:04.320Z", b"2026-08-01T17:58:04.000Z")


def caller(host: str | None) -> HTTPConnection:
    return HTTPConnection({"type": "http", "client": (host, 1) if host else None, "headers": []})


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "172.18.0.4", "fd12::1"])
async def test_let_in(host: str) -> None:
    assert (await Gate(TRUSTED).caller_of(caller(host))).scopes == frozenset(Scope)


@pytest.mark.parametrize("host", ["172.32.0.1", "10.0.0.1", "8.8.8.8", "2001:db8::1", "testclient", None])
async def test_kept_out(host: str | None) -> None:
    assert (await Gate(TRUSTED).caller_of(caller(host))).scopes == frozenset()


async def test_nobody_else_is_trusted_by_default() -> None:
    assert (await Gate().caller_of(caller("172.18.0.4"))).scopes == frozenset()


@pytest.fixture
def ring() -> MemoryKeyRing:
    return MemoryKeyRing()


@pytest.fixture
def guarded(services: ApiServices, ring: MemoryKeyRing) -> ApiServices:
    return dataclasses.replace(services, gate=strict_gate(ring))


@pytest.fixture
async def stranger(guarded: ApiServices, store: MemoryStore) -> AsyncIterator[httpx.AsyncClient]:
    store.publish("BTC")
    store.publish("ETH")
    async with client_of(create_app(guarded), address="192.0.2.7") as client:
        yield client


async def test_a_key_opens_what_its_scopes_say(stranger: httpx.AsyncClient, ring: MemoryKeyRing) -> None:
    reads, posts = {"X-API-Key": ring.make(Scope.READ)}, {"Authorization": f"bearer {ring.make(Scope.INGEST)}"}
    assert (await stranger.get("/v1/surfaces/BTC")).status_code == 401
    assert (await stranger.get("/v1/surfaces/BTC", headers=reads)).status_code == 200
    assert (await stranger.get("/v1/surfaces/BTC", headers=posts)).status_code == 403
    assert (await stranger.get("/metrics", headers=reads)).status_code == 200
    json_type = {"Content-Type": "application/json"}
    assert (await stranger.post("/v1/chains/native", content=EXAMPLE, headers=json_type | posts)).status_code == 202
    assert (await stranger.post("/v1/chains/native", content=EXAMPLE, headers=json_type | reads)).status_code == 403


async def test_a_key_in_a_url_opens_nothing(stranger: httpx.AsyncClient, ring: MemoryKeyRing) -> None:
    key = ring.make(*Scope)
    for name in ("key", "api_key", "x-api-key", "token", "access_token"):
        assert (await stranger.get("/v1/surfaces", params={name: key})).status_code == 401


async def test_a_wrong_key_is_refused_even_on_this_machine(services: ApiServices, ring: MemoryKeyRing) -> None:
    local = dataclasses.replace(services, gate=Gate(keys=KnownKeys(ring)))
    right = ring.make(Scope.READ)
    async with client_of(create_app(local)) as client:
        for wrong in ("", "x", right[:-1], right + "x", "smk_00000000_" + "a" * 43, "smk__", "kéy"):
            refused = await client.get("/v1/surfaces", headers={"X-API-Key": wrong.encode()})
            assert (refused.status_code, wrong in refused.text if wrong else False) == (401, False)
        assert (await client.get("/v1/surfaces", headers={"X-API-Key": right})).status_code == 200


async def test_a_key_for_one_underlying_sees_no_other(stranger: httpx.AsyncClient, ring: MemoryKeyRing) -> None:
    stranger.headers["X-API-Key"] = ring.make(Scope.READ, Scope.INGEST, underlyings={"BTC"})
    listed = (await stranger.get("/v1/surfaces")).json()["surfaces"]
    assert [each["underlying"] for each in listed] == ["BTC"]
    for path in ("/v1/surfaces/{}", "/v1/surfaces/{}/history"):
        assert (await stranger.get(path.format("BTC"))).status_code == 200
        assert (await stranger.get(path.format("ETH"))).status_code == 403
    assert (await stranger.post("/v1/surfaces/ETH/evaluate", json={"tenor_days": [1]})).status_code == 403
    json_type = {"Content-Type": "application/json"}
    ours = await stranger.post("/v1/chains/native", content=EXAMPLE, headers=json_type)
    other = EXAMPLE.replace(b'"BTC"', b'"ETH"')
    theirs = await stranger.post("/v1/chains/native", content=other, headers=json_type)
    assert (ours.status_code, theirs.status_code) == (202, 403)
    assert (await stranger.get("/metrics")).status_code == 403


async def test_keys_are_read_once_a_second_and_outlive_the_store(ring: MemoryKeyRing) -> None:
    now = 100.0
    known = KnownKeys(ring, monotonic=lambda: now)
    ring.away = True
    with pytest.raises(StoreUnavailable):
        await known.find("smk_1_2")
    ring.away = False
    text = ring.make(Scope.READ)
    for _ in range(50):
        assert await known.find(text)
    assert ring.reads == 2
    ring.away = True
    now += 2 * KNOWN_FOR_S
    assert await known.find(text)
    ring.away = False
    ring.kept.clear()
    now += 2 * KNOWN_FOR_S
    assert await known.find(text) is None


def test_what_is_kept_of_a_key_does_not_open_anything() -> None:
    text, key = issue("desk", [Scope.READ], None, now_ms=1)
    assert text not in repr(key)
    assert recognised({key.key_id: key}, text) is key
    assert recognised({key.key_id: key}, f"smk_{key.key_id}_{key.digest}") is None


async def heard(socket: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(HANGS_AFTER_S):
        message: dict[str, Any] = json.loads(await socket.recv())
        return message


async def close_code(socket: ClientConnection) -> int | None:
    with pytest.raises(ConnectionClosed):
        await heard(socket)
    return socket.close_code


async def test_a_browsers_first_message_may_hold_the_key(
    guarded: ApiServices, ring: MemoryKeyRing, store: MemoryStore
) -> None:
    store.publish("BTC")
    store.publish("ETH")
    key = ring.make(Scope.READ, underlyings={"BTC"})
    async with serving_of(guarded)() as address, connect(f"ws://{address}/v1/stream") as socket:
        await socket.send(json.dumps({"op": "auth", "key": key}))
        assert await heard(socket) == {"op": "auth", "scopes": ["read"], "underlyings": ["BTC"]}
        await socket.send(json.dumps({"op": "subscribe", "id": 1, "channels": ["surface.*", "surface.ETH"]}))
        ack = await heard(socket)
        assert (ack["accepted"], ack["rejected"]) == (["surface.*"], ["surface.ETH"])
        assert (await heard(socket))["channel"] == "surface.BTC"
        store.publish("ETH")
        store.publish("BTC")
        assert (await heard(socket))["version"] == "110"


async def test_sockets_of_strangers_are_closed_with_what_is_wrong(guarded: ApiServices, ring: MemoryKeyRing) -> None:
    reads = ring.make(Scope.READ)
    async with serving_of(guarded)(ws_auth_timeout_s=0.2) as address, connect(f"ws://{address}/v1/stream") as silent:
        assert await close_code(silent) == 4001
    async with serving_of(guarded)(ws_auth_timeout_s=2.0 * HANGS_AFTER_S) as address:
        stream, chains = f"ws://{address}/v1/stream", f"ws://{address}/v1/chains/native"
        for first in ('{"op": "auth", "key": "smk_1_2"}', '{"op": "subscribe", "channels": []}', "{", "[" * 100_000):
            async with connect(stream) as wrong:
                await wrong.send(first[:60_000])
                assert await close_code(wrong) == 4001
        async with connect(stream, additional_headers={"X-API-Key": "smk_1_2"}) as unknown:
            assert await close_code(unknown) == 4001
        async with connect(chains, additional_headers={"X-API-Key": reads}) as reader:
            assert await close_code(reader) == 4003
        async with connect(chains) as reader:
            await reader.send(json.dumps({"op": "auth", "key": reads}))
            assert (await heard(reader))["scopes"] == ["read"]
            assert await close_code(reader) == 4003


async def test_a_stream_ends_once_its_key_is_revoked(guarded: ApiServices, ring: MemoryKeyRing) -> None:
    headers = {"X-API-Key": ring.make(Scope.READ, Scope.INGEST)}
    async with serving_of(guarded)(ws_key_check_s=0.1) as address:
        stream, chains = f"ws://{address}/v1/stream", f"ws://{address}/v1/chains/native"
        async with (
            connect(stream, additional_headers=headers) as listening,
            connect(chains, additional_headers=headers) as sending,
        ):
            await sending.send(EXAMPLE)
            assert (await heard(sending))["status"] == "queued"
            ring.kept.clear()
            assert await close_code(listening) == 4001
            await sending.send(EXAMPLE)
            assert await close_code(sending) == 4001


async def test_whoever_comes_through_a_proxy_is_not_taken_for_it(services: ApiServices) -> None:
    async with serving_of(services)() as address, httpx.AsyncClient(base_url=f"http://{address}") as proxy:
        for claimed in ("192.0.2.7", "127.0.0.1, 192.0.2.7", "192.0.2.7, 127.0.0.1"):
            answer = await proxy.get("/v1/surfaces", headers={"X-Forwarded-For": claimed})
            assert answer.status_code == 401, claimed
        assert (await proxy.get("/v1/surfaces")).status_code == 200
