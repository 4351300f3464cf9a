"""POST /v1/surfaces/{underlying}/evaluate: columns of points in, columns of vols, prices and greeks out."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
import numpy as np
from anyio import to_thread
from fastapi import APIRouter, Depends
from msgspec import Meta
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response

from app.api.access import requires
from app.api.body import json_body
from app.api.context import ApiContext, encode_json
from app.api.openapi import EVALUATE
from app.api.problem import InvalidRequest
from app.api.surfaces import newest_surface
from app.quant.smile_dynamics import STICKY_MONEYNESS, STICKY_STRIKE
from app.service.access_key import Scope
from app.service.evaluate import evaluate
from app.service.iso_time import ms_of
from app.service.points import MAX_POINTS, Points

T = TypeVar("T")

MAX_TIME_MS: Final = 99_999_999_999_999
"""The year 5138."""

INLINE_BYTES: Final = 8 * 1024
"""A body above this takes a tenth of a millisecond or more to read: it leaves the event loop unread."""

INLINE_POINTS: Final = 64
"""More points than this take two milliseconds to answer where they are hardest, by delta beyond the last expiry:
they leave the event loop. To hand fewer to a thread takes longer than to answer them."""

JSON: Final = "application/json"
MSGPACK: Final = "application/msgpack"
"""The form of answer for those who accept it: less than half the bytes, written in a third of the time."""

PLACE: Final = re.compile(r"`\$(?P<path>(?:\.\w+|\[[0-9]+\])+)`")
"""How the decoder names a place: $.column[row]."""


class SkewStickiness(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """At the money d vol/d ln F = ssr * d vol/d ln K: 1 is sticky strike, 0 sticky moneyness, above 1 a local vol."""

    ssr: Annotated[float, Meta(ge=-10.0, le=10.0)]


Dynamics = Annotated[
    Literal["none", "sticky_strike", "sticky_moneyness"] | SkewStickiness,
    Meta(
        description="How the smile follows the forward in delta, delta_net, gamma and vanna. none and sticky_strike:"
        " each strike keeps its vol (the greeks of the point). sticky_moneyness: each ln(strike/forward) keeps its vol,"
        " so delta gains vega * (-d vol/d ln(strike/forward)) / forward. ssr: in between or beyond, vol(K; F) ="
        " smile(ln(K/F0) - (1 - ssr) ln(F/F0)). Vega, theta and volga are those of the point."
    ),
]

STICKINESS: Final = {"none": None, "sticky_strike": STICKY_STRIKE, "sticky_moneyness": STICKY_MONEYNESS}


class EvaluateRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Columns of one length; a column left out is all null. Each point names one time and one place."""

    expiry: list[str | Annotated[int, Meta(ge=0, le=MAX_TIME_MS)] | None] | None = None
    tenor_days: list[float | None] | None = None
    strike: list[float | None] | None = None
    delta: list[str | float | None] | None = None
    log_moneyness: list[float | None] | None = None
    type: list[Literal["C", "P"] | None] | None = None
    greeks: bool = False
    dynamics: Dynamics = "none"


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


IS_CALL: Final = {"C": True, "P": False, None: None}

COLUMNS: Final = ("expiry", "tenor_days", "strike", "delta", "log_moneyness", "type")

_encoder: Final = msgspec.json.Encoder()
_pack: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.json.Decoder(EvaluateRequest).decode


def evaluation_router(context: ApiContext) -> APIRouter:
    """Return the route that answers queries."""
    router = APIRouter(tags=["surfaces"], dependencies=[Depends(requires(Scope.READ, context.services.gate))])

    @router.post("/v1/surfaces/{underlying}/evaluate", **EVALUATE)
    async def evaluate_points(underlying: str, request: Request) -> Response:
        body = await json_body(request, context.services.limits.max_body_bytes, context.bodies)
        surface = await newest_surface(context, underlying)
        media_type = MSGPACK if MSGPACK in request.headers.get("accept", "") else JSON
        write = packed_columns if media_type == MSGPACK else json_columns

        def answer(points: Points) -> bytes:
            head = {"version": str(surface.published.version), "as_of": surface.document.as_of}
            return write(head, evaluate(surface.surface, points))

        if len(body) > INLINE_BYTES:
            content = await to_thread.run_sync(lambda: answer(points_of(body)), limiter=context.parsing)
        elif len(points := points_of(body)) > INLINE_POINTS:
            content = await to_thread.run_sync(answer, points, limiter=context.parsing)
        else:
            content = answer(points)
        return Response(content, media_type=media_type)

    return router


def points_of(body: bytes) -> Points:
    """Return the points in ``body``. Raises InvalidRequest with a pointer to what is wrong."""
    try:
        asked = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"not a query: {error}", _pointer(str(error))) from error
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
        expiry_ms=_instants(whole(asked.expiry)),
        tenor_days=whole(asked.tenor_days),
        strike=whole(asked.strike),
        delta=whole(asked.delta),
        log_moneyness=whole(asked.log_moneyness),
        is_call=[IS_CALL[side] for side in whole(asked.type)],
        greeks=asked.greeks,
        stickiness=asked.dynamics.ssr if isinstance(asked.dynamics, SkewStickiness) else STICKINESS[asked.dynamics],
    )


def json_columns(head: Mapping[str, str], columns: Mapping[str, NDArray[Any]]) -> bytes:
    """Return the JSON object ``head`` with ``columns`` added, null for what is not finite.

    Column by column: the numbers of one are freed before those of the next are made, and between them other threads
    get their turn.
    """
    answer = bytearray(encode_json(head)[:-1])
    for name, values in columns.items():
        answer += b',"%b":' % name.encode()
        _encoder.encode_into(values.tolist(), answer, -1)
    answer += b"}"
    return bytes(answer)


def packed_columns(head: Mapping[str, str], columns: Mapping[str, NDArray[Any]]) -> bytes:
    """Return what :func:`json_columns` says as msgpack, column by column too."""
    return _pack({**head, **{name: msgspec.Raw(_pack(_nil_for_nan(values))) for name, values in columns.items()}})


def _nil_for_nan(values: NDArray[Any]) -> list[Any]:
    listed: list[Any] = values.tolist()
    if values.dtype != np.float64 or np.isfinite(values).all():
        return listed
    return [value if math.isfinite(value) else None for value in listed]


def _pointer(message: str) -> str:
    place = PLACE.search(message)
    return "".join(f"/{step}" for step in re.findall(r"\w+", place["path"])) if place else ""


def _instants(asked: Sequence[str | int | None]) -> list[int | None]:
    """Return milliseconds for times of either form; each distinct one is read once, for a chain has few expiries."""
    read: dict[str | int | None, int | None] = {}
    for time in dict.fromkeys(asked):
        try:
            read[time] = ms_of(time) if isinstance(time, str) else time
        except ValueError as error:
            reason = f"expiry {time!r} is not ISO-8601 with an offset: {error}"
            raise InvalidRequest(reason, f"/expiry/{asked.index(time)}") from error
    return [read[time] for time in asked]
