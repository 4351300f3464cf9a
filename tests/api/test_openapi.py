"""The document describes what is really sent: each reference resolves, each answer fits its schema."""

import json
from typing import Any

import httpx
import pytest
from jsonschema_rs import validator_for

from app.api.live_surface import Freshness, stream_message
from app.api.stream_protocol import Ack, Pong, StreamError, encode
from app.venues import VENUES
from tests.api.documents import AS_OF_MS, published
from tests.api.memory_store import MemoryStore

pytestmark = pytest.mark.anyio


def references(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*(references(each) for each in node.values()))
    if isinstance(node, list):
        return set().union(*(references(each) for each in node))
    return set()


@pytest.fixture
async def document(client: httpx.AsyncClient) -> dict[str, Any]:
    answer = await client.get("/openapi.json")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


async def test_references_resolve(document: dict[str, Any]) -> None:
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert references(document) <= known


async def test_every_operation_is_named_and_declares_its_errors(document: dict[str, Any]) -> None:
    operations = [o for path in document["paths"].values() for o in path.values()]
    names = [o["operationId"] for o in operations]
    assert len(set(names)) == len(names) >= 8
    for each in operations:
        errors = {status: r for status, r in each["responses"].items() if int(status) >= 400}
        assert "500" in errors
        for answer in errors.values():
            assert answer["content"].keys() == {"application/problem+json"}
    submit = document["paths"]["/v1/chains/{venue}"]["post"]
    assert {"200", "202", "404", "413", "415", "422", "503"} <= submit["responses"].keys()
    assert submit["requestBody"]["content"]["application/json"]["examples"].keys() == VENUES.keys()


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/v1/surfaces", "/v1/surfaces"),
        ("/v1/surfaces/BTC", "/v1/surfaces/{underlying}"),
        ("/v1/surfaces/BTC/history", "/v1/surfaces/{underlying}/history"),
        ("/v1/surfaces/ETH", "/v1/surfaces/{underlying}"),
        ("/livez", "/livez"),
    ],
)
async def test_answers_fit_their_schema(
    client: httpx.AsyncClient, store: MemoryStore, document: dict[str, Any], path: str, template: str
) -> None:
    store.publish("BTC")
    answer = await client.get(path)
    declared = document["paths"][template]["get"]["responses"][str(answer.status_code)]["content"]
    schema = declared[answer.headers["content-type"]]["schema"]
    validator_for({**schema, "components": document["components"]}).validate(answer.json())


@pytest.mark.parametrize("venue", VENUES)
async def test_examples_fit_and_are_accepted(client: httpx.AsyncClient, document: dict[str, Any], venue: str) -> None:
    content = document["paths"]["/v1/chains/{venue}"]["post"]["requestBody"]["content"]["application/json"]
    example = content["examples"][venue]["value"]
    validator_for({**content["schema"], "components": document["components"]}).validate(example)
    answer = await client.post(f"/v1/chains/{venue}", json=example)
    assert answer.status_code in (202, 422)
    assert answer.status_code == 202 or answer.json()["type"].endswith("clock-skew")


def resolve(document: dict[str, Any], pointer: str) -> Any:
    node: Any = document
    for step in pointer.removeprefix("#/").split("/"):
        node = node[step]
    return node


async def test_asyncapi_describes_both_websockets(client: httpx.AsyncClient, store: MemoryStore) -> None:
    document = (await client.get("/asyncapi.json")).json()
    assert document["asyncapi"] == "3.0.0"
    assert {channel["address"] for channel in document["channels"].values()} == {"/v1/stream", "/v1/chains/{venue}"}
    for pointer in references(document):
        assert resolve(document, pointer) is not None
    for operation in document["operations"].values():
        for message in operation["messages"]:
            assert resolve(document, message["$ref"]), "a message of its own channel"


async def test_what_the_stream_sends_fits_asyncapi(client: httpx.AsyncClient) -> None:
    document = (await client.get("/asyncapi.json")).json()
    freshness = Freshness(AS_OF_MS, 120.0)
    messages = {
        "StreamSurface": stream_message(published(), freshness, kind="snapshot", reset=True),
        "Ack": encode(Ack(None, ["surface.BTC"], [], {})),
        "Pong": encode(Pong(1, "2026-08-01T17:58:04.320Z")),
        "StreamError": encode(StreamError("no")),
        "StreamRequest": '{"op": "subscribe", "channels": ["surface.*"], "resume": {"surface.BTC": "17"}}',
    }
    for name, message in messages.items():
        schema = {**resolve(document, f"#/components/schemas/{name}"), "components": document["components"]}
        validator_for(schema).validate(json.loads(message))
