import json
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from app.api.services import ApiLimits
from app.quant.chain import MAX_QUOTES
from tests.api.conftest import Serving
from tests.api.documents import AS_OF_MS
from tests.api.memory_store import MemoryStore

pytestmark = pytest.mark.anyio


def chain(as_of: Any = AS_OF_MS, quotes: int = 2, **changes: Any) -> dict[str, Any]:
    rows = [
        {"expiry": "2026-08-28T08:00:00Z", "strike": 60_000 + i, "type": "P", "bid": 0.0131, "ask": 0.0135}
        for i in range(quotes)
    ]
    return {"underlying": "BTC", "source": "desk", "as_of": as_of, "premium": "coin", "quotes": rows} | changes


async def test_accepts_a_chain_and_stores_it(client: httpx.AsyncClient, store: MemoryStore) -> None:
    answer = await client.post("/v1/chains/native", json=chain(sequence=17))
    assert answer.status_code == 202
    assert answer.json() == {
        "underlying": "BTC",
        "as_of": "2026-08-01T17:58:04.320Z",
        "sequence": 17,
        "status": "queued",
    }
    assert store.chains == [("BTC", AS_OF_MS, 17, b"BTC 2")]


async def test_says_what_became_of_each_chain(client: httpx.AsyncClient) -> None:
    told = []
    for as_of in (AS_OF_MS, AS_OF_MS + 1, AS_OF_MS + 1, AS_OF_MS):
        answer = await client.post("/v1/chains/native", json=chain(as_of))
        told.append((answer.status_code, answer.json()["status"]))
    assert told == [(202, "queued"), (202, "coalesced"), (200, "duplicate"), (200, "stale")]


async def test_waits_for_the_surface_of_this_chain(client: httpx.AsyncClient, store: MemoryStore) -> None:
    store.publish("BTC", AS_OF_MS - 5_000)
    store.fit_on_submit = True
    answer = await client.post("/v1/chains/native?wait_ms=30000", json=chain())
    assert answer.status_code == 200
    assert (answer.json()["as_of"], answer.json()["version"]) == ("2026-08-01T17:58:04.320Z", "110")
    again = await client.post("/v1/chains/native?wait_ms=30000", json=chain())
    assert again.json()["version"] == "110", "a duplicate is answered with the surface it already has"


