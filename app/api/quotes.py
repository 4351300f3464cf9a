"""GET /v1/surfaces/{underlying}/quotes: the quotes a surface was fitted to, as vols beside the model's."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Annotated, Final

from anyio import to_thread
from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from app.api.access import requires
from app.api.compression import negotiated
from app.api.context import ApiContext, encode_json
from app.api.live_surface import live
from app.api.openapi import QUOTES
from app.api.problem import InvalidRequest, NoSuchResource
from app.api.surfaces import CURSOR, REVALIDATE, Instant, names_etag, newest_surface, surface_at
from app.quant.chain import OptionChain
from app.service.access_key import Scope
from app.service.ports import PublishedSurface
from app.service.surface_quotes import judged_by_previous, surface_quotes

KEPT_BYTES: Final = 16 * 1024 * 1024
"""Answers kept in memory: some hundred versions of a crypto chain, five of the largest chain that is taken."""


class QuoteAnswers:
    """Answers by surface; a version never changes, so neither does its answer.

    One is made at a time: whoever asks for the same surface meanwhile finds it made.
    """

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self._kept: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._room = kept_bytes
        self._one = asyncio.Lock()

    async def of(self, surface: PublishedSurface, make: Callable[[], Awaitable[bytes]]) -> bytes:
        """Return the kept answer about ``surface``, or ``make`` it."""
        name = surface.underlying, surface.version
        if found := self._find(name):
            return found
        async with self._one:
            if found := self._find(name):
                return found
            made = self._kept[name] = await make()
            self._room -= len(made)
            while self._room < 0:
                _, oldest = self._kept.popitem(last=False)
                self._room += len(oldest)
            return made

    def _find(self, name: tuple[str, int]) -> bytes | None:
        if name in self._kept:
            self._kept.move_to_end(name)
        return self._kept.get(name)


def quotes_router(context: ApiContext) -> APIRouter:
    """Return the route that shows what a surface was fitted to."""
    router = APIRouter(tags=["surfaces"], dependencies=[Depends(requires(Scope.READ, context.services.gate))])
    answers = QuoteAnswers()

    @router.get("/v1/surfaces/{underlying}/quotes", **QUOTES)
    async def get_quotes(
        underlying: str,
        request: Request,
        at: Annotated[Instant | None, Query()] = None,
        version: Annotated[str | None, Query(pattern=CURSOR)] = None,
    ) -> Response:
        published = await _asked_for(context, underlying, at, version)
        headers = {"ETag": f'"{published.version}"', "Cache-Control": REVALIDATE}
        if names_etag(request.headers.get("if-none-match", ""), headers["ETag"]):
            return Response(status_code=304, headers=headers)
        body = await answers.of(published, lambda: _answer(context, published))
        return await negotiated(request, context, body, headers)

    return router


async def _asked_for(context: ApiContext, underlying: str, at: str | None, version: str | None) -> PublishedSurface:
    if at is not None and version is not None:
        raise InvalidRequest(f"at={at!r} and version={version!r}: a surface is named by one of them")
    if at is not None:
        return await surface_at(context, underlying, at)
    if version is not None:
        return await _of_version(context, underlying, int(version))
    return (await newest_surface(context, underlying)).published


async def _of_version(context: ApiContext, underlying: str, version: int) -> PublishedSurface:
    known = context.hub.newest(underlying)
    if known and known.published.version == version:
        return known.published
    with context.metrics.store_call("history"):
        found = await context.services.reader.history(underlying, before=version + 1, limit=1)
    if not found or found[0].version != version:
        raise NoSuchResource(f"no surface of {underlying!r} with version {version} is kept")
    return found[0]


async def _answer(context: ApiContext, published: PublishedSurface) -> bytes:
    archive, decode = context.services.archive, context.services.decode_chain
    if archive is None or decode is None:
        raise NoSuchResource("this service keeps no chains")
    underlying, version = published.underlying, published.version
    with context.metrics.store_call("chain"):
        kept = await archive.of_version(underlying, version)
    if kept is None:
        raise NoSuchResource(f"the chain that surface {version} of {underlying!r} was fitted to is no longer kept")
    document = live(published).document
    previous = None
    if judged_by_previous(document):
        previous = live(await _of_version(context, underlying, published.prev_version)).document

    def make() -> bytes:
        chain: OptionChain = decode(kept.chain)
        return encode_json(surface_quotes(document, version, chain, previous))

    return await to_thread.run_sync(make, limiter=context.parsing)
