"""Chains in: POST /v1/chains/{venue}, one chain a request, and the WebSocket of the same path, one chain a message."""

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from http import HTTPStatus
from typing import Annotated, Any, Final

import msgspec
from anyio import to_thread
from fastapi import APIRouter, Depends, Header, Query
from fastapi.routing import APIRoute
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from app.api import idempotency
from app.api.access import Caller, requires
from app.api.body import JSON_TYPES, bare_media_type, check_media_type, json_body, media_type_of
from app.api.connection import accepted, receive_message, send_message
from app.api.context import ApiContext, encode_json, json_response
from app.api.live_surface import surface_message
from app.api.openapi import chain_operation
from app.api.problem import NoSuchResource, NotAllowed, TooManyRequests, UnsupportedBody, problem_of
from app.quant.chain import OptionChain
from app.quant.errors import InvalidChain
from app.service.access_key import Scope
from app.service.iso_time import iso_utc
from app.service.ports import CorruptPayload, StoreUnavailable, SubmitOutcome
from app.service.submit import submit_chain
from app.venues.venue import Venue

NOTHING_TO_FIT: Final = (SubmitOutcome.DUPLICATE, SubmitOutcome.STALE)

PARSED_AT_ONCE_BYTES: Final = 512 * 1024
"""Bodies up to this are parsed on the event loop: some 5,000 quotes, in at most 5 ms. The way to a thread and back
takes as long as parsing a few hundred, and the whole chain of one underlying is below this."""


class ChainAccepted(msgspec.Struct, frozen=True):
    """What became of a chain."""

    underlying: str
    as_of: str
    sequence: int
    status: SubmitOutcome


def chains_router(context: ApiContext) -> APIRouter:
    """Return the routes that take chains."""
    limits = context.services.limits
    may_ingest = requires(Scope.INGEST, context.services.gate)
    router = APIRouter(tags=["chains"], route_class=_straight_to_endpoint(may_ingest))

    @router.post("/v1/chains/{venue}", **chain_operation(context.services.venues, context.services.body_formats))
    async def submit(
        venue: str,
        request: Request,
        caller: Annotated[Caller, Depends(may_ingest)],
        wait_ms: Annotated[int, Query(ge=0, le=limits.max_wait_ms)] = 0,
        idempotency_key: Annotated[str | None, Header(pattern=idempotency.PATTERN)] = None,
    ) -> Response:
        format_ = _format(context, venue, media_type_of(request))
        body = await json_body(request, limits.max_body_bytes, context.bodies)

        async def taken() -> tuple[HTTPStatus, bytes]:
            return await take_chain(context, caller, format_, body, wait_ms)

        memory = context.services.answers
        if idempotency_key is None or memory is None:
            status, answer = await taken()
        else:
            fingerprint = idempotency.fingerprint_of(venue, media_type_of(request), str(wait_ms), body)
            status, answer = await idempotency.answered_once(memory, caller, idempotency_key, fingerprint, taken)
        return json_response(answer, status)

    @router.websocket("/v1/chains/{venue}")
    async def submit_many(socket: WebSocket, venue: str, wait_ms: int = 0, content_type: str = JSON_TYPES[0]) -> None:
        # A browser cannot set the handshake's headers, so the messages' type comes in the query.
        media_type = bare_media_type(content_type.replace(" ", "+"))
        async with accepted(socket, context, Scope.INGEST) as caller:
            async for body in _messages(socket, limits.max_body_bytes):
                wait = min(wait_ms, limits.max_wait_ms)
                answer = await _answer(context, caller, (venue, media_type), body, wait)
                await send_message(socket, answer.decode(), limits.ws_send_timeout_s)

    return router


def _straight_to_endpoint(may_ingest: Callable[[HTTPConnection], Awaitable[Caller]]) -> type[APIRoute]:
    """Return a route that calls its endpoint itself where a request leaves out all that may be left out.

    Most chains come so, and solving the parameters takes the framework as long as all its routing.
    """

    class StraightRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            solved = super().get_route_handler()

            async def handle(request: Request) -> Response:
                if request.scope["query_string"] or idempotency.HEADER in request.headers:
                    return await solved(request)
                caller = await may_ingest(request)
                answer: Response = await self.endpoint(request.path_params["venue"], request, caller)
                return answer

            return handle

    return StraightRoute


async def take_chain(
    context: ApiContext, caller: Caller, venue: Venue, body: bytes, wait_ms: int
) -> tuple[HTTPStatus, bytes]:
    """Submit the chain in ``body`` and return status and JSON of the answer.

    With ``wait_ms`` the answer is the surface of this chain or of a newer one, if it is published in time. Raises
    InvalidChain, which is counted, NotAllowed for an underlying that is not the caller's, and StoreUnavailable.
    """
    services = context.services
    now_ms = services.clock()

    def read() -> tuple[OptionChain, bytes]:
        chain = venue.parse(body, received_ms=now_ms)
        return chain, services.encode_chain(chain)

    try:
        small = len(body) <= PARSED_AT_ONCE_BYTES
        chain, encoded = read() if small else await to_thread.run_sync(read, limiter=context.parsing)
        caller.check_underlying(chain.underlying)
        with context.metrics.store_call("submit"):
            outcome = await submit_chain(chain, intake=services.intake, encode=lambda _: encoded, now_ms=now_ms)
    except InvalidChain:
        await _count_invalid(context, venue.name)
        raise
    if wait_ms > 0:
        fitted = await context.hub.wait_for(chain.underlying, chain.as_of_ms, chain.sequence, wait_ms / 1000.0)
        if fitted:
            return HTTPStatus.OK, surface_message(fitted.published, context.freshness())
    status = HTTPStatus.OK if outcome in NOTHING_TO_FIT else HTTPStatus.ACCEPTED
    return status, encode_json(ChainAccepted(chain.underlying, iso_utc(chain.as_of_ms), chain.sequence, outcome))


async def _answer(context: ApiContext, caller: Caller, format_: tuple[str, str], body: bytes, wait_ms: int) -> bytes:
    venue, media_type = format_
    try:
        check_media_type(media_type)
        await context.services.gate.check_known(caller)
        await context.services.gate.pay(caller)
        _, answer = await take_chain(context, caller, _format(context, venue, media_type), body, wait_ms)
    except (InvalidChain, NoSuchResource, NotAllowed, TooManyRequests, StoreUnavailable, UnsupportedBody) as error:
        return encode_json(problem_of(error))
    return answer


async def _messages(socket: WebSocket, max_bytes: int) -> AsyncIterator[bytes]:
    while True:
        yield await receive_message(socket, max_bytes)


async def _count_invalid(context: ApiContext, venue: str) -> None:
    try:
        with context.metrics.store_call("count_invalid"):
            await context.services.intake.count_invalid(venue)
    except (StoreUnavailable, CorruptPayload):  # counted; the client must hear about its body, not about the store
        return


def _format(context: ApiContext, venue: str, media_type: str) -> Venue:
    """Return the reader of a venue's bodies of this type."""
    return context.services.body_formats.get((venue, media_type)) or _venue(context, venue)


def _venue(context: ApiContext, name: str) -> Venue:
    venue = context.services.venues.get(name)
    if venue is None:
        known = ", ".join(sorted(context.services.venues))
        raise NoSuchResource(f"venue {name!r} is not known: venues are {known}")
    return venue
