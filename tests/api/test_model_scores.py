"""Scores out and promotions in, over ports in memory."""

import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
from jsonschema_rs import validator_for

from app.api.app import create_app
from app.api.model_scores import SCORES_EXAMPLE
from app.api.services import ApiServices
from app.service.access_key import Scope
from app.service.score_document import ModelScores
from tests.api.conftest import client_of
from tests.api.key_ring import MemoryKeyRing, strict_gate
from tests.api.memory_store import MemoryStore

pytestmark = pytest.mark.anyio
SCORES, PROMOTION = "/v1/models/BTC/scores", "/v1/models/BTC/promotion"


@pytest.fixture(autouse=True)
def known(store: MemoryStore) -> None:
    store.publish("BTC")
    store.scored["BTC"] = msgspec.json.encode(SCORES_EXAMPLE)


async def test_scores_are_served_with_what_was_promoted_since(client: httpx.AsyncClient) -> None:
    answer = await client.get(SCORES)
    assert answer.status_code == 200
    assert answer.json() == SCORES_EXAMPLE
    promoted = await client.post(PROMOTION, json={"model": "svi"})
    assert (promoted.status_code, promoted.json()) == (200, {"underlying": "BTC", "model": "svi", "before": None})
    assert (await client.get(SCORES)).json()["promoted"] == "svi"
    again = await client.post(PROMOTION, json={"model": "essvi"})
    assert again.json()["before"] == "svi"


async def test_the_example_fits_its_schema(client: httpx.AsyncClient) -> None:
    assert msgspec.convert(SCORES_EXAMPLE, ModelScores).models[1].verdict == "worse"
    document: dict[str, Any] = (await client.get("/openapi.json")).json()
    content = document["paths"]["/v1/models/{underlying}/scores"]["get"]["responses"]["200"]["content"]
    described = content["application/json"]
    validator_for({**described["schema"], "components": document["components"]}).validate(described["example"])


async def test_an_underlying_without_scores_is_not_found(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/models/ETH/scores")
    assert answer.status_code == 404
    assert "no challenger ran" in answer.json()["detail"]
    assert (await client.post("/v1/models/ETH/promotion", json={"model": "svi"})).status_code == 404


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b'{"model": "sabr"}', 422, "promises no absence of arbitrage"),
        (b'{"model": "heston"}', 422, "is not one of essvi, sabr, svi, svi_spline"),
        (b'{"models": "svi"}', 422, "not a promotion"),
        (b"{", 422, "not a promotion"),
        (b'{"model": "\xff"}', 422, "not a promotion"),
    ],
)
async def test_what_may_not_take_over_is_refused_in_words(
    client: httpx.AsyncClient, store: MemoryStore, body: bytes, status: int, words: str
) -> None:
    answer = await client.post(PROMOTION, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    assert words in answer.json()["detail"]
    assert store.promoted == {}


async def test_a_store_that_is_away_is_said_so(client: httpx.AsyncClient, store: MemoryStore) -> None:
    store.away = True
    assert (await client.get(SCORES)).status_code == 503
    assert (await client.post(PROMOTION, json={"model": "svi"})).status_code == 503
    assert "volsurf_store_up 0" in (await client.get("/metrics")).text


async def test_scores_are_metrics(client: httpx.AsyncClient, store: MemoryStore) -> None:
    store.scored["ETH"] = b"{}"
    text = (await client.get("/metrics")).text
    assert 'volsurf_model_score{model="svi",score="log",underlying="BTC"} 3.7688' in text
    assert 'volsurf_model_dm_statistic{model="svi",underlying="BTC"} 9.617' in text
    assert 'model_dm_statistic{model="svi_spline"' not in text


@pytest.fixture
def ring() -> MemoryKeyRing:
    return MemoryKeyRing()


@pytest.fixture
async def stranger(services: ApiServices, ring: MemoryKeyRing) -> AsyncIterator[httpx.AsyncClient]:
    guarded = dataclasses.replace(services, gate=strict_gate(ring))
    async with client_of(create_app(guarded), address="192.0.2.7") as client:
        yield client


async def test_reading_needs_read_and_promoting_needs_admin(
    stranger: httpx.AsyncClient, ring: MemoryKeyRing, store: MemoryStore
) -> None:
    reads, rules = {"X-API-Key": ring.make(Scope.READ)}, {"X-API-Key": ring.make(Scope.ADMIN)}
    other = {"X-API-Key": ring.make(Scope.READ, Scope.ADMIN, underlyings={"ETH"})}
    assert (await stranger.get(SCORES)).status_code == 401
    assert (await stranger.get(SCORES, headers=reads)).status_code == 200
    assert (await stranger.get(SCORES, headers=other)).status_code == 403
    for headers, status in ((None, 401), (reads, 403), (other, 403), (rules, 200)):
        answer = await stranger.post(PROMOTION, json={"model": "svi"}, headers=headers)
        assert answer.status_code == status
    assert store.promoted["BTC"].model == "svi"
    key_id = rules["X-API-Key"].split("_")[1]
    assert store.promoted["BTC"].event.values == {"model": "svi", "by": key_id}
