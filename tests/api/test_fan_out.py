"""Many subscribers at once: each gets every update or an honest count, whatever the others do."""

import asyncio
import json

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.api.conftest import Serving
from tests.api.memory_store import MemoryStore
from tests.api.test_stream import subscriber
from tests.store.stored import HANGS_AFTER_S

pytestmark = pytest.mark.anyio

SUBSCRIBERS = 200
UPDATES = 20


async def test_every_subscriber_accounts_for_every_update(serving: Serving, store: MemoryStore) -> None:
    async with serving() as address:

        async def listen(socket: ClientConnection) -> int:
            accounted, version = 0, 0
            while version < 100 + 10 * (UPDATES - 1):
                message = json.loads(await socket.recv())
                assert int(message["version"]) > version
                version = int(message["version"])
                accounted += 1 + message["conflated"]
            return accounted

        async with asyncio.timeout(HANGS_AFTER_S):
            sockets = await asyncio.gather(*(_subscribed(address) for _ in range(SUBSCRIBERS)))
            listening = [asyncio.create_task(listen(socket)) for socket in sockets]
            for _ in range(UPDATES):
                store.publish()
                await asyncio.sleep(0.03)
            assert await asyncio.gather(*listening) == [UPDATES] * SUBSCRIBERS
        await asyncio.gather(*(socket.close() for socket in sockets))


async def _subscribed(address: str) -> ClientConnection:
    socket = await connect(f"ws://{address}/v1/stream", compression=None)
    await socket.send('{"op": "subscribe", "channels": ["surface.*"]}')
    await socket.recv()
    return socket


async def test_who_never_reads_holds_nobody_and_is_closed(serving: Serving, store: MemoryStore) -> None:
    async with serving(ws_send_timeout_s=3.0, ws_close_timeout_s=HANGS_AFTER_S) as address:
        reader, writer = await asyncio.open_connection(*address.split(":"), limit=4096)
        writer.write(
            b"GET /v1/stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        await reader.readuntil(b"\r\n\r\n")
        writer.write(_client_frame(b'{"op": "subscribe", "channels": ["surface.*"]}'))
        async with subscriber(address, "surface.BTC") as attentive, httpx.AsyncClient() as client:

            async def told(line: str) -> bool:
                return line in (await client.get(f"http://{address}/metrics")).text

            async with asyncio.timeout(HANGS_AFTER_S):
                while not await told("volsurf_ws_slow_disconnects_total 1.0"):
                    # Many until its buffers are full; then one now and again, should they drain a little more.
                    for _ in range(20 if await told("volsurf_ws_conflated_total 0.0") else 1):
                        store.publish(reason="x" * 100_000)
                        message = json.loads(await attentive.recv())
                        assert message["conflated"] == 0, "a neighbour that reads misses nothing"
            assert not await told("volsurf_ws_conflated_total 0.0")
            tail = b""
            async with asyncio.timeout(HANGS_AFTER_S):
                while (4008).to_bytes(2, "big") + b"nothing was read" not in tail:
                    tail = tail[-200:] + await reader.read(1 << 16)
        writer.close()


def _client_frame(payload: bytes) -> bytes:
    """Return a masked text frame (RFC 6455, 5.2) of less than 126 bytes; a mask of zeros changes nothing."""
    return bytes([0x81, 0x80 | len(payload)]) + bytes(4) + payload


async def test_conflates_for_the_slow_with_a_true_count(serving: Serving, store: MemoryStore) -> None:
    async with (
        serving(ws_send_timeout_s=HANGS_AFTER_S) as address,
        connect(f"ws://{address}/v1/stream", compression=None, max_queue=1) as socket,
    ):
        await socket.send('{"op": "subscribe", "channels": ["surface.BTC"]}')
        await socket.recv()
        published = 0
        for _ in range(1_500):
            store.publish()
            published += 1
            if published % 20 == 0:
                await asyncio.sleep(0.001)
        accounted, conflated, last = 0, 0, 0
        while last < 100 + 10 * (published - 1):
            async with asyncio.timeout(HANGS_AFTER_S):
                message = json.loads(await socket.recv())
            accounted += 1 + message["conflated"]
            conflated += message["conflated"]
            last = int(message["version"])
        assert accounted == published
        assert conflated > 0
