import httpx
import pytest

from tests.api.conftest import all_heard
from tests.api.documents import AS_OF_MS
from tests.api.memory_store import MemoryStore

pytestmark = pytest.mark.anyio


async def test_the_newest_surface_has_its_envelope(client: httpx.AsyncClient, store: MemoryStore) -> None:
    store.publish()
    answer = await client.get("/v1/surfaces/BTC")
    assert answer.status_code == 200
    assert answer.headers["etag"] == '"100"'
    surface = answer.json()
    assert surface["version"] == "100"
    assert surface["prev_version"] == "0"
    assert surface["calibrated_at"] == "2026-08-01T17:58:04.520Z"
    assert surface["age_ms"] == 1_000
    assert surface["stale"] is False
    assert [s["status"] for s in surface["slices"]] == ["ok", "ok", "too_few_quotes"]


async def test_an_old_surface_says_that_it_is_stale(client: httpx.AsyncClient, store: MemoryStore) -> None:
    store.publish("BTC", AS_OF_MS - 3_600_000)
    surface = (await client.get("/v1/surfaces/BTC")).json()
    assert (surface["stale"], surface["age_ms"]) == (True, 3_601_000)


@pytest.mark.parametrize("known", ['"100"', 'W/"100"', '"7", "100"', "*"])
async def test_an_unchanged_version_is_not_sent_again(
    client: httpx.AsyncClient, store: MemoryStore, known: str
) -> None:
    store.publish()
    answer = await client.get("/v1/surfaces/BTC", headers={"if-none-match": known})
    assert (answer.status_code, answer.content) == (304, b"")
    assert (await client.get("/v1/surfaces/BTC", headers={"if-none-match": '"99"'})).status_code == 200


@pytest.mark.parametrize(
    ("at", "version"),
    [
        ("2026-08-01T17:58:05.320Z", "110"),
        ("2026-08-01T17:58:05.319Z", "100"),
        ("2026-08-01T19:58:05.319+02:00", "100"),
        (str(AS_OF_MS), "100"),
        ("2030-01-01T00:00:00Z", "120"),
    ],
)
async def test_the_surface_as_it_stood(client: httpx.AsyncClient, store: MemoryStore, at: str, version: str) -> None:
    for _ in range(3):
        store.publish()
    answer = await client.get("/v1/surfaces/BTC", params={"at": at})
    assert answer.json()["version"] == version


async def test_times_that_name_no_instant_are_refused(client: httpx.AsyncClient, store: MemoryStore) -> None:
    store.publish()
    for at in ("yesterday", "2026-08-01T17:58:05", "", "1e12"):
        assert (await client.get("/v1/surfaces/BTC", params={"at": at})).status_code == 422, at
    assert (await client.get("/v1/surfaces/BTC", params={"at": "2020-01-01T00:00:00Z"})).status_code == 404


async def test_history_pages_meet_without_gap(client: httpx.AsyncClient, store: MemoryStore) -> None:
    for _ in range(5):
        store.publish()
    versions, path = [], "/v1/surfaces/BTC/history?limit=2"
    while path:
        answer = await client.get(path)
        versions += [s["version"] for s in answer.json()["surfaces"]]
        path = answer.links["next"]["url"] if "next" in answer.links else ""
        assert (answer.json()["next_cursor"] is None) == (not path)
    assert versions == ["140", "130", "120", "110", "100"]


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "limit=x", "cursor=x", "cursor=-1", "cursor=" + "9" * 40])
async def test_history_refuses_what_is_no_page(client: httpx.AsyncClient, store: MemoryStore, query: str) -> None:
    store.publish()
    assert (await client.get(f"/v1/surfaces/BTC/history?{query}")).status_code == 422


@pytest.mark.parametrize("path", ["DOGE", "DOGE/history", "DOGE?at=2030-01-01T00:00:00Z"])
async def test_no_surface_is_404(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(f"/v1/surfaces/{path}")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert "DOGE" in answer.json()["detail"]


async def test_the_list_sums_up_each_surface(client: httpx.AsyncClient, store: MemoryStore) -> None:
    store.publish("ETH")
    store.publish("BTC")
    await client.get("/v1/surfaces/ETH")
    listed = (await client.get("/v1/surfaces")).json()["surfaces"]
    assert [s["underlying"] for s in listed] == ["BTC", "ETH"]
    first = listed[0]
    assert (first["forward"], first["atm_vol"], first["atm_tenor_days"], first["expiries"]) == (62_000.0, 0.5, 30.0, 2)
    assert first["arbitrage_free"] is True
    assert first["fit"]["inside_spread"] == 0.98


async def test_reads_come_from_memory_when_the_store_is_away(client: httpx.AsyncClient, store: MemoryStore) -> None:
    store.publish()
    await all_heard(store)
    store.away = True
    assert (await client.get("/v1/surfaces/BTC")).status_code == 200
    assert (await client.get("/v1/surfaces")).status_code == 200
    for path in ("/v1/surfaces/ETH", "/v1/surfaces/BTC/history", "/v1/surfaces/BTC?at=1"):
        answer = await client.get(path)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")


async def test_a_failed_fit_is_told_with_its_reason(client: httpx.AsyncClient, store: MemoryStore) -> None:
    for name in ("BTC", "ETH"):
        store.publish(name)
    store.failures = {"BTC": (AS_OF_MS + 1, "too few quotes"), "ETH": (AS_OF_MS - 1, "older"), "SOL": (5, "no smile")}
    await all_heard(store)
    listed = (await client.get("/v1/surfaces")).json()["surfaces"]
    assert [s["last_failure"] for s in listed] == ["chain as of 2026-08-01T17:58:04.321Z: too few quotes", None]
    assert "no smile" in (await client.get("/v1/surfaces/SOL")).json()["detail"]
