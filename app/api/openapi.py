"""The OpenAPI document: operations with every error declared, schemas from the structs that are really sent."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app.api.problem import MEDIA_TYPE, Problem
from app.venues.venue import Venue

SCHEMAS: Final = "#/components/schemas/{name}"

DESCRIPTION: Final = (
    "Keeps option volatility surfaces calibrated: chains in, arbitrage-free surfaces out. Vols, rates and errors are"
    " decimals, times ISO-8601 UTC; null says that a number is missing. Errors are RFC 9457 problem details."
)

_ERRORS: Final[Mapping[int, str]] = {
    401: "The caller is not known.",
    403: "The caller lacks the scope.",
    404: "No such venue or surface.",
    409: "The same request, sent before, has no answer yet.",
    413: "The body is too large.",
    415: "The body is in a format or an encoding that is not read.",
    422: "The input breaks a rule; pointer says where.",
    429: "The key asks more often than it may; try again after Retry-After seconds.",
    500: "Unexpected failure, logged.",
    503: "The store is away, calibration is behind or the service not ready; try again after Retry-After seconds.",
}

_KEYS: Final = {
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "bearer": {"type": "http", "scheme": "bearer"},
}
"""How a key is shown. None is needed on the service's own machine and on trusted networks."""

EVALUATE_EXAMPLE: Final = {
    "expiry": ["2026-08-28T08:00:00Z", None],
    "tenor_days": [None, 30],
    "strike": [60000, None],
    "delta": [None, "25P"],
    "log_moneyness": [None, None],
    "type": ["P", "P"],
    "greeks": True,
}

QUOTES_EXAMPLE: Final = {
    "underlying": "BTC",
    "version": "1785607084512345",
    "as_of": "2023-04-12T11:12:01.038Z",
    "slices": [
        {
            "expiry": "2023-05-26T08:00:00.000Z",
            "forward": 30172.99,
            "strike": [12000.0, 29000.0, 30000.0, 31000.0],
            "type": ["P", "P", "P", "C"],
            "log_moneyness": [-0.921909, -0.039553, -0.005652, 0.027138],
            "bid_vol": [None, 0.559986, 0.561272, 0.567962],
            "ask_vol": [1.170468, 0.571330, 0.575850, 0.578816],
            "mid_vol": [None, 0.565658, 0.568561, 0.573389],
            "model_vol": [1.049278, 0.566413, 0.568560, 0.573097],
            "used": [False, True, True, True],
            "dropped": [
                {"strike": 12000.0, "type": "P", "reason": "one_sided"},
                {"strike": 12000.0, "type": "C", "reason": "no_quote"},
            ],
        }
    ],
}
"""Some strikes of one expiry of the recorded market, rounded."""


EVENT_EXAMPLE: Final = {
    "id": "1795370037521-0-0",
    "kind": "alarm",
    "underlying": "BTC",
    "at": "2026-11-22T17:53:57.521Z",
    "version": "1795370037521825",
    "message": "drift: ewma of the 1w level is 4.36, beyond 4.1",
    "values": {"monitor": "ewma", "tenor": "1w", "series": "level", "statistic": 4.362300997582712, "limit": 4.1},
}
"""What the recorded market said half an hour after the inflation figures of 2023-04-12."""


def reference(struct: str) -> dict[str, Any]:
    """Return a reference to a schema of the document."""
    return {"$ref": SCHEMAS.format(name=struct)}