async def test_says_accepted_when_the_wait_ends_first(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/chains/native?wait_ms=20", json=chain())
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")


async def test_refuses_a_chain_from_the_future(client: httpx.AsyncClient, store: MemoryStore) -> None:
    answer = await client.post("/v1/chains/native", json=chain(AS_OF_MS + 3_600_000))
    assert (answer.status_code, answer.json()["pointer"]) == (422, "/as_of")
    assert answer.json()["type"].endswith("clock-skew")
    assert store.chains == []


async def test_counts_and_points_at_what_is_wrong(client: httpx.AsyncClient, store: MemoryStore) -> None:
    body = chain()
    body["quotes"][1]["strike"] = -5
    answer = await client.post("/v1/chains/native", json=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["pointer"] == "/quotes/1/strike"
    assert "-5" in answer.json()["detail"]
    assert store.invalid == {"native": 1}


async def test_knows_its_venues(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/chains/nyse", json=chain())
    assert (answer.status_code, answer.json()["title"]) == (404, "Not found")
    assert "native" in answer.json()["detail"]


async def test_says_when_to_try_again_without_a_store(client: httpx.AsyncClient, store: MemoryStore) -> None:
    store.away = True
    answer = await client.post("/v1/chains/native", json=chain())
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    broken = await client.post("/v1/chains/native", content=b"{")
    assert broken.status_code == 422, "a malformed body is the client's fault even then"


async def test_says_when_to_try_again_while_calibration_is_behind(
    client: httpx.AsyncClient, store: MemoryStore
) -> None:
    store.behind = True
    answer = await client.post("/v1/chains/native", json=chain())
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.json()["type"] == "urn:smilekeeper:problem:queue-behind"
    assert 'volsurf_redis_errors_total{kind="submit"} 0.0' in (await client.get("/metrics")).text
    store.behind = False
    assert (await client.post("/v1/chains/native", json=chain())).status_code == 202


DEEP = b"[" * 100_000
HOSTILE = {
    "nan": b'{"as_of": NaN}',
    "infinity": b'{"as_of": -Infinity}',
    "overflow": json.dumps(chain()).replace("0.0131", "1e400").encode(),
    "deep": DEEP,
    "deep object": b'{"quotes":' * 100_000,
    "not utf-8": b'{"underlying": "\xff\xfe"}',
    "byte order mark": b"\xef\xbb\xbf" + json.dumps(chain()).encode(),
    "5000 digits": json.dumps(chain()).replace("0.0131", "9" * 5_000).encode(),
    "5000 digit time": json.dumps(chain()).replace(str(AS_OF_MS), "9" * 5_000).encode(),
    "empty": b"",
    "null": b"null",
    "list": b"[]",
    "text": b'"chain"',
    "lone surrogate": b'{"underlying": "\\ud800"}',
}


@pytest.mark.parametrize("venue", ["native", "deribit"])
@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
async def test_hostile_bodies_are_the_clients_fault(client: httpx.AsyncClient, venue: str, body: bytes) -> None:
    answer = await client.post(f"/v1/chains/{venue}", content=body)
    assert answer.status_code == 422, answer.text
    assert answer.json()["status"] == 422


async def test_a_whole_market_fits_with_everything_that_may_be_said(
    client: httpx.AsyncClient, store: MemoryStore
) -> None:
    market = chain(quotes=MAX_QUOTES)
    more = {"bid_size": 1234.56789, "ask_size": 1234.56789, "timestamp": market["as_of"], "forward": 62_651.234567}
    whole = json.dumps({**market, "quotes": [quote | more for quote in market["quotes"]]}).encode()
    assert 3_000_000 < len(whole) < ApiLimits().max_body_bytes
    assert (await client.post("/v1/chains/native", content=whole)).status_code == 202
    assert store.chains[0][3] == b"BTC 20000"
    many = json.dumps(chain(quotes=MAX_QUOTES + 1), separators=(",", ":")).encode()
    assert (await client.post("/v1/chains/native", content=many)).status_code == 422


async def test_too_large_announced_or_not(client: httpx.AsyncClient) -> None:
    async def chunks() -> Any:
        for _ in range(90):
            yield b" " * 100_000

    for content in (b" " * 9_000_000, chunks()):
        answer = await client.post("/v1/chains/native", content=content)
        assert answer.status_code == 413
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "headers", [{"content-type": "text/csv"}, {"content-encoding": "gzip"}, {"content-type": "application/msgpack"}]
)
async def test_reads_plain_json_only(client: httpx.AsyncClient, headers: dict[str, str]) -> None:
    answer = await client.post("/v1/chains/native", content=json.dumps(chain()), headers=headers)
    assert answer.status_code == 415


@pytest.mark.parametrize("wait_ms", ["-1", "1e9", "soon", "999999999"])
async def test_refuses_a_wait_that_is_none(client: httpx.AsyncClient, wait_ms: str) -> None:
    answer = await client.post(f"/v1/chains/native?wait_ms={wait_ms}", json=chain())
    assert answer.status_code == 422
    assert "wait_ms" in answer.json()["detail"]


async def test_the_same_answers_come_over_a_websocket(serving: Serving, store: MemoryStore) -> None:
    async with serving() as address, connect(f"ws://{address}/v1/chains/native") as socket:
        told = []
        for body in (json.dumps(chain()), json.dumps(chain()).encode(), "{"):
            await socket.send(body)
            told.append(json.loads(await socket.recv())["status"])
        assert told == ["queued", "duplicate", 422]
        store.away = True
        await socket.send(json.dumps(chain(AS_OF_MS + 1)))
        assert json.loads(await socket.recv())["status"] == 503


async def test_an_unknown_venue_is_told_over_a_websocket(serving: Serving) -> None:
    async with serving() as address, connect(f"ws://{address}/v1/chains/nyse") as socket:
        await socket.send(json.dumps(chain()))
        assert json.loads(await socket.recv())["status"] == 404
