"""GET /v1/surfaces/{u}/quotes."""

import asyncio
import dataclasses
import threading
from collections.abc import AsyncIterator

import httpx
import pytest
from jsonschema_rs import validator_for

from app.api.app import create_app
from app.api.quotes import QuoteAnswers
from app.api.services import ApiServices
from app.quant.chain import OptionChain
from app.service.document import encode_document
from app.service.iso_time import iso_utc
from app.service.ports import KeptChain, PublishedSurface
from app.service.publish import maintained_document
from app.store.codec import decode_chain, encode_chain
from tests.api.conftest import client_of
from tests.api.documents import published
from tests.api.memory_store import MemoryStore
from tests.quant.market import maintained_series, recorded_chains

pytestmark = pytest.mark.anyio

CHAINS = recorded_chains("BTC")[:2]
FITS = maintained_series("BTC", 2)
PATH = "/v1/surfaces/BTC/quotes"


class ChainsByVersion:
    """Two kept chains; counts how often they are asked for."""

    def __init__(self) -> None:
        self.asked = 0
        self.kept = {100: CHAINS[0], 110: CHAINS[1]}

    async def as_of(self, underlying: str, as_of_ms: int) -> KeptChain | None:
        raise AssertionError(f"{underlying} as of {as_of_ms} was asked for: the route goes by version")

    async def of_version(self, underlying: str, version: int) -> KeptChain | None:
        self.asked += 1
        await asyncio.sleep(0)
        chain = self.kept.get(version)
        return chain and KeptChain(underlying, version, chain.as_of_ms, encode_chain(chain), b"")


def publish(store: MemoryStore) -> None:
    for version, chain, fit in zip((100, 110), CHAINS, FITS, strict=True):
        bare = published("BTC", version, version - 10 if version > 100 else 0, chain.as_of_ms)
        document = encode_document(maintained_document(fit, chain))
        store.kept["BTC"].append(dataclasses.replace(bare, document=document))


@pytest.fixture
def archive() -> ChainsByVersion:
    return ChainsByVersion()


@pytest.fixture
async def reader(
    services: ApiServices, store: MemoryStore, archive: ChainsByVersion
) -> AsyncIterator[httpx.AsyncClient]:
    publish(store)
    kept = dataclasses.replace(services, archive=archive, decode_chain=decode_chain)
    async with client_of(create_app(kept)) as client:
        yield client


async def test_the_newest_an_earlier_and_a_named_one(reader: httpx.AsyncClient) -> None:
    newest = await reader.get(PATH)
    assert newest.status_code == 200
    assert (newest.json()["version"], newest.json()["as_of"]) == ("110", iso_utc(CHAINS[1].as_of_ms))
    assert newest.headers["etag"] == '"110"'
    earlier = await reader.get(PATH, params={"at": str(CHAINS[1].as_of_ms - 1)})
    assert earlier.json()["version"] == "100"
    assert (await reader.get(PATH, params={"version": "100"})).content == earlier.content
    assert (await reader.get(PATH, headers={"If-None-Match": '"110"'})).status_code == 304


async def test_the_answer_is_what_the_surface_was_fitted_to(reader: httpx.AsyncClient) -> None:
    surface, quotes = (await reader.get("/v1/surfaces/BTC")).json(), (await reader.get(PATH)).json()
    for told, found in zip(surface["slices"], quotes["slices"], strict=True):
        assert found["expiry"] == told["expiry"]
        assert sum(found["used"]) == told["quotes_used"]
        error = [m - q for m, q, used in zip(found["model_vol"], found["mid_vol"], found["used"], strict=True) if used]
        assert (sum(e * e for e in error) / len(error)) ** 0.5 == pytest.approx(told["fit"]["rmse_vol"], rel=1e-12)
        columns = [column for column in found.values() if isinstance(column, list) and column is not found["dropped"]]
        assert len({len(column) for column in columns}) == 1
    assert any(None in found["bid_vol"] for found in quotes["slices"])


async def test_answer_and_example_fit_the_schema(reader: httpx.AsyncClient) -> None:
    document = (await reader.get("/openapi.json")).json()
    declared = document["paths"]["/v1/surfaces/{underlying}/quotes"]["get"]["responses"]["200"]["content"]
    described = declared["application/json"]
    validator = validator_for({**described["schema"], "components": document["components"]})
    validator.validate(described["example"])
    validator.validate((await reader.get(PATH)).json())
    assert described["example"]["slices"][0].keys() == (await reader.get(PATH)).json()["slices"][0].keys()


async def test_refusals_say_why(reader: httpx.AsyncClient, archive: ChainsByVersion) -> None:
    del archive.kept[110]
    gone = await reader.get(PATH)
    assert gone.status_code == 404
    assert "the chain that surface 110 of 'BTC' was fitted to is no longer kept" in gone.json()["detail"]
    for query, status in (
        ({"version": "105"}, 404),
        ({"at": "1000"}, 404),
        ({"version": "100", "at": "1000"}, 422),
        ({"version": "v1"}, 422),
        ({"at": "yesterday"}, 422),
    ):
        assert (await reader.get(PATH, params=query)).status_code == status, query
    assert (await reader.get("/v1/surfaces/ETH/quotes")).status_code == 404


async def test_a_service_without_chains_says_so(client: httpx.AsyncClient, store: MemoryStore) -> None:
    publish(store)
    answer = await client.get(PATH)
    assert (answer.status_code, answer.json()["detail"]) == (404, "this service keeps no chains")


async def test_an_unconfirmed_quote_needs_the_surface_before(
    reader: httpx.AsyncClient, store: MemoryStore, archive: ChainsByVersion
) -> None:
    """Without it nobody can say which quotes were left out, so nothing is said."""
    newest = store.kept["BTC"][1]
    document = newest.document.replace(b'"quotes_dropped":{', b'"quotes_dropped":{"unconfirmed":1,')
    store.kept["BTC"] = [dataclasses.replace(newest, document=document)]
    answer = await reader.get(PATH)
    assert (answer.status_code, "version 100" in answer.json()["detail"]) == (404, True)


async def test_a_surface_is_worked_out_once(reader: httpx.AsyncClient, archive: ChainsByVersion) -> None:
    answers = await asyncio.gather(*(reader.get(PATH) for _ in range(8)))
    assert len({answer.content for answer in answers}) == 1
    assert archive.asked == 1


async def test_answers_are_kept_within_their_room() -> None:
    answers, made = QuoteAnswers(kept_bytes=100), []

    def surface(version: int) -> PublishedSurface:
        return published("BTC", version)

    async def ask(version: int, size: int = 40) -> bytes:
        async def make() -> bytes:
            made.append(version)
            return b"x" * size

        return await answers.of(surface(version), make)

    for version in (1, 2, 1, 3, 1, 2, 4):
        await ask(version)
    assert made == [1, 2, 3, 2, 4], "the one asked for longest ago makes room"
    assert len(await ask(5, size=1000)) == 1000
    assert made[-1] == 5
    await ask(1)
    assert made[-1] == 1


async def test_the_work_is_done_on_another_thread(
    services: ApiServices, store: MemoryStore, archive: ChainsByVersion
) -> None:
    publish(store)
    threads = []

    def decode(encoded: bytes) -> OptionChain:
        threads.append(threading.current_thread())
        return decode_chain(encoded)

    kept = dataclasses.replace(services, archive=archive, decode_chain=decode)
    async with client_of(create_app(kept)) as client:
        assert (await client.get(PATH)).status_code == 200
    assert len(threads) == 1
    assert threads[0] is not threading.main_thread()
