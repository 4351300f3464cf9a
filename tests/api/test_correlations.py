"""Correlations over HTTP: what is asked, what is refused, and what the store's history has to do with it."""

import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
from jsonschema_rs import validator_for

from app.api.app import create_app
from app.api.correlations_example import CORRELATIONS_EXAMPLE
from app.api.services import ApiServices
from app.service.access_key import Scope
from app.service.correlation_document import Correlations
from app.service.document import VolGrid
from tests.api.conftest import client_of
from tests.api.key_ring import MemoryKeyRing, strict_gate
from tests.api.memory_store import MemoryStore
from tests.service.published_factors import published_series

pytestmark = pytest.mark.anyio
PATH = "/v1/correlations"
BOTH = {"underlyings": "BTC,ETH"}


@pytest.fixture
def recorded(store: MemoryStore) -> MemoryStore:
    for name in ("BTC", "ETH"):
        store.kept[name] = list(published_series(name))
    return store


def shape(value: Any) -> Any:
    """What does not depend on how well the market was fitted: names, lengths and words."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items()}
    if isinstance(value, list):
        return [shape(each) for each in value]
    return value if isinstance(value, str) and "know the ratio" not in value else None


async def test_the_example_is_what_the_recorded_market_says(client: httpx.AsyncClient, recorded: MemoryStore) -> None:
    answer = await client.get(PATH, params=BOTH)
    assert answer.status_code == 200
    found = answer.json()
    assert shape(found) == shape(CORRELATIONS_EXAMPLE)
    for name, off in (("correlation", 0.15), ("standard_error", 0.15), ("overlap", 0.03), ("shrinkage", 0.3)):
        assert np.array(found[name]) == pytest.approx(np.array(CORRELATIONS_EXAMPLE[name]), abs=off)
    assert msgspec.json.decode(answer.content, type=Correlations).status == "ok"


async def test_example_and_answers_fit_the_schema(client: httpx.AsyncClient, recorded: MemoryStore) -> None:
    document: dict[str, Any] = (await client.get("/openapi.json")).json()
    described = document["paths"][PATH]["get"]["responses"]["200"]["content"]["application/json"]
    fits = validator_for({**described["schema"], "components": document["components"]})
    fits.validate(described["example"])
    for asked in (BOTH, {**BOTH, "window_minutes": 20}, {"underlyings": "ETH", "bar_minutes": 7.5}):
        fits.validate((await client.get(PATH, params=asked)).json())


async def test_any_process_answers_alike_and_a_new_surface_is_seen(
    services: ApiServices, client: httpx.AsyncClient, recorded: MemoryStore
) -> None:
    later = recorded.kept["BTC"][40:]
    del recorded.kept["BTC"][40:]
    before = (await client.get(PATH, params=BOTH)).json()
    recorded.kept["BTC"] += later
    del recorded.kept["BTC"][:5]
    after = (await client.get(PATH, params=BOTH)).json()
    assert after["correlation"] != before["correlation"]
    async with client_of(create_app(services)) as other:
        assert (await other.get(PATH, params=BOTH)).json() == after


async def test_what_is_asked_is_what_is_answered(client: httpx.AsyncClient, recorded: MemoryStore) -> None:
    asked = {"underlyings": "ETH", "window_minutes": 240, "bar_minutes": 10, "half_life_minutes": 90.5}
    found = (await client.get(PATH, params=asked)).json()
    assert found["underlyings"] == ["ETH"]
    assert [found["window_minutes"], found["bar_minutes"], found["half_life_minutes"]] == [240, 10, 90.5]
    assert found["observations"]["of_factor"]["ETH.level"] <= 24


async def test_a_fast_feed_has_short_bars(client: httpx.AsyncClient, store: MemoryStore) -> None:
    rng = np.random.default_rng(4)
    for vol in (0.5 + 0.001 * np.cumsum(rng.standard_normal(480))).tolist():
        store.publish("BTC", vol_grid=VolGrid([30.0], ["25P", "ATM", "25C"], [[vol + 0.02, vol, vol + 0.01]]))
    minutes = {"underlyings": "BTC", "window_minutes": 8}
    found = (await client.get(PATH, params=minutes)).json()
    assert found["status"] == "too_few_observations"
    assert "of the last 8 minutes surfaces are known" in found["reason"]
    found = (await client.get(PATH, params={**minutes, "bar_minutes": 0.25})).json()
    assert (found["status"], found["correlation"][1][1]) == ("partial", 1.0)
    assert found["observations"]["of_factor"]["BTC.level"] == 31


async def test_surfaces_that_say_too_little_give_null_with_a_reason(
    client: httpx.AsyncClient, store: MemoryStore
) -> None:
    for _ in range(30):
        store.publish("BTC")
    found = (await client.get(PATH, params={"underlyings": "BTC"})).json()
    assert found["status"] == "too_few_observations"
    assert "at least 10 are needed" in found["reason"]
    assert found["correlation"] == [[None] * 5] * 5
    assert found["spot_vol"]["BTC"]["beta"] is None


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ({}, "underlyings"),
        ({"underlyings": ""}, "underlyings"),
        ({"underlyings": "BTC,"}, "underlyings"),
        ({"underlyings": "BTC,BTC"}, "underlyings"),
        ({"underlyings": ",".join(f"U{i}" for i in range(9))}, "underlyings"),
        ({**BOTH, "window_minutes": 0}, "window_minutes"),
        ({**BOTH, "window_minutes": 20_000}, "window_minutes"),
        ({**BOTH, "bar_minutes": 61}, "bar_minutes"),
        ({**BOTH, "bar_minutes": 0.09}, "bar_minutes"),
        ({**BOTH, "bar_minutes": "a"}, "bar_minutes"),
        ({**BOTH, "bar_minutes": 0.1, "window_minutes": 1_009}, "window_minutes"),
        ({**BOTH, "half_life_minutes": "nan"}, "half_life_minutes"),
        ({**BOTH, "half_life_minutes": "inf"}, "half_life_minutes"),
    ],
)
async def test_a_bad_parameter_is_named(
    client: httpx.AsyncClient, recorded: MemoryStore, asked: dict[str, Any], name: str
) -> None:
    answer = await client.get(PATH, params=asked)
    assert answer.status_code == 422
    assert f"query parameter {name}" in answer.json()["detail"]


async def test_unknown_underlyings_and_a_store_that_is_away(client: httpx.AsyncClient, recorded: MemoryStore) -> None:
    answer = await client.get(PATH, params={"underlyings": "BTC,SOL"})
    assert answer.status_code == 404
    assert "'SOL'" in answer.json()["detail"]
    assert (await client.get(PATH, params={"underlyings": "ETH"})).status_code == 200
    recorded.kept["ETH"].clear()
    answer = await client.get(PATH, params=BOTH)
    assert answer.status_code == 404
    recorded.away = True
    assert (await client.get(PATH, params=BOTH)).status_code == 503


@pytest.fixture
def ring() -> MemoryKeyRing:
    return MemoryKeyRing()


@pytest.fixture
async def stranger(services: ApiServices, ring: MemoryKeyRing) -> AsyncIterator[httpx.AsyncClient]:
    guarded = dataclasses.replace(services, gate=strict_gate(ring))
    async with client_of(create_app(guarded), address="192.0.2.7") as client:
        yield client


async def test_reading_needs_read_and_every_underlying(
    stranger: httpx.AsyncClient, ring: MemoryKeyRing, recorded: MemoryStore
) -> None:
    keys = {
        200: ring.make(Scope.READ, underlyings={"BTC", "ETH"}),
        403: ring.make(Scope.READ, underlyings={"BTC"}),
    }
    assert (await stranger.get(PATH, params=BOTH)).status_code == 401
    assert (await stranger.get(PATH, params=BOTH, headers={"X-API-Key": ring.make(Scope.INGEST)})).status_code == 403
    for status, key in keys.items():
        assert (await stranger.get(PATH, params=BOTH, headers={"X-API-Key": key})).status_code == status
    alone = await stranger.get(PATH, params={"underlyings": "BTC"}, headers={"X-API-Key": keys[403]})
    assert alone.status_code == 200
