"""What happened: GET /v1/events, newest first."""

from typing import Annotated, Final
from urllib.parse import urlencode

import msgspec
from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from app.api.access import Caller, requires
from app.api.compression import negotiated
from app.api.context import ApiContext, encode_json
from app.api.openapi import EVENTS
from app.service.access_key import Scope
from app.service.event import ID, EventKind, EventMessage, event_message

MAX_EVENT_PAGE: Final = 500
"""Events in one answer: some 200 kB."""


class EventPage(msgspec.Struct, frozen=True):
    """Kept events, newest first; ``next_cursor`` is null on the last page."""

    next_cursor: str | None
    events: list[EventMessage]


def events_router(context: ApiContext) -> APIRouter:
    """Return the route that lists events."""
    may_read = Depends(requires(Scope.READ, context.services.gate))
    router = APIRouter(tags=["events"], dependencies=[may_read])

    @router.get("/v1/events", **EVENTS)
    async def list_events(
        request: Request,
        caller: Annotated[Caller, may_read],
        underlying: Annotated[str | None, Query()] = None,
        kind: Annotated[EventKind | None, Query()] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_EVENT_PAGE)] = 50,
        cursor: Annotated[str | None, Query(pattern=f"^{ID}$")] = None,
    ) -> Response:
        if underlying is not None:
            caller.check_underlying(underlying)
        wanted = caller.underlyings if underlying is None else {underlying}
        with context.metrics.store_call("events"):
            found = await context.services.events.page(before=cursor, limit=limit, underlyings=wanted, kind=kind)
        following = found[-1].id if len(found) == limit else None
        headers = {}
        if following:
            asked = {"underlying": underlying, "kind": kind, "limit": limit, "cursor": following}
            query = urlencode({name: value for name, value in asked.items() if value is not None})
            headers["Link"] = f'</v1/events?{query}>; rel="next"'
        page = EventPage(following, [event_message(event) for event in found])
        return await negotiated(request, context, encode_json(page), headers)

    return router
