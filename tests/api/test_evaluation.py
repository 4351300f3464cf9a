import dataclasses
import json
import math
import threading
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest

from app.api import evaluation
from app.api.app import create_app
from app.api.evaluation import INLINE_BYTES, INLINE_POINTS, MSGPACK, points_of
from app.api.problem import InvalidRequest
from app.api.services import ApiServices
from app.quant.calibration import calibrate_surface
from app.quant.surface import VolSurface
from app.quant.warm_up import known_chain
from app.service.document import SurfaceDocument, encode_document
from app.service.evaluate import GREEKS, evaluate, surface_of
from app.service.points import MAX_POINTS, Points
from app.service.publish import document_of
from tests.api.conftest import client_of
from tests.api.documents import published
from tests.api.memory_store import MemoryStore

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def fitted() -> SurfaceDocument:
    chain = known_chain()
    return document_of(calibrate_surface(chain), chain)


@pytest.fixture
async def fitted_client(services: ApiServices, store: MemoryStore, fitted: SurfaceDocument) -> Any:
    store.kept["BTC"].append(dataclasses.replace(published(), document=encode_document(fitted)))
    async with client_of(create_app(services)) as client:
        yield client


def test_columns_become_points() -> None:
    points = points_of(
        b'{"expiry": ["2026-08-28T08:00:00Z", 1787904000000, null], "tenor_days": [null, null, 30],'
        b' "strike": [60000, null, null], "delta": [null, "25P", 0.1], "type": ["P", null, "C"], "greeks": true}'
    )
    assert points == Points(
        expiry_ms=[1787904000000, 1787904000000, None],
        tenor_days=[None, None, 30],
        strike=[60000, None, None],
        delta=[None, "25P", 0.1],
        log_moneyness=[None, None, None],
        is_call=[False, None, True],
        greeks=True,
    )


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ("", ""),
        ("{}", ""),
        ("[1]", ""),
        ('{"strike": 5}', "/strike"),
        ('{"strike": [1, "x"]}', "/strike/1"),
        ('{"strike": [true]}', "/strike/0"),
        ('{"strike": [NaN]}', ""),
        ('{"strike": [1e400]}', "/strike/0"),
        ('{"strike": [1], "tenor_days": [1, 2]}', "/strike"),
        ('{"expiry": ["tomorrow"], "strike": [1]}', "/expiry/0"),
        ('{"expiry": [null, "2026-08-28T08:00:00"]}', "/expiry/1"),
        ('{"expiry": [1e30]}', "/expiry/0"),
        (f'{{"expiry": [{"9" * 5000}]}}', "/expiry/0"),
        ('{"type": ["X"]}', "/type/0"),
        ('{"strikes": [1]}', ""),
        ("[" * 100_000, ""),
        ('{"strike": ' + "[" * 100_000, "/strike/0"),
        (json.dumps({"strike": [1.0] * (MAX_POINTS + 1)}), ""),
    ],
)
def test_what_is_no_query_is_pointed_at(body: str, pointer: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        points_of(body.encode())
    assert refused.value.pointer == pointer
    assert len(str(refused.value)) < 1_000


async def test_answers_in_columns(fitted_client: httpx.AsyncClient, fitted: SurfaceDocument) -> None:
    expiry = fitted.slices[1].expiry
    query = {"expiry": [expiry] * 3, "delta": ["25P", "ATM", None], "log_moneyness": [None, None, 0.05]}
    answer = await fitted_client.post("/v1/surfaces/BTC/evaluate", json={**query, "greeks": True})
    assert answer.status_code == 200, answer.text
    columns = answer.json()
    assert (columns["version"], columns["as_of"]) == ("100", fitted.as_of)
    assert columns["status"] == ["ok"] * 3
    assert columns["delta"][0] == pytest.approx(-0.25, abs=1e-9)
    assert columns["strike"][1] == pytest.approx(fitted.slices[1].forward)
    assert set(GREEKS) <= columns.keys()
    lean = (await fitted_client.post("/v1/surfaces/BTC/evaluate", json=query)).json()
    assert not set(GREEKS) & lean.keys()
    assert lean["vol"] == columns["vol"]


async def test_the_wire_changes_no_number(fitted_client: httpx.AsyncClient, fitted: SurfaceDocument) -> None:
    strikes = np.linspace(0.6, 1.6, 50) * (fitted.slices[0].forward or math.nan)
    body = {"tenor_days": [45.0] * 50, "strike": strikes.tolist()}
    columns = (await fitted_client.post("/v1/surfaces/BTC/evaluate", json=body)).json()
    expected = evaluate(surface_of(fitted), points_of(json.dumps(body).encode()))
    assert columns["vol"] == expected["vol"].tolist()
    assert columns["price_quote"] == expected["price_quote"].tolist()


async def test_what_is_missing_is_null(fitted_client: httpx.AsyncClient, fitted: SurfaceDocument) -> None:
    body = {"expiry": [fitted.as_of, fitted.slices[0].expiry], "delta": ["25P", "25P"], "greeks": True}
    columns = (await fitted_client.post("/v1/surfaces/BTC/evaluate", json=body)).json()
    assert columns["status"] == ["expired", "ok"]
    for name in columns.keys() - {"version", "as_of", "status", "t"}:
        assert columns[name][0] is None, name
        assert columns[name][1] is not None, name


async def test_msgpack_says_what_json_says(fitted_client: httpx.AsyncClient, fitted: SurfaceDocument) -> None:
    body = {"expiry": [fitted.as_of, fitted.slices[0].expiry], "delta": ["25P", "25P"], "greeks": True}
    plain = await fitted_client.post("/v1/surfaces/BTC/evaluate", json=body)
    packed = await fitted_client.post("/v1/surfaces/BTC/evaluate", json=body, headers={"Accept": MSGPACK})
    assert (plain.headers["content-type"], packed.headers["content-type"]) == ("application/json", MSGPACK)
    assert msgspec.msgpack.decode(packed.content) == plain.json()
    assert plain.json()["vol"][0] is None
    refused = await fitted_client.post("/v1/surfaces/BTC/evaluate", json={}, headers={"Accept": MSGPACK})
    assert refused.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("points", [1, INLINE_POINTS, INLINE_POINTS + 1, 2_000])
async def test_queries_of_every_size_answer_alike(
    fitted_client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, points: int
) -> None:
    """The larger ones are answered by a thread, the largest is read there too."""
    answered_by = []

    def seen(surface: VolSurface, asked: Points) -> dict[str, Any]:
        answered_by.append(threading.current_thread())
        return evaluate(surface, asked)

    monkeypatch.setattr(evaluation, "evaluate", seen)
    body = {"tenor_days": [45.0] * points, "delta": ["10P"] * points}
    columns = (await fitted_client.post("/v1/surfaces/BTC/evaluate", json=body)).json()
    assert (len(json.dumps(body)) > INLINE_BYTES) == (points > INLINE_POINTS + 1)
    assert (answered_by == [threading.main_thread()]) == (points <= INLINE_POINTS)
    alone = (
        await fitted_client.post("/v1/surfaces/BTC/evaluate", json={"tenor_days": [45.0], "delta": ["10P"]})
    ).json()
    assert columns["vol"] == alone["vol"] * points


async def test_impossible_points_are_refused_with_a_pointer(fitted_client: httpx.AsyncClient) -> None:
    for body, pointer in (
        ({"tenor_days": [30], "strike": [100], "delta": ["25P"]}, "/strike/0"),
        ({"tenor_days": [-1], "strike": [100]}, "/tenor_days/0"),
        ({"tenor_days": [30, 40_000], "strike": [100, 100]}, "/tenor_days/1"),
        ({"expiry": ["2300-01-01T00:00:00Z"], "strike": [100]}, "/expiry/0"),
        ({"tenor_days": [30], "delta": ["2.5e1P"]}, "/delta/0"),
    ):
        answer = await fitted_client.post("/v1/surfaces/BTC/evaluate", json=body)
        assert (answer.status_code, answer.json().get("pointer")) == (422, pointer)


@pytest.mark.parametrize(
    "body",
    [
        {"tenor_days": [1e308], "strike": [100]},
        {"tenor_days": [1e-300], "strike": [100]},
        {"expiry": [0], "strike": [100]},
        {"expiry": ["9999-12-31T23:59:59Z"], "strike": [100]},
        {"tenor_days": [30], "strike": [1e-300]},
        {"tenor_days": [30], "strike": [1e300]},
        {"tenor_days": [30], "delta": [1e-300]},
        {"tenor_days": [30], "log_moneyness": [20]},
        {"tenor_days": [], "strike": []},
    ],
)
async def test_the_far_ends_are_answered_or_refused(fitted_client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    answer = await fitted_client.post("/v1/surfaces/BTC/evaluate", json={**body, "greeks": True})
    assert answer.status_code in (200, 422), answer.text


async def test_ten_thousand_points_at_once(fitted_client: httpx.AsyncClient) -> None:
    body = {"tenor_days": [30.0] * MAX_POINTS, "log_moneyness": np.linspace(-0.5, 0.5, MAX_POINTS).tolist()}
    answer = await fitted_client.post("/v1/surfaces/BTC/evaluate", json=body)
    assert answer.status_code == 200
    assert len(answer.json()["vol"]) == MAX_POINTS


@pytest.mark.parametrize("dynamics", ["none", "sticky_strike", "sticky_moneyness", {"ssr": 1.4}])
async def test_dynamics_are_taken(client: httpx.AsyncClient, store: MemoryStore, dynamics: Any) -> None:
    store.publish()
    query = {"tenor_days": [30], "delta": ["ATM"], "greeks": True, "dynamics": dynamics}
    answer = await client.post("/v1/surfaces/BTC/evaluate", json=query)
    assert answer.status_code == 200
    assert answer.json()["delta"][0] == pytest.approx(0.5286, abs=1e-4), "the smile is flat: nothing moves"


@pytest.mark.parametrize("dynamics", ["sticky", {"ssr": None}, {"ssr": 11}, {}, 1.0])
async def test_unknown_dynamics_are_refused(client: httpx.AsyncClient, store: MemoryStore, dynamics: Any) -> None:
    store.publish()
    query = {"tenor_days": [30], "delta": ["ATM"], "dynamics": dynamics}
    answer = await client.post("/v1/surfaces/BTC/evaluate", json=query)
    assert (answer.status_code, answer.json()["pointer"][:9]) == (422, "/dynamics")
