"""Events on the wire: pages back in time, a channel of their own, and honest about what a client was not sent."""

import dataclasses
from typing import Any

import httpx
import pytest
from jsonschema_rs import validator_for
from websockets.asyncio.client import connect

from app.api.app import create_app
from app.api.event_queue import EventQueue, QueuedEvent
from app.api.event_subscriptions import RESUME_PAGE
from app.api.services import ApiServices
from app.service.access_key import Scope
from app.service.event import EventKind
from tests.api.conftest import Serving, all_heard, client_of, serving_of
from tests.api.key_ring import MemoryKeyRing, strict_gate
from tests.api.memory_store import MemoryStore
from tests.api.test_stream import ask, hear, subscriber

pytestmark = pytest.mark.anyio


def told(message: dict[str, Any]) -> tuple[str, str, int | None, str]:
    return message["type"], message["channel"], message["missed"], message["data"]["message"]


async def messages(client: httpx.AsyncClient, **params: Any) -> list[str]:
    answer = await client.get("/v1/events", params=params)
    assert answer.status_code == 200, answer.text
    return [event["message"] for event in answer.json()["events"]]


async def test_pages_lead_back_to_the_first(client: httpx.AsyncClient, store: MemoryStore) -> None:
    for i in range(5):
        store.events.say(f"number {i}", "BTC" if i % 2 else "ETH", list(EventKind)[i])
    assert await messages(client) == [f"number {i}" for i in reversed(range(5))]
    assert await messages(client, underlying="BTC") == ["number 3", "number 1"]
    assert await messages(client, kind="gate") == ["number 1"]
    assert await messages(client, underlying="SOL") == []
    page = (await client.get("/v1/events", params={"limit": 2})).json()
    seen = [event["id"] for event in page["events"]]
    while page["next_cursor"]:
        answer = await client.get("/v1/events", params={"limit": 2, "cursor": page["next_cursor"]})
        page = answer.json()
        seen += [event["id"] for event in page["events"]]
    assert seen == [event.id for event in reversed(store.events.kept)]


async def test_an_event_says_when_where_and_how_much(client: httpx.AsyncClient, store: MemoryStore) -> None:
    event = store.events.say("published degraded: inside: share of quotes inside is 0.74, less than 0.8")
    (found,) = (await client.get("/v1/events")).json()["events"]
    assert found == {
        "id": event.id,
        "kind": "gate",
        "underlying": "BTC",
        "at": "2026-08-01T17:58:04.321Z",
        "version": "100",
        "message": event.message,
        "values": {"inside_spread": 0.74, "rules": "inside"},
    }


async def test_a_link_leads_to_the_next_page(client: httpx.AsyncClient, store: MemoryStore) -> None:
    for i in range(3):
        store.events.say(f"number {i}")
    answer = await client.get("/v1/events", params={"limit": 1, "underlying": "BTC", "kind": "gate"})
    following = answer.links["next"]["url"]
    assert [e["message"] for e in (await client.get(following)).json()["events"]] == ["number 1"]


@pytest.mark.parametrize(
    "params", [{"kind": "party"}, {"limit": 0}, {"limit": 501}, {"cursor": "17"}, {"cursor": "1-2-3\n"}]
)
async def test_what_cannot_be_asked(client: httpx.AsyncClient, params: dict[str, Any]) -> None:
    answer = await client.get("/v1/events", params=params)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_store_that_is_away_is_a_503(client: httpx.AsyncClient, store: MemoryStore) -> None:
    store.away = True
    assert (await client.get("/v1/events")).status_code == 503


async def test_a_page_fits_its_schema(client: httpx.AsyncClient, store: MemoryStore) -> None:
    store.events.say("number 0")
    document = (await client.get("/openapi.json")).json()
    declared = document["paths"]["/v1/events"]["get"]["responses"]["200"]["content"]["application/json"]
    schema = validator_for({**declared["schema"], "components": document["components"]})
    schema.validate((await client.get("/v1/events")).json())
    schema.validate(declared["example"])


async def test_events_are_heard_on_their_channel_and_on_the_pattern(serving: Serving, store: MemoryStore) -> None:
    async with serving() as address:
        await all_heard(store)
        async with (
            subscriber(address, "events.BTC") as one,
            subscriber(address, "events.*", "events.BTC") as every,
        ):
            store.events.say("to both")
            store.events.say("to one", "ETH")
            store.events.say("again")
            assert [told(await hear(one)) for _ in range(2)] == [
                ("event", "events.BTC", 0, "to both"),
                ("event", "events.BTC", 0, "again"),
            ]
            assert [told(await hear(every))[1] for _ in range(3)] == ["events.BTC", "events.ETH", "events.BTC"]
            await ask(one, op="unsubscribe", channels=["events.BTC"])
            store.events.say("unheard")
            assert (await ask(one, op="ping", id=9))["op"] == "pong"


async def test_surfaces_and_events_share_a_connection(serving: Serving, store: MemoryStore) -> None:
    async with serving() as address:
        await all_heard(store)
        async with subscriber(address, "surface.BTC", "events.BTC") as socket:
            store.publish()
            store.events.say("new rule")
            assert {(await hear(socket))["type"] for _ in range(2)} == {"snapshot", "event"}


