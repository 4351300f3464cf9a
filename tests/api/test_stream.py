import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.api.conftest import Serving, all_heard
from tests.api.memory_store import MemoryStore
from tests.store.stored import HANGS_AFTER_S

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def subscriber(address: str, *channels: str, **request: Any) -> AsyncIterator[ClientConnection]:
    async with connect(f"ws://{address}/v1/stream", compression=None) as socket:
        await socket.send(json.dumps({"op": "subscribe", "id": 1, "channels": channels, **request}))
        assert (await hear(socket))["accepted"] == list(channels)
        yield socket


async def hear(socket: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(HANGS_AFTER_S):
        message: dict[str, Any] = json.loads(await socket.recv())
        return message


async def ask(socket: ClientConnection, **request: Any) -> dict[str, Any]:
    await socket.send(json.dumps(request))
    return await hear(socket)


def told(message: dict[str, Any]) -> tuple[str, str, str, int]:
    return message["type"], message["channel"], message["version"], message["conflated"]


async def test_snapshot_first_then_every_update(serving: Serving, store: MemoryStore) -> None:
    store.publish()
    async with serving() as address:
        await all_heard(store)
        async with subscriber(address, "surface.BTC") as socket:
            first = await hear(socket)
            assert told(first) == ("snapshot", "surface.BTC", "100", 0)
            assert first["data"]["version"] == "100"
            assert first["data"]["age_ms"] == 1_000
            for version, before in (("110", "100"), ("120", "110")):
                store.publish()
                update = await hear(socket)
                assert told(update) == ("update", "surface.BTC", version, 0)
                assert (update["prev_version"], update["data"]["prev_version"]) == (before, before)


async def test_a_pattern_covers_what_comes_later(serving: Serving, store: MemoryStore) -> None:
    store.publish("BTC")
    async with serving() as address:
        await all_heard(store)
        async with subscriber(address, "surface.*", "surface.BTC") as socket:
            assert told(await hear(socket)) == ("snapshot", "surface.BTC", "100", 0)
            store.publish("ETH")
            assert told(await hear(socket)) == ("snapshot", "surface.ETH", "100", 0)
            store.publish("ETH")
            assert told(await hear(socket)) == ("update", "surface.ETH", "110", 0)
            store.publish("BTC")
            assert told(await hear(socket)) == ("update", "surface.BTC", "110", 0)


async def test_unsubscribed_is_silent(serving: Serving, store: MemoryStore) -> None:
    async with serving() as address, subscriber(address, "surface.BTC", "surface.ETH") as socket:
        ack = await ask(socket, op="unsubscribe", id="x", channels=["surface.BTC", "surface.SOL"])
        assert (ack["id"], ack["accepted"], ack["rejected"]) == ("x", ["surface.BTC"], ["surface.SOL"])
        store.publish("BTC")
        store.publish("ETH")
        assert (await hear(socket))["channel"] == "surface.ETH"


async def test_resume_gives_every_surface_after_the_version(serving: Serving, store: MemoryStore) -> None:
    for _ in range(120):
        store.publish()
    async with serving() as address:
        await all_heard(store)
        async with subscriber(address, "surface.BTC", resume={"surface.BTC": "150"}) as socket:
            chain = [await hear(socket) for _ in range(114)]
            assert [m["type"] for m in chain] == ["update"] * 114
            assert [m["prev_version"] for m in chain] == ["150", *(m["version"] for m in chain[:-1])]
            store.publish()
            assert (await hear(socket))["prev_version"] == chain[-1]["version"]


async def test_resume_while_surfaces_are_published_has_no_gap(serving: Serving, store: MemoryStore) -> None:
    for _ in range(60):
        store.publish()
    async with serving() as address:
        await all_heard(store)

        async def keep_publishing() -> None:
            for _ in range(100):
                store.publish()
                await asyncio.sleep(0.002)

        async with subscriber(address, "surface.*", resume={"surface.BTC": "100"}) as socket:
            publishing = asyncio.create_task(keep_publishing())
            last = "100"
            while last != str(100 + 10 * 159):
                message = await hear(socket)
                assert message["type"] == "update"
                assert message["prev_version"] == last or message["conflated"] > 0
                missed = (int(message["version"]) - int(last)) // 10 - 1
                assert message["conflated"] == missed
                last = message["version"]
            await publishing


async def test_resume_from_a_lost_version_resets(serving: Serving, store: MemoryStore) -> None:
    for _ in range(10):
        store.publish()
    store.trim("BTC", 3)
    async with serving() as address:
        await all_heard(store)
        async with subscriber(address, "surface.BTC", resume={"surface.BTC": "110"}) as socket:
            message = await hear(socket)
            assert told(message) == ("snapshot", "surface.BTC", "190", 0)
            assert message["reset"] is True
            store.publish()
            assert told(await hear(socket)) == ("update", "surface.BTC", "200", 0)


async def test_resume_without_a_store_resets_from_memory(serving: Serving, store: MemoryStore) -> None:
    for _ in range(3):
        store.publish()
    async with serving() as address:
        await all_heard(store)
        store.away = True
        async with subscriber(address, "surface.BTC", resume={"surface.BTC": "100"}) as socket:
            assert (await hear(socket))["reset"] is True


async def test_resume_from_the_newest_is_quiet(serving: Serving, store: MemoryStore) -> None:
    store.publish()
    async with serving() as address:
        await all_heard(store)
        async with subscriber(address, "surface.BTC", resume={"surface.BTC": "100"}) as socket:
            assert (await ask(socket, op="ping", id=2))["op"] == "pong"
            store.publish()
            assert told(await hear(socket)) == ("update", "surface.BTC", "110", 0)


async def test_what_a_resume_already_gave_is_not_sent_again_when_the_process_hears_of_it(
    serving: Serving, store: MemoryStore
) -> None:
    store.publish()
    async with serving() as address:
        await all_heard(store)
        late = store.publish(announced=False)
        async with subscriber(address, "surface.BTC", resume={"surface.BTC": "100"}) as socket:
            assert told(await hear(socket)) == ("update", "surface.BTC", "110", 0)
            assert (await ask(socket, op="ping", id=2))["op"] == "pong"
            store.announce(late)
            store.publish()
            following = await hear(socket)
            assert (told(following), following["prev_version"]) == (("update", "surface.BTC", "120", 0), "110")


async def test_rejects_what_is_no_channel_with_a_reason(serving: Serving, store: MemoryStore) -> None:
    async with serving(ws_channels=2) as address, connect(f"ws://{address}/v1/stream") as socket:
        channels = ["surface.BT*", "trades.BTC", "surface.", "surface.A", "surface.B", "surface.C", "surface.A"]
        resume = {"surface.A": "x", "surface.Z": "1", "surface.*": "1"}
        ack = await ask(socket, op="subscribe", id=7, channels=channels, resume=resume)
        assert ack["accepted"] == ["surface.B"]
        assert set(ack["rejected"]) == {*channels, *resume} - {"surface.B"} == set(ack["reasons"])


@pytest.mark.parametrize(
    "message", ["{", "[]", '{"op": "shout"}', '{"op": "subscribe", "channels": "x"}', "[" * 60_000]
)
async def test_says_what_is_wrong_and_stays(serving: Serving, message: str) -> None:
    async with serving() as address, connect(f"ws://{address}/v1/stream") as socket:
        await socket.send(message)
        assert (await hear(socket))["op"] == "error"
        assert (await ask(socket, op="ping", id=None))["time"] == "2026-08-01T17:58:05.320Z"


async def test_closes_on_a_message_too_big(serving: Serving) -> None:
    async with serving() as address, connect(f"ws://{address}/v1/stream") as socket:
        await socket.send(" " * 70_000)
        assert await close_code(socket) == 1009


async def test_closes_on_too_many_messages(serving: Serving) -> None:
    limits = {"ws_message_burst": 5, "ws_messages_per_s": 1e-3}
    async with serving(**limits) as address, connect(f"ws://{address}/v1/stream") as socket:
        for _ in range(6):
            await socket.send('{"op": "ping"}')
        assert await close_code(socket) == 4029


async def test_closes_beyond_the_connection_limit(serving: Serving) -> None:
    async with (
        serving(ws_connections=1) as address,
        subscriber(address, "surface.*"),
        connect(f"ws://{address}/v1/stream") as socket,
    ):
        assert await close_code(socket) == 4029


async def test_a_restart_is_announced(serving: Serving, store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.api.server.GRACEFUL_SHUTDOWN_S", round(2.0 * HANGS_AFTER_S))
    async with asyncio.timeout(HANGS_AFTER_S), serving() as address:
        sockets = [await connect(f"ws://{address}/v1/stream") for _ in range(20)]
    assert [await close_code(socket) for socket in sockets] == [1012] * 20
    assert store.closed


async def close_code(socket: ClientConnection) -> int | None:
    async with asyncio.timeout(HANGS_AFTER_S):
        await socket.wait_closed()
    return socket.close_code
