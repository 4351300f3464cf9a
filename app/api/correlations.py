"""GET /v1/correlations: how the surfaces of several underlyings move together, from what is recorded of them."""

from typing import Annotated, Final

from anyio import to_thread
from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from app.api.access import Caller, requires
from app.api.compression import negotiated
from app.api.context import ApiContext, encode_json
from app.api.correlations_example import CORRELATIONS_EXAMPLE
from app.api.openapi import operation
from app.api.problem import InvalidRequest, NoSuchResource
from app.api.surfaces import newest_surface
from app.service.access_key import Scope
from app.service.correlations import DEFAULT_QUERY, CorrelationQuery, correlations_of
from app.service.factor_record import SLOT_MS

MOST_UNDERLYINGS: Final = 8
"""In one answer: 40 factors, 1,600 correlations."""
_NAME: Final = r"[A-Z0-9][A-Z0-9._-]{0,31}"
UNDERLYINGS: Final = rf"^{_NAME}(,{_NAME}){{0,{MOST_UNDERLYINGS - 1}}}$"

MOST_MINUTES: Final = 7 * 24 * 60
"""Of a window or a half-life: a week."""

LEAST_BAR_MINUTES: Final = SLOT_MS / 60_000
"""One slot: below six seconds the age of quotes and the times of chains make the changes."""
MOST_BARS: Final = 10_080
"""In one window: 30 MB of numbers for 40 factors."""

CORRELATIONS: Final = operation(
    "getCorrelations",
    "Get the correlations of forwards, vol levels, skews, curvatures and slopes, and how vols follow forwards",
    {200: ("Rows and columns in the order of factors.", "Correlations")},
    (401, 403, 404, 422, 429, 503),
    description="Of changes over bars of bar_minutes, by the last fitted surface in each, degraded ones included; a bar"
    " without one breaks the chain of changes. Weights halve with half_life_minutes; what is known reaches back 12"
    " hours of a chain a second, a week of slow ones, window_minutes at most, from the newest surface of all. Of six"
    " seconds one surface is recorded: let bars be whole multiples of 0.1 minutes. spot_vol's ratio may be given to"
    ' evaluate as dynamics {"ssr": ratio}, which takes it as given and does not ask here. Null, with a reason, says'
    " that too little is known.",
    example=CORRELATIONS_EXAMPLE,
)


def correlations_router(context: ApiContext) -> APIRouter:
    """Return the route about correlations."""
    may_read = Depends(requires(Scope.READ, context.services.gate))
    router = APIRouter(tags=["correlations"], dependencies=[may_read])

    @router.get("/v1/correlations", **CORRELATIONS)
    async def get_correlations(
        request: Request,
        caller: Annotated[Caller, may_read],
        underlyings: Annotated[str, Query(pattern=UNDERLYINGS, description="Names, with commas between them.")],
        window_minutes: Annotated[int, Query(ge=1, le=MOST_MINUTES)] = DEFAULT_QUERY.window_minutes,
        bar_minutes: Annotated[float, Query(ge=LEAST_BAR_MINUTES, le=60.0)] = DEFAULT_QUERY.bar_minutes,
        half_life_minutes: Annotated[float, Query(ge=1.0, le=MOST_MINUTES)] = DEFAULT_QUERY.half_life_minutes,
    ) -> Response:
        names = underlyings.split(",")
        if len(set(names)) < len(names):
            raise InvalidRequest(f"query parameter underlyings: each is named once, got {underlyings!r}")
        if window_minutes > MOST_BARS * bar_minutes:
            bars = f"{window_minutes / bar_minutes:.0f} bars"
            raise InvalidRequest(f"query parameter window_minutes: holds {bars} of bar_minutes, at most {MOST_BARS}")
        for name in names:
            caller.check_underlying(name)
        points = {}
        for name in names:
            await newest_surface(context, name)
            with context.metrics.store_call("factors"):
                points[name] = await context.factors.of(name)
            if not len(points[name]):
                raise NoSuchResource(f"no surface of {name!r} is kept")
        query = CorrelationQuery(window_minutes, bar_minutes, half_life_minutes)
        found = await to_thread.run_sync(lambda: correlations_of(points, query), limiter=context.parsing)
        return await negotiated(request, context, encode_json(found), {})

    return router
