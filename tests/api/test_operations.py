import asyncio
import dataclasses
import re
from collections.abc import Sequence

import httpx
import pytest

from app.api.app import create_app
from app.api.services import ApiServices
from app.service.ports import PublishedSurface
from tests.api.conftest import all_heard, client_of, until
from tests.api.documents import published
from tests.api.memory_store import MemoryStore
from tests.store.stored import HANGS_AFTER_S

pytestmark = pytest.mark.anyio


async def status_is(status: int, client: httpx.AsyncClient, path: str) -> bool:
    return (await client.get(path)).status_code == status


async def test_not_ready_before_the_hub_has_loaded(
    services: ApiServices, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.api.hub.FIRST_POLL_S", HANGS_AFTER_S)
    async with client_of(create_app(services)) as client:
        assert (await client.get("/readyz")).status_code == 503
        store.publish()
        await all_heard(store)
        assert (await client.get("/readyz")).status_code == 200


async def test_ready_when_the_store_answers_and_a_worker_is_warm(client: httpx.AsyncClient, store: MemoryStore) -> None:
    await all_heard(store)
    assert (await client.get("/readyz")).json() == {"ready": True, "warm_workers": 1, "workers_alive": 2}
    store.warm_workers = 0
    cold = await client.get("/readyz")
    assert (cold.status_code, "warm" in cold.json()["detail"]) == (503, True)
    store.warm_workers, store.away = 1, True
    away = await client.get("/readyz")
    assert (away.status_code, "store" in away.json()["detail"]) == (503, True)
    assert "retry-after" in away.headers
    assert (await client.get("/livez")).json() == {"live": True}


async def test_a_hub_that_ended_is_not_live(services: ApiServices) -> None:
    class BrokenFeed:
        async def next_updates(self, timeout_s: float) -> Sequence[PublishedSurface]:
            raise ZeroDivisionError(f"no poll of {timeout_s} s")

    async with client_of(create_app(dataclasses.replace(services, feed=BrokenFeed()))) as client:
        await until(lambda: status_is(503, client, "/livez"))
        assert (await client.get("/readyz")).status_code == 503


async def test_the_hub_survives_a_store_that_is_away(services: ApiServices, store: MemoryStore) -> None:
    store.away = True
    store.publish("ETH")
    async with client_of(create_app(services)) as client:
        async with asyncio.timeout(HANGS_AFTER_S):
            while not store.asked_for_updates:
                await asyncio.sleep(0.005)
        assert (await client.get("/v1/surfaces")).status_code == 503
        store.away = False
        await until(lambda: status_is(200, client, "/readyz"))
        store.publish("BTC")
        await all_heard(store)
        store.away = True
        listed = (await client.get("/v1/surfaces")).json()["surfaces"]
        assert [s["underlying"] for s in listed] == ["BTC", "ETH"]


async def test_a_damaged_document_is_quarantined_not_served(client: httpx.AsyncClient, store: MemoryStore) -> None:
    good = store.publish("BTC")
    await all_heard(store)
    store.kept["BTC"].append(dataclasses.replace(published("BTC", 110, 100), document=b'{"underlying": "BTC"}'))
    store._updates.put_nowait(store.kept["BTC"][-1])
    store.publish("ETH")
    await all_heard(store)
    assert (await client.get("/v1/surfaces/BTC")).json()["version"] == str(good.version)
    assert (await client.get("/v1/surfaces/ETH")).status_code == 200
    assert 'volsurf_redis_errors_total{kind="feed"} 1.0' in (await client.get("/metrics")).text


async def test_the_documentation_needs_no_other_host(client: httpx.AsyncClient) -> None:
    pytest.importorskip("fastapi_offline", reason="ships the files of Swagger UI")
    page = (await client.get("/docs")).text
    assert "://" not in page.replace("http://www.w3.org", "")
    links = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(links) == 3
    for link in links:
        assert (await client.get(link)).status_code == 200


async def test_the_page_links_what_exists(client: httpx.AsyncClient, store: MemoryStore) -> None:
    answer = await client.get("/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    await all_heard(store)
    for link in re.findall(r'(?:href|src)="(/[^"]*)"', answer.text):
        assert (await client.get(link)).status_code == 200, link


async def test_nothing_is_shared_with_other_origins(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/surfaces", headers={"origin": "https://elsewhere.example"})
    assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_too_many_requests_at_once_are_told_to_come_back(
    client: httpx.AsyncClient, services: ApiServices, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.api.observed.MAX_IN_FLIGHT", 2)
    example = services.venues["native"].example
    most = services.limits.max_wait_ms
    asked = [asyncio.create_task(client.post(f"/v1/chains/native?wait_ms={most}", content=example)) for _ in range(3)]
    ended, waiting = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
    assert [(await each).status_code for each in ended] == [503]
    assert (await client.get("/livez")).status_code == 200
    refused = await client.get("/v1/surfaces")
    assert (refused.status_code, refused.headers["retry-after"], refused.json()["title"]) == (503, "1", "Overloaded")
    underlying, as_of_ms, sequence, _ = store.chains[-1]
    store.publish(underlying, as_of_ms, sequence)
    assert [(await each).status_code for each in waiting] == [200, 200]
    assert (await client.get("/v1/surfaces")).status_code == 200


async def test_routes_are_counted_by_template(client: httpx.AsyncClient, store: MemoryStore) -> None:
    store.publish()
    for path in ("/v1/surfaces/BTC", "/v1/surfaces/ETH", "/made/up/1", "/made/up/2"):
        await client.get(path)
    await client.request("BREW", "/v1/surfaces")
    counted = re.findall(r"request_duration_seconds_count\{(.*?)\} (\S+)", (await client.get("/metrics")).text)
    assert dict(counted) == {
        'method="GET",route="/v1/surfaces/{underlying}",status="200"': "1.0",
        'method="GET",route="/v1/surfaces/{underlying}",status="404"': "1.0",
        'method="GET",route="unmatched",status="404"': "2.0",
        'method="OTHER",route="/v1/surfaces",status="405"': "1.0",
    }
