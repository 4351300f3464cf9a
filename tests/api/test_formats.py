"""What clients may ask for besides plain JSON: gzip answers, msgpack messages, columns of quotes."""

import asyncio
import dataclasses
import gzip
import json
from typing import Any

import httpx
import msgspec
import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from app.api.compression import takes_gzip
from app.api.services import ApiServices
from app.service.access_key import Scope
from app.store.codec import encode_chain
from app.venues import BODY_FORMATS, VENUES
from app.venues.native_columns import COLUMNS_MEDIA_TYPE
from tests.api.conftest import Serving, serving_of
from tests.api.key_ring import MemoryKeyRing, strict_gate
from tests.api.memory_store import MemoryStore
from tests.store.stored import HANGS_AFTER_S

pytestmark = pytest.mark.anyio

MSGPACK = [Subprotocol("smilekeeper.v1.msgpack")]


@pytest.mark.parametrize(
    ("header", "takes"),
    [
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("*", True),
        ("gzip;q=1.000", True),
        ("", False),
        ("identity", False),
        ("br", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000, *", False),
        ("*;q=0", False),
    ],
)
def test_what_an_accept_encoding_allows(header: str, takes: bool) -> None:
    assert takes_gzip(header) is takes


@pytest.mark.parametrize("path", ["/v1/surfaces/BTC", "/v1/surfaces/BTC/history"])
async def test_answers_are_compressed_for_those_who_ask(
    client: httpx.AsyncClient, store: MemoryStore, path: str
) -> None:
    for _ in range(40):
        store.publish()
    async with client.stream("GET", path, headers={"Accept-Encoding": "gzip"}) as answer:
        raw = b"".join([part async for part in answer.aiter_raw()])
        assert (answer.headers["content-encoding"], answer.headers["vary"]) == ("gzip", "Accept-Encoding")
        assert int(answer.headers["content-length"]) == len(raw)
    plain = await client.get(path, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert gzip.decompress(raw) == plain.content
    assert len(raw) < len(plain.content) / 2


async def test_the_stream_speaks_msgpack(serving: Serving, store: MemoryStore) -> None:
    store.publish()
    async with serving() as address, connect(f"ws://{address}/v1/stream", subprotocols=MSGPACK) as socket:
        assert socket.subprotocol == MSGPACK[0]

        async def heard() -> Any:
            message = await asyncio.wait_for(socket.recv(), HANGS_AFTER_S)
            assert isinstance(message, bytes)
            return msgspec.msgpack.decode(message)

        await socket.send(msgspec.msgpack.encode({"op": "subscribe", "id": 1, "channels": ["surface.BTC"]}))
        assert (await heard())["accepted"] == ["surface.BTC"]
        snapshot = await heard()
        assert (snapshot["type"], snapshot["data"]["underlying"]) == ("snapshot", "BTC")
        store.publish()
        update = await heard()
        assert (update["type"], update["prev_version"]) == ("update", snapshot["version"])
        await socket.send(b"\xc1")
        assert (await heard())["op"] == "error"


async def test_a_client_that_offers_json_or_nothing_known_gets_json(serving: Serving) -> None:
    async with serving() as address:
        for names, chosen in ((["smilekeeper.v1.json", *MSGPACK], "smilekeeper.v1.json"), (["other"], None)):
            async with connect(f"ws://{address}/v1/stream", subprotocols=[Subprotocol(n) for n in names]) as socket:
                assert socket.subprotocol == chosen
                await socket.send('{"op": "ping"}')
                assert json.loads(await socket.recv())["op"] == "pong"


async def test_a_key_may_come_as_msgpack(services: ApiServices) -> None:
    ring = MemoryKeyRing()
    guarded = dataclasses.replace(services, gate=strict_gate(ring))
    async with (
        serving_of(guarded)() as address,
        connect(f"ws://{address}/v1/stream", subprotocols=MSGPACK) as socket,
    ):
        await socket.send(msgspec.msgpack.encode({"op": "auth", "key": ring.make(Scope.READ)}))
        answer = await socket.recv()
        assert isinstance(answer, bytes)
        assert msgspec.msgpack.decode(answer)["scopes"] == ["read"]


ROWS: dict[str, Any] = {
    "underlying": "BTC",
    "source": "desk",
    "as_of": "2026-08-01T17:58:04Z",
    "premium": "coin",
    "sequence": 3,
    "futures": [{"expiry": "2026-08-28T08:00:00Z", "bid": 1.0}],
    "quotes": [
        {"expiry": "2026-09-25T08:00:00Z", "strike": 6e4, "type": "P", "bid": 0.01, "ask": None, "forward": 62_000.0},
        {"expiry": 1787904000000, "strike": 7e4, "type": "C", "bid": 0, "ask": 0.02, "ask_size": 3.0},
    ],
}


def as_columns(rows: dict[str, Any], **changes: Any) -> bytes:
    names = ("expiry", "strike", "type", "bid", "ask", "ask_size", "forward")
    columns = {name: [quote.get(name) for quote in rows["quotes"]] for name in names}
    return json.dumps({**rows, "quotes": {**columns, **changes}}).encode()


async def test_columns_are_the_same_chain(client: httpx.AsyncClient, store: MemoryStore) -> None:
    columns = BODY_FORMATS["native", COLUMNS_MEDIA_TYPE]
    by_rows = VENUES["native"].parse(json.dumps(ROWS).encode(), received_ms=0)
    by_columns = columns.parse(as_columns(ROWS), received_ms=0)
    assert encode_chain(by_columns) == encode_chain(by_rows)
    headers = {"Content-Type": COLUMNS_MEDIA_TYPE}
    answer = await client.post("/v1/chains/native", content=as_columns(ROWS), headers=headers)
    assert (answer.status_code, answer.json()["sequence"]) == (202, 3)
    assert [chain[:3] for chain in store.chains] == [("BTC", by_rows.as_of_ms, 3)]
    usual = {"Content-Type": "application/json"}
    assert (await client.post("/v1/chains/native", content=as_columns(ROWS), headers=usual)).status_code == 422
    assert (await client.post("/v1/chains/deribit", content=as_columns(ROWS), headers=headers)).status_code == 422
    example = await client.post("/v1/chains/native", content=columns.example, headers=headers)
    assert example.status_code in (202, 422)


async def test_columns_come_over_a_websocket_too(serving: Serving, store: MemoryStore) -> None:
    rows = VENUES["native"].parse(json.dumps(ROWS).encode(), received_ms=0)
    path = f"/v1/chains/native?content_type={COLUMNS_MEDIA_TYPE}"
    async with serving() as address:
        for query in (path, path.replace("+", "%2B"), f"{path};charset=utf-8"):
            store.chains.clear()
            async with connect(f"ws://{address}{query}") as socket:
                await socket.send(as_columns(ROWS))
                assert json.loads(await socket.recv())["status"] == "queued"
                assert [chain[:3] for chain in store.chains] == [("BTC", rows.as_of_ms, 3)]
                await socket.send(as_columns(ROWS, bid=[0.1]))
                assert json.loads(await socket.recv())["pointer"] == "/quotes/bid"
                await socket.send(json.dumps(ROWS))
                assert json.loads(await socket.recv())["status"] == 422
        async with connect(f"ws://{address}/v1/chains/native?content_type=text/csv") as socket:
            await socket.send(as_columns(ROWS))
            refused = json.loads(await socket.recv())
            assert (refused["status"], "text/csv" in refused["detail"]) == (415, True)


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"bid": [0.1]}, "/quotes/bid"),
        ({"strike": []}, "/quotes/strike"),
        ({"strike": [1, -1]}, "/quotes/strike/1"),
        ({"type": ["P", "X"]}, "/quotes/type/1"),
        ({"expiry": ["2026-09-25T08:00:00Z", 5]}, "/quotes/expiry/1"),
        ({"expiry": []}, "/quotes/expiry"),
        ({"bidd": [1, 2]}, "/quotes"),
    ],
)
async def test_a_column_that_is_wrong_is_pointed_at(
    client: httpx.AsyncClient, changes: dict[str, Any], pointer: str
) -> None:
    headers = {"Content-Type": COLUMNS_MEDIA_TYPE}
    answer = await client.post("/v1/chains/native", content=as_columns(ROWS, **changes), headers=headers)
    assert (answer.status_code, answer.json()["pointer"]) == (422, pointer)