def operation(
    operation_id: str,
    summary: str,
    answers: Mapping[int, tuple[str, str | None]],
    errors: Sequence[int],
    *,
    description: str = "",
    request_body: Mapping[str, Any] | None = None,
    media_type: str = "application/json",
    example: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the arguments of a route: ``answers`` maps a status to its sentence and the struct that is sent.

    ``example`` is one of the first answer.
    """
    responses: dict[int | str, dict[str, Any]] = {}
    for status, (sentence, struct) in answers.items():
        content = {media_type: {"schema": reference(struct) if struct else {"type": "string"}}}
        responses[status] = {"description": sentence} | ({"content": content} if status != 304 else {})
    if example is not None:
        responses[min(answers)]["content"][media_type]["example"] = example
    for status in (*errors, 500):
        responses[status] = {"description": _ERRORS[status], "content": {MEDIA_TYPE: {"schema": reference("Problem")}}}
        if status in (409, 429, 503):
            responses[status]["headers"] = {"Retry-After": {"schema": {"type": "integer"}}}
    return {
        "operation_id": operation_id,
        "summary": summary,
        "description": description or summary,
        "status_code": min(answers),
        "responses": responses,
        "openapi_extra": {"requestBody": dict(request_body)} if request_body else {},
    }


def chain_operation(venues: Mapping[str, Venue], body_formats: Mapping[tuple[str, str], Venue]) -> dict[str, Any]:
    """Return the operation that takes chains, in any of the formats of ``venues`` and of ``body_formats``."""
    formats = [{**schema_of(venue), "title": name} for name, venue in venues.items()]
    examples = {name: {"value": msgspec.json.decode(venue.example)} for name, venue in venues.items()}
    content: dict[str, Any] = {"application/json": {"schema": {"anyOf": formats}, "examples": examples}}
    for (_, media_type), each in body_formats.items():
        content[media_type] = {"schema": schema_of(each), "example": msgspec.json.decode(each.example)}
    return operation(
        "submitChain",
        "Submit an option chain",
        {
            200: ("A duplicate or an older chain; with wait_ms, the surface.", None),
            202: ("The chain waits for its fit.", "ChainAccepted"),
        },
        (401, 403, 404, 409, 413, 415, 422, 429, 503),
        description=f"One chain in the format of the venue, unchanged. Venues: {', '.join(sorted(venues))}.",
        request_body={"required": True, "content": content},
    )


def schema_of(venue: Venue) -> dict[str, Any]:
    """Return the schema of a venue's body, a reference where it has a name."""
    (schema,), _ = msgspec.json.schema_components([venue.schema], ref_template=SCHEMAS)
    return schema


_READ: Final = (401, 403, 429, 503)

LIST: Final = operation("listSurfaces", "List the newest surfaces", {200: ("A line a surface.", "SurfaceList")}, _READ)
SURFACE: Final = operation(
    "getSurface",
    "Get the newest surface, or the one that stood at a time",
    {200: ("The surface; its ETag is the version.", "SurfaceMessage"), 304: ("Still the same version.", None)},
    (*_READ, 404, 422),
)
HISTORY: Final = operation(
    "getHistory",
    "Get kept surfaces, newest first",
    {200: ("A page; next_cursor leads to the next.", "SurfaceHistory")},
    (*_READ, 404, 422),
)
CHAIN: Final = operation(
    "getChain",
    "Get the chain that a surface was fitted to",
    {200: ("In the native format; its ETag is the version of the surface.", "NativeChain")},
    (*_READ, 404, 422),
)
QUOTES: Final = operation(
    "getQuotes",
    "Get the quotes a surface was fitted to, as vols beside the model's",
    {
        200: ("Columns for each expiry; its ETag is the version.", "SurfaceQuotes"),
        304: ("Still the same version.", None),
    },
    (*_READ, 404, 422),
    description="Of the newest surface, of the one that stood at a time, or of a version. 404 once its chain is no"
    " longer kept.",
    example=QUOTES_EXAMPLE,
)
EVENTS: Final = operation(
    "listEvents",
    "Get what happened, newest first",
    {200: ("A page; next_cursor leads to the next.", "EventPage")},
    (*_READ, 422),
    description="Shifts of regime, verdicts of the gate, alarms, rolls, dead letters, failures and promotions: each"
    " said once, when it happened. Of the underlyings that the key is for.",
    example={"next_cursor": EVENT_EXAMPLE["id"], "events": [EVENT_EXAMPLE]},
)
EVALUATE: Final = operation(
    "evaluateSurface",
    "Get vols, prices and greeks at up to 10,000 points",
    {200: ("Columns of the request's length.", "EvaluateAnswer")},
    (*_READ, 404, 413, 415, 422),
    description="Who accepts application/msgpack gets the same object as msgpack, less than half the bytes of JSON.",
    request_body={
        "required": True,
        "content": {"application/json": {"schema": reference("EvaluateRequest"), "example": EVALUATE_EXAMPLE}},
    },
)
LIVEZ: Final = operation("getLive", "Is the process up?", {200: ("It is.", "Live")}, (503,))
READYZ: Final = operation("getReady", "Does the store answer, and is a worker warm?", {200: ("Both.", "Ready")}, (503,))
METRICS: Final = operation(
    "getMetrics",
    "Metrics for Prometheus",
    {200: ("Text format 0.0.4.", None)},
    (401, 403, 429),
    media_type="text/plain; version=0.0.4; charset=utf-8",
)


def openapi_document(app: FastAPI, venues: Sequence[Venue], structs: Sequence[type]) -> dict[str, Any]:
    """Return the document of ``app`` with the schemas of ``structs``, of the ``venues``' bodies and of Problem."""
    document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    types = [Problem, *structs, *(venue.schema for venue in venues)]
    _, components = msgspec.json.schema_components(types, ref_template=SCHEMAS)
    document.setdefault("components", {})["schemas"] = components
    document["components"]["securitySchemes"] = _KEYS
    document["security"] = [{name: []} for name in _KEYS] + [{}]
    submit = document["paths"]["/v1/chains/{venue}"]["post"]
    submit["responses"]["200"]["content"] = {
        "application/json": {"schema": {"anyOf": [reference("ChainAccepted"), reference("SurfaceMessage")]}}
    }
    return document
