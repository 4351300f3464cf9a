import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager

import httpx
import pytest
from fastapi import FastAPI

from app.api.app import create_app
from app.api.server import listening_socket, server_for
from app.api.services import ApiLimits, ApiServices
from app.quant.chain import OptionChain
from app.venues import VENUES
from tests.api.documents import AS_OF_MS
from tests.api.memory_store import MemoryStore
from tests.store.stored import HANGS_AFTER_S

NOW_MS = AS_OF_MS + 1_000
Client = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]
Serving = Callable[..., AbstractAsyncContextManager[str]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def services(store: MemoryStore) -> ApiServices:
    def encode(chain: OptionChain) -> bytes:
        return f"{chain.underlying} {len(chain)}".encode()

    return ApiServices(
        store,
        store,
        store,
        store,
        VENUES,
        encode,
        clock=lambda: NOW_MS,
        events=store.events,
        event_feed=store.events,
        answers=store,
        scores=store,
        promotions=store,
        close=store.close,
    )


async def until(condition: Callable[[], Awaitable[object]]) -> None:
    """Ask until the answer is true; fail when it takes so long that something hangs."""
    async with asyncio.timeout(HANGS_AFTER_S):
        while not await condition():
            await asyncio.sleep(0.005)


async def all_heard(store: MemoryStore) -> None:
    """Return when the process has heard of all that ``store`` has."""
    async with asyncio.timeout(HANGS_AFTER_S):
        while not store.all_heard:
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def client_of(app: FastAPI, address: str = "127.0.0.1") -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(address, 50_000))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://api") as client,
    ):
        yield client


def serving_of(services: ApiServices) -> Serving:
    """Start a real server on a loopback port, in the test's own event loop; gives host:port."""

    @contextlib.asynccontextmanager
    async def start(**limits: float) -> AsyncIterator[str]:
        changed = dataclasses.replace(services, limits=ApiLimits(**limits))  # type: ignore[arg-type]
        server = server_for(create_app(changed), max_message_bytes=changed.limits.max_body_bytes)
        with listening_socket("127.0.0.1", 0) as listener:
            running = asyncio.create_task(server.serve(sockets=[listener]))
            while not server.started:
                await asyncio.sleep(0.005)
            host, port = listener.getsockname()
            try:
                yield f"{host}:{port}"
            finally:
                server.should_exit = True
                await running

    return start


@pytest.fixture
def serving(services: ApiServices) -> Serving:
    return serving_of(services)


@pytest.fixture
async def client(services: ApiServices) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(create_app(services)) as each:
        yield each
