"""Surfaces out: the newest, as one stood at a time, the kept ones, and a list of all."""

import re
from collections.abc import Sequence
from typing import Annotated, Any, Final
from urllib.parse import quote

import msgspec
from fastapi import APIRouter, Depends, Query
from pydantic import WithJsonSchema
from starlette.requests import Request
from starlette.responses import Response

from app.api.access import Caller, requires
from app.api.compression import negotiated
from app.api.context import ApiContext, encode_json, json_response
from app.api.fleet_status import counts_of, failure_after, fleet_status
from app.api.live_surface import LiveSurface, live, surface_message
from app.api.openapi import HISTORY, LIST, SURFACE
from app.api.problem import InvalidRequest, NoSuchResource
from app.api.surface_summary import SurfaceSummary, summary_of
from app.service.access_key import Scope
from app.service.document import SurfaceMessage
from app.service.iso_time import ms_of
from app.service.ports import PublishedSurface

REVALIDATE: Final = "no-cache"
"""A cache may keep a surface, and must ask each time whether it still is the newest."""


_INSTANT_SCHEMA: Final[dict[str, Any]] = {
    "anyOf": [
        {"type": "string", "format": "date-time"},
        {"type": "integer", "minimum": 0, "maximum": 99_999_999_999_999},
    ]
}

Instant = Annotated[str, WithJsonSchema(_INSTANT_SCHEMA)]
"""ISO-8601 with an offset, or milliseconds UTC."""

MILLISECONDS: Final = r"[0-9]{1,14}"
CURSOR: Final = r"^[0-9]{1,19}$"

MAX_HISTORY_PAGE: Final = 500
"""Surfaces in one answer, whatever is kept: some megabytes."""


class SurfaceList(msgspec.Struct, frozen=True):
    """Every underlying that has a surface, by name."""

    surfaces: list[SurfaceSummary]


class SurfaceHistory(msgspec.Struct, frozen=True):
    """Kept surfaces, newest first; ``next_cursor`` is null on the last page."""

    underlying: str
    next_cursor: str | None
    surfaces: list[SurfaceMessage]


def surfaces_router(context: ApiContext) -> APIRouter:
    """Return the routes that read surfaces."""
    may_read = Depends(requires(Scope.READ, context.services.gate))
    router = APIRouter(tags=["surfaces"], dependencies=[may_read])
    most = min(context.services.limits.history_limit, MAX_HISTORY_PAGE)

    @router.get("/v1/surfaces", **LIST)
    async def list_surfaces(caller: Annotated[Caller, may_read]) -> Response:
        freshness = context.freshness()
        surfaces = [each for each in await _all(context) if caller.sees(each.published.underlying)]
        status = await fleet_status(context)
        counts = {each.underlying: each for each in status.underlyings} if status else {}
        failures = [failure_after(counts.get(s.published.underlying), s.published.as_of_ms) for s in surfaces]
        summaries = [summary_of(s, freshness, failure) for s, failure in zip(surfaces, failures, strict=True)]
        return json_response(encode_json(SurfaceList(summaries)))

    @router.get("/v1/surfaces/{underlying}", **SURFACE)
    async def get_surface(underlying: str, request: Request, at: Annotated[Instant | None, Query()] = None) -> Response:
        if at is None:
            published = (await newest_surface(context, underlying)).published
        else:
            published = await surface_at(context, underlying, at)
        headers = {"ETag": f'"{published.version}"', "Cache-Control": REVALIDATE}
        if names_etag(request.headers.get("if-none-match", ""), headers["ETag"]):
            return Response(status_code=304, headers=headers)
        return await negotiated(request, context, surface_message(published, context.freshness()), headers)

    @router.get("/v1/surfaces/{underlying}/history", **HISTORY)
    async def get_history(
        underlying: str,
        request: Request,
        limit: Annotated[int, Query(ge=1, le=most)] = min(50, most),
        cursor: Annotated[str | None, Query(pattern=CURSOR)] = None,
    ) -> Response:
        before = None if cursor is None else int(cursor)
        with context.metrics.store_call("history"):
            kept = await context.services.reader.history(underlying, before=before, limit=limit)
        if not kept and before is None:
            raise await _no_surface(context, underlying)
        following = str(kept[-1].version) if len(kept) == limit else None
        headers = {}
        if following:
            headers["Link"] = f'<{_history_path(underlying)}?limit={limit}&cursor={following}>; rel="next"'
        return await negotiated(request, context, _page(context, underlying, kept, following), headers)

    return router


async def newest_surface(context: ApiContext, underlying: str) -> LiveSurface:
    """Return the newest surface from memory, else from the store. Raises NoSuchResource."""
    known = context.hub.newest(underlying)
    if known:
        return known
    with context.metrics.store_call("newest"):
        published = await context.services.reader.newest(underlying)
    if published is None:
        raise await _no_surface(context, underlying)
    return live(published)


async def _all(context: ApiContext) -> Sequence[LiveSurface]:
    if context.hub.loaded:
        return context.hub.surfaces()
    reader = context.services.reader
    with context.metrics.store_call("list"):
        found = [await reader.newest(underlying) for underlying in await reader.underlyings()]
    return [live(published) for published in found if published]


async def surface_at(context: ApiContext, underlying: str, at: str) -> PublishedSurface:
    """Return the surface that stood at a time. Raises InvalidRequest and NoSuchResource."""
    at_ms = instant_ms(at)
    known = context.hub.newest(underlying)
    if known and known.published.as_of_ms <= at_ms:
        return known.published
    with context.metrics.store_call("as_of"):
        published = await context.services.reader.as_of(underlying, at_ms)
    if published is None:
        raise NoSuchResource(f"no surface of {underlying!r} as of {at} or earlier is kept")
    return published


def _history_path(underlying: str) -> str:
    return f"/v1/surfaces/{quote(underlying, safe='')}/history"


def _page(context: ApiContext, underlying: str, kept: Sequence[PublishedSurface], following: str | None) -> bytes:
    freshness = context.freshness()
    surfaces = b",".join(surface_message(published, freshness) for published in kept)
    name, cursor = encode_json(underlying), encode_json(following)
    return b'{"underlying":%b,"next_cursor":%b,"surfaces":[%b]}' % (name, cursor, surfaces)


async def _no_surface(context: ApiContext, underlying: str) -> NoSuchResource:
    failure = failure_after(counts_of(await fleet_status(context), underlying), as_of_ms=0)
    return NoSuchResource(f"there is no surface of {underlying!r}" + (f"; {failure}" if failure else ""))


def names_etag(if_none_match: str, etag: str) -> bool:
    """Return True where the header names ``etag``, compared weakly (RFC 9110, 13.1.2)."""
    asked = [each.strip().removeprefix("W/") for each in if_none_match.split(",")]
    return etag in asked or asked == ["*"]


def instant_ms(text: str) -> int:
    """Return the time in ``text``, ISO-8601 with an offset or milliseconds UTC. Raises InvalidRequest."""
    if re.fullmatch(MILLISECONDS, text):
        return int(text)
    try:
        # A plus sign in a query stands for a space: an offset written by hand arrives so.
        return ms_of(text.replace(" ", "+"))
    except ValueError as error:
        raise InvalidRequest(f"at={text!r} is neither ISO-8601 with an offset nor milliseconds UTC: {error}") from error