@pytest.mark.parametrize("channel", ["events.BTC", "events.*"])
async def test_resuming_replays_what_came_after(serving: Serving, store: MemoryStore, channel: str) -> None:
    events = [store.events.say(f"number {i}") for i in range(2 * RESUME_PAGE + 3)]
    async with serving() as address:
        await all_heard(store)
        async with subscriber(address, channel, resume={channel: events[4].id}) as socket:
            store.events.say("new")
            heard = [await hear(socket) for _ in range(len(events) - 5 + 1)]
            assert [each["data"]["message"] for each in heard] == [
                *(event.message for event in events[5:]),
                "new",
            ], "each once, in order"
            assert (await ask(socket, op="ping"))["op"] == "pong"


async def test_resuming_from_what_is_gone_says_so(serving: Serving, store: MemoryStore) -> None:
    first = store.events.say("number 0")
    store.events.say("number 1")
    store.events.say("number 2")
    store.events.trim(1)
    async with serving() as address:
        await all_heard(store)
        async with subscriber(address, "events.BTC", resume={"events.BTC": first.id}) as socket:
            told_once = await hear(socket)
            assert told_once == {"type": "event", "channel": "events.BTC", "missed": None, "data": None, "reset": True}
            store.events.say("new")
            assert told(await hear(socket)) == ("event", "events.BTC", 0, "new")


async def test_events_lost_before_this_process_are_told(serving: Serving, store: MemoryStore) -> None:
    async with serving() as address:
        await all_heard(store)
        async with subscriber(address, "events.BTC") as socket:
            store.events.lose(3)
            store.events.say("after them")
            assert (await hear(socket))["reset"] is True
            assert told(await hear(socket)) == ("event", "events.BTC", 0, "after them")


async def test_refused_channels_say_why(serving: Serving, store: MemoryStore) -> None:
    resume = {"events.BTC": "17", "events.ETH": "1-0-0"}
    async with serving() as address, subscriber(address) as socket:
        ack = await ask(socket, op="subscribe", channels=["events.BTC", "event.BTC", "events."], resume=resume)
        assert ack["accepted"] == []
        assert ack["reasons"]["events.BTC"] == "'17' is no id of an event"
        assert ack["reasons"]["events.ETH"] == "resumed but not subscribed"
        assert ack["reasons"]["event.BTC"].startswith("channels are surface.*")
        assert "events." in ack["reasons"]


def test_a_full_queue_counts_what_it_drops() -> None:
    store = MemoryStore()
    queue = EventQueue(limit=2)
    dropped = [queue.put(QueuedEvent(store.events.say(f"number {i}"))) for i in range(5)]
    assert dropped == [False, False, True, True, True]
    oldest = queue.take()
    assert oldest is not None
    assert (oldest.event.message, queue.forget_missed(), queue.forget_missed()) == ("number 3", 3, 0)


async def test_a_slow_reader_is_told_how_many_it_missed(
    serving: Serving, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.api.mailbox.EventQueue", lambda: EventQueue(limit=2))
    async with serving() as address:
        await all_heard(store)
        async with subscriber(address, "events.BTC") as socket:
            for i in range(6):  # one batch of the feed: nothing is sent between
                store.events.say(f"number {i}")
            assert told(await hear(socket)) == ("event", "events.BTC", 4, "number 4")
            assert told(await hear(socket)) == ("event", "events.BTC", 0, "number 5")


async def test_events_fit_asyncapi(serving: Serving, store: MemoryStore) -> None:
    async with serving() as address, httpx.AsyncClient(base_url=f"http://{address}", trust_env=False) as client:
        document = (await client.get("/asyncapi.json")).json()
        declared = document["components"]["schemas"]["StreamEvent"]
        schema = validator_for({**declared, "components": document["components"]})
        for example in document["components"]["messages"]["StreamEvent"]["examples"]:
            schema.validate(example["payload"])
        first = store.events.say("number 0")
        store.events.trim(1)
        async with subscriber(address, "events.BTC", resume={"events.BTC": "0-0-0"}) as socket:
            schema.validate(await hear(socket))
            await ask(socket, op="subscribe", channels=["events.BTC"], resume={"events.BTC": first.id})
            store.events.say("number 1")
            schema.validate(await hear(socket))


async def test_a_key_hears_of_its_own_underlyings_only(services: ApiServices, store: MemoryStore) -> None:
    ring = MemoryKeyRing()
    guarded = dataclasses.replace(services, gate=strict_gate(ring))
    key = {"X-API-Key": ring.make(Scope.READ, underlyings={"ETH"})}
    ingest = {"X-API-Key": ring.make(Scope.INGEST)}
    for name in ("BTC", "ETH"):
        store.events.say(f"of {name}", name)
    async with client_of(create_app(guarded), address="192.0.2.7") as client:
        assert (await client.get("/v1/events")).status_code == 401
        answer = await client.get("/v1/events", headers=key)
        assert [event["message"] for event in answer.json()["events"]] == ["of ETH"]
        assert (await client.get("/v1/events?underlying=BTC", headers=key)).status_code == 403
        assert (await client.get("/v1/events", headers=ingest)).status_code == 403
    async with serving_of(guarded)() as address:
        await all_heard(store)
        async with connect(f"ws://{address}/v1/stream", additional_headers=key) as socket:
            resume = {"events.*": "0-0-0"}
            channels = ["events.*", "events.BTC"]
            ack = await ask(socket, op="subscribe", channels=channels, resume=resume)
            assert (ack["accepted"], ack["rejected"]) == (["events.*"], ["events.BTC"])
            assert told(await hear(socket))[3] == "of ETH"
            store.events.say("secret", "BTC")
            store.events.say("open", "ETH")
            assert told(await hear(socket))[3] == "open"
