"""Both clients against the real API over an in-memory store, and over answers made up."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import msgspec
import pytest

from app.api.app import create_app
from app.api.model_scores import SCORES_EXAMPLE
from app.api.server import listening_socket, server_for
from app.api.services import ApiServices
from app.client import AsyncClient, ChainOutcome, ChannelRejected, Client, Heard, HeardEvent, ServiceError
from app.service.access_key import Scope
from app.venues import VENUES
from tests.api.key_ring import MemoryKeyRing, strict_gate
from tests.api.memory_store import MemoryStore
from tests.running_service import free_port

pytestmark = pytest.mark.anyio
EXAMPLE = VENUES["native"].example
LIMIT_S = 60.0


@contextlib.asynccontextmanager
async def serving(services: ApiServices, port: int = 0) -> AsyncIterator[str]:
    server = server_for(create_app(services), max_message_bytes=1 << 20)
    with listening_socket("127.0.0.1", port) as listener:
        running = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:
            await asyncio.sleep(0.005)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await running


async def test_what_can_be_asked(services: ApiServices, store: MemoryStore) -> None:
    for _ in range(5):
        store.publish()
    async with serving(services) as url, AsyncClient(url) as desk:
        outcome = await desk.post_chain("native", EXAMPLE, idempotency_key="a")
        assert isinstance(outcome, ChainOutcome)
        assert (outcome.underlying, outcome.status) == ("BTC", "queued")
        assert (await desk.surface("BTC")).version == "140"
        assert (await desk.surface("BTC", at=(await desk.surface("BTC")).as_of)).version == "140"
        assert [(line.underlying, line.atm_vol) for line in await desk.surfaces()] == [("BTC", 0.5)]
        assert [s.version async for s in desk.history("BTC", page=2)] == ["140", "130", "120", "110", "100"]
        vols = await desk.evaluate("BTC", tenor_days=[30, 30], delta=["25P", "ATM"], greeks=True, dynamics={"ssr": 1})
        assert vols.vol == pytest.approx([0.5, 0.5])
        assert vols.delta is not None
        store.scored["BTC"] = msgspec.json.encode(SCORES_EXAMPLE)
        assert [each.model for each in (await desk.scores("BTC")).models] == ["svi_spline", "svi"]
        together = await desk.correlations("BTC", window_minutes=60, bar_minutes=1)
        assert (together.status, together.bar_minutes, len(together.factors)) == ("too_few_observations", 1, 5)
        with pytest.raises(ServiceError, match=r"404 Not found.*ETH"):
            await desk.surface("ETH")
        with pytest.raises(ServiceError, match="404 Not found: this service keeps no chains"):
            await desk.quotes("BTC", version="140")
        with pytest.raises(ServiceError) as refused:
            await desk.post_chain("native", {"underlying": 1})
        assert (refused.value.status, refused.value.pointer) == (422, "/underlying")


async def test_the_blocking_client_asks_the_same(services: ApiServices, store: MemoryStore) -> None:
    store.publish()
    store.fit_on_submit = True

    def ask(url: str) -> None:
        with Client(url) as desk:
            surface = desk.post_chain("native", EXAMPLE, wait_s=30.0)
            assert not isinstance(surface, ChainOutcome)
            assert [s.version for s in desk.history("BTC", page=1)] == ["110", "100"]
            assert desk.surface("BTC").version == surface.version
            assert len(desk.surfaces()) == 1
            assert desk.correlations("BTC", half_life_minutes=30.0).correlation == [[None] * 5] * 5
            assert desk.evaluate("BTC", tenor_days=[30], delta=["ATM"]).vol == pytest.approx([0.5])
            heard = next(desk.stream("BTC"))
            assert (heard.surface.version, heard.follows) == ("110", True)

    async with serving(services) as url:
        await asyncio.wait_for(asyncio.to_thread(ask, url), LIMIT_S)


async def versions(stream: AsyncIterator[Heard], count: int) -> list[tuple[str, bool, int | None]]:
    async with asyncio.timeout(LIMIT_S):
        found = [await anext(stream) for _ in range(count)]
    return [(each.surface.version, each.follows, each.missed) for each in found]


async def test_a_stream_goes_on_where_it_was_after_the_service_was_away(
    services: ApiServices, store: MemoryStore
) -> None:
    port = free_port()
    store.publish()
    async with AsyncClient(f"http://127.0.0.1:{port}") as desk:
        stream = desk.stream("BTC")
        async with serving(services, port):
            assert await versions(stream, 1) == [("100", True, 0)]
            store.publish()
            assert await versions(stream, 1) == [("110", True, 0)]
        for _ in range(3):
            store.publish()
        async with serving(services, port):
            assert await versions(stream, 3) == [("120", True, 0), ("130", True, 0), ("140", True, 0)]
        for _ in range(3):
            store.publish()
        store.trim("BTC", 1)
        async with serving(services, port):
            assert await versions(stream, 1) == [("170", False, None)], "nobody keeps what lay between"
            store.publish()
            assert await versions(stream, 1) == [("180", True, 0)]
            await stream.aclose()


async def test_a_stream_that_is_not_let_in_ends(services: ApiServices) -> None:
    ring = MemoryKeyRing()
    guarded = dataclasses.replace(services, gate=strict_gate(ring))
    ingest = ring.make(Scope.INGEST)
    only_btc = ring.make(Scope.READ, underlyings={"BTC"})
    async with serving(guarded) as url:
        for key, status in (("smk_1_2", 401), (ingest, 403)):
            async with AsyncClient(url, api_key=key) as desk:
                with pytest.raises(ServiceError) as refused:
                    await anext(desk.stream())
                assert refused.value.status == status
        async with AsyncClient(url, api_key=only_btc) as desk:
            with pytest.raises(ChannelRejected, match="ETH"):
                await anext(desk.stream("ETH"))


def answering(*answers: httpx.Response) -> tuple[Callable[[httpx.Request], httpx.Response], list[httpx.Request]]:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        if len(asked) > len(answers):
            raise httpx.ConnectError("away")
        return answers[len(asked) - 1]

    return answer, asked


def problem(status: int, **headers: str) -> httpx.Response:
    return httpx.Response(status, headers=headers, json={"title": "Away", "detail": "come back"})


QUEUED: dict[str, Any] = {"underlying": "BTC", "as_of": "2026-08-01T17:58:04.320Z", "sequence": 0, "status": "queued"}


def test_what_cannot_be_taken_now_is_sent_again() -> None:
    again = {"Retry-After": "0"}
    answer, asked = answering(problem(503, **again), problem(429, **again), httpx.Response(202, json=QUEUED))
    with Client("http://desk", api_key="k", transport=httpx.MockTransport(answer)) as desk:
        outcome = desk.post_chain("native", b"{}")
    assert isinstance(outcome, ChainOutcome)
    assert [request.content for request in asked] == [b"{}"] * 3
    assert {request.headers["X-API-Key"] for request in asked} == {"k"}


def test_it_gives_up_in_time_and_says_what_it_heard_last() -> None:
    answer, asked = answering(problem(503, **{"Retry-After": "60"}))
    with (
        Client("http://desk", transport=httpx.MockTransport(answer), retry_for_s=0.5) as desk,
        pytest.raises(ServiceError, match="503 Away: come back"),
    ):
        desk.surfaces()
    assert len(asked) == 1
    answer, _ = answering()
    with (
        Client("http://desk", transport=httpx.MockTransport(answer), retry_for_s=0.01) as desk,
        pytest.raises(httpx.ConnectError),
    ):
        desk.surfaces()


def test_an_answer_of_something_between_is_shown() -> None:
    answer, _ = answering(httpx.Response(502, text="<html>bad gateway"))
    with (
        Client("http://desk", transport=httpx.MockTransport(answer)) as desk,
        pytest.raises(ServiceError, match="bad gateway"),
    ):
        desk.surfaces()


async def test_events_are_listed_and_streamed(services: ApiServices, store: MemoryStore) -> None:
    for i in range(5):
        store.events.say(f"number {i}", "BTC" if i % 2 else "ETH")

    def ask(url: str) -> list[str]:
        with Client(url) as desk:
            return [event.message for event in desk.events("BTC", kind="gate", page=1)]

    async with serving(services) as url, AsyncClient(url) as desk:
        assert [event.message async for event in desk.events(page=2)] == [f"number {i}" for i in reversed(range(5))]
        assert await asyncio.to_thread(ask, url) == ["number 3", "number 1"]
        heard: list[Heard | HeardEvent] = []
        store.publish()
        async with asyncio.timeout(LIMIT_S):
            async for each in desk.stream("BTC", events=True):
                heard.append(each)
                if len(heard) == 2:
                    break
                store.events.say("new")  # now that it listens
        (event,) = [each for each in heard if isinstance(each, HeardEvent)]
        assert event.event is not None
        assert (event.event.message, event.missed) == ("new", 0)
        (surface,) = [each for each in heard if isinstance(each, Heard)]
        assert surface.surface.version == "100"
