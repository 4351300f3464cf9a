"""Every error is a problem document, the framework's own included, and none tells internals."""

import dataclasses

import httpx
import pytest

from app.api.app import create_app
from app.api.problem import ROWS
from app.api.services import ApiServices
from app.quant.chain import OptionChain
from tests.api.conftest import client_of
from tests.api.memory_store import MemoryStore

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/v1/surfaces/", 404),
        ("DELETE", "/v1/surfaces", 405),
        ("GET", "/v1/chains/native", 405),
        ("POST", "/v1/surfaces/BTC/evaluate", 404),
        ("GET", "/docs/secret", 404),
    ],
)
async def test_every_error_is_a_problem(client: httpx.AsyncClient, method: str, path: str, status: int) -> None:
    answer = await client.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    problem = answer.json()
    assert problem["status"] == status
    assert {"type", "title", "status", "detail"} <= problem.keys()
    assert ("allow" in answer.headers) == (status == 405)


async def test_an_unexpected_failure_tells_nothing(services: ApiServices) -> None:
    def encode(chain: OptionChain) -> bytes:
        raise KeyError("the secret of the shop")

    async with client_of(create_app(dataclasses.replace(services, encode_chain=encode))) as client:
        answer = await client.post("/v1/chains/native", content=services.venues["native"].example)
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "secret" not in answer.text
    assert "KeyError" not in answer.text


async def test_callers_from_other_machines_need_a_key(services: ApiServices, store: MemoryStore) -> None:
    store.publish()
    async with client_of(create_app(services), address="192.0.2.7") as client:
        for method, path in (("GET", "/v1/surfaces"), ("GET", "/v1/surfaces/BTC"), ("POST", "/v1/chains/native")):
            assert (await client.request(method, path)).status_code == 401
        assert (await client.get("/livez")).status_code == 200


def test_kinds_are_distinct_and_statuses_are_errors() -> None:
    assert len({row.kind for row in ROWS.values()}) == len(ROWS)
    assert all(400 <= row.status < 600 for row in ROWS.values())
