"""POST /v1/surfaces/{underlying}/evaluate: columns of points in, columns of vols, prices and greeks out."""

from collections.abc import Sequence
from typing import Any, Final, Literal, TypeVar

import msgspec
from anyio import to_thread
from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from app.api.access import Scope, requires
from app.api.body import json_body
from app.api.context import ApiContext, encode_json, json_response
from app.api.openapi import EVALUATE
from app.api.problem import InvalidRequest
from app.api.surfaces import newest_surface
from app.service.evaluate import MAX_POINTS, Points, evaluate
from app.service.iso_time import ms_of

T = TypeVar("T")


class EvaluateRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Columns of one length; a column left out is all null. Each point names one time and one place."""

    expiry: list[str | int | None] | None = None
    tenor_days: list[float | None] | None = None
    strike: list[float | None] | None = None
    delta: list[str | float | None] | None = None
    log_moneyness: list[float | None] | None = None
    type: list[Literal["C", "P"] | None] | None = None
    greeks: bool = False


class EvaluateAnswer(msgspec.Struct, frozen=True):
    """Columns of the request's length; null where a point has no answer, ``status`` says why. Greeks if asked for."""

    version: str
    as_of: str
    status: list[str]
    strike: list[float | None]
    forward: list[float | None]
    t: list[float | None]
    vol: list[float | None]
    vol_low: list[float | None]
    vol_high: list[float | None]
    price_coin: list[float | None]
    price_quote: list[float | None]
    delta: list[float | None] | None = None
    delta_net: list[float | None] | None = None
    gamma: list[float | None] | None = None
    vega: list[float | None] | None = None
    theta: list[float | None] | None = None
    vanna: list[float | None] | None = None
    volga: list[float | None] | None = None


COLUMNS: Final = ("expiry", "tenor_days", "strike", "delta", "log_moneyness", "type")

_decode: Final = msgspec.json.Decoder(EvaluateRequest).decode


def evaluation_router(context: ApiContext) -> APIRouter:
    """Return the route that answers queries."""
    router = APIRouter(tags=["surfaces"], dependencies=[Depends(requires(Scope.READ, context.services.scopes_of))])

    @router.post("/v1/surfaces/{underlying}/evaluate", **EVALUATE)
    async def evaluate_points(underlying: str, request: Request) -> Response:
        body = await json_body(request, context.services.limits.max_body_bytes)
        surface = await newest_surface(context, underlying)

        def answer() -> bytes:
            columns: dict[str, Any] = evaluate(surface.surface, points_of(body))
            version = str(surface.published.version)
            return encode_json({"version": version, "as_of": surface.document.as_of, **columns})

        return json_response(await to_thread.run_sync(answer, limiter=context.parsing))

    return router


def points_of(body: bytes) -> Points:
    """Return the points in ``body``. Raises InvalidRequest with a pointer to what is wrong."""
    try:
        asked = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"not a query: {error}") from error
    columns = {name: column for name in COLUMNS if (column := getattr(asked, name)) is not None}
    lengths = {name: len(column) for name, column in columns.items()}
    if not lengths:
        raise InvalidRequest(f"a query has at least one of the columns {', '.join(COLUMNS)}")
    length = next(iter(lengths.values()))
    for name, other in lengths.items():
        if other != length:
            raise InvalidRequest(f"columns must have one length, got {lengths}", f"/{name}")
    if length > MAX_POINTS:
        raise InvalidRequest(f"{length} points: at most {MAX_POINTS} in one query")

    def whole(column: Sequence[T] | None) -> Sequence[T | None]:
        return [None] * length if column is None else column

    return Points(
        expiry_ms=[_instant(value, row) for row, value in enumerate(whole(asked.expiry))],
        tenor_days=whole(asked.tenor_days),
        strike=whole(asked.strike),
        delta=whole(asked.delta),
        log_moneyness=whole(asked.log_moneyness),
        is_call=[None if side is None else side == "C" for side in whole(asked.type)],
        greeks=asked.greeks,
    )


def _instant(value: str | int | None, row: int) -> int | None:
    if not isinstance(value, str):
        return value
    try:
        return ms_of(value)
    except ValueError as error:
        raise InvalidRequest(f"expiry {value!r} is not ISO-8601 with an offset: {error}", f"/expiry/{row}") from error
