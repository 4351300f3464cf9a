"""The server's own promises, over real sockets."""

import asyncio
import socket

import pytest

from app.api.server import DeadlineProtocol, listening_socket
from tests.api.conftest import Serving
from tests.api.memory_store import MemoryStore
from tests.store.stored import HANGS_AFTER_S

pytestmark = pytest.mark.anyio

WHOLE = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def short_deadline(monkeypatch: pytest.MonkeyPatch) -> float:
    monkeypatch.setattr(DeadlineProtocol, "receive_deadline_s", 0.3)
    return 0.3


@pytest.mark.parametrize(
    "part",
    [
        b"",
        b"GET /li",
        b"GET /livez HTTP/1.1\r\nHost: x\r\n",
        b"\r\n",
        b"POST /v1/chains/native HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
        WHOLE + b"GET /li",
    ],
)
async def test_half_a_request_is_ended(serving: Serving, short_deadline: float, part: bytes) -> None:
    async with serving() as address:
        reader, writer = await asyncio.open_connection(*address.split(":"))
        writer.write(part)
        async with asyncio.timeout(HANGS_AFTER_S):
            answer = await reader.read(-1)
        assert answer.count(b"HTTP/1.1 ") == 1 + part.startswith(WHOLE)
        assert b"408" in answer.split(b"HTTP/1.1 ")[-1]
        writer.close()


async def test_bytes_that_trickle_in_do_not_extend_the_deadline(serving: Serving, short_deadline: float) -> None:
    async with serving() as address, asyncio.timeout(HANGS_AFTER_S):
        reader, writer = await asyncio.open_connection(*address.split(":"))
        writer.write(b"GET /livez HTTP/1.1\r\n")
        ended = asyncio.create_task(reader.readline())
        while not ended.done():
            writer.write(b"x-a: b\r\n")
            await asyncio.sleep(short_deadline / 15)
        assert b"408" in await ended
        writer.close()


@pytest.mark.parametrize("behind", [b"\r\n", b"GET /li"])
async def test_a_long_answer_is_not_cut_by_the_deadline(
    serving: Serving, short_deadline: float, store: MemoryStore, behind: bytes
) -> None:
    example = (
        b'{"underlying":"BTC","source":"a","as_of":1785607084320,"premium":"coin","quotes":'
        b'[{"expiry":"2026-08-28T08:00:00Z","strike":6e4,"type":"P","bid":0.01}]}'
    )
    head = b"POST /v1/chains/native?wait_ms=700 HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(example)
    async with serving() as address, asyncio.timeout(HANGS_AFTER_S):
        reader, writer = await _connection_with(head + example, address)
        await asyncio.sleep(0.05)
        writer.write(behind)
        assert (await reader.readline()).startswith(b"HTTP/1.1 202")
        assert b"408" in await reader.read(-1), "nor does it keep half a request behind it for ever"
        writer.close()


async def _connection_with(request: bytes, address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return a connection that is whole before the server, in this same thread, can take it and start its clock."""
    host, port = address.split(":")
    connected = socket.create_connection((host, int(port)))
    connected.sendall(request)
    return await asyncio.open_connection(sock=connected)


async def test_health_answers_beside_hundreds_of_half_requests(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DeadlineProtocol, "receive_deadline_s", 2.0 * HANGS_AFTER_S)
    async with serving() as address, asyncio.timeout(HANGS_AFTER_S):
        halves = [await asyncio.open_connection(*address.split(":")) for _ in range(300)]
        for _, writer in halves:
            writer.write(b"POST /v1/chains/native HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
        health, asking = await asyncio.open_connection(*address.split(":"))
        asking.write(WHOLE)
        assert b"200" in await health.readline()
        for reader, writer in halves:
            writer.write(b"x" * 8)
            assert b" 422 " in await reader.readline(), "each is open until its other half comes"
        for _, each in [*halves, (health, asking)]:
            each.close()


async def test_answers_name_no_server(serving: Serving) -> None:
    async with serving() as address:
        reader, writer = await asyncio.open_connection(*address.split(":"))
        writer.write(WHOLE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        head = (await reader.read(-1)).lower()
        assert b"\r\nserver:" not in head
        assert b"x-content-type-options: nosniff" in head
        writer.close()


def test_connections_inherit_buffer_and_timeouts() -> None:
    with listening_socket("127.0.0.1", 0) as listener:
        listener.listen()
        with socket.create_connection(listener.getsockname()), listener.accept()[0] as accepted:
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) <= 2 * 128 * 1024
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 12_000


def test_a_taken_address_is_an_error() -> None:
    with listening_socket("127.0.0.1", 0) as listener:
        listener.listen()
        with pytest.raises(OSError, match="in use"):
            listening_socket("127.0.0.1", listener.getsockname()[1])
