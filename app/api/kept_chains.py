"""What a surface was fitted to: GET /v1/surfaces/{underlying}/chains/{as_of}, in the native format."""

from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Depends, Path
from starlette.requests import Request
from starlette.responses import Response

from app.api.access import requires
from app.api.compression import negotiated
from app.api.context import ApiContext
from app.api.openapi import CHAIN
from app.api.problem import NoSuchResource
from app.api.surfaces import Instant, instant_ms
from app.service.access_key import Scope
from app.venues.native_body import native_body


def kept_chains_router(context: ApiContext) -> APIRouter:
    """Return the route that gives accepted chains back."""
    router = APIRouter(tags=["chains"], dependencies=[Depends(requires(Scope.READ, context.services.gate))])

    @router.get("/v1/surfaces/{underlying}/chains/{as_of}", **CHAIN)
    async def get_chain(underlying: str, request: Request, as_of: Annotated[Instant, Path()]) -> Response:
        archive, decode = context.services.archive, context.services.decode_chain
        at_ms = instant_ms(as_of)
        if archive is None or decode is None:
            raise NoSuchResource("this service keeps no chains")
        with context.metrics.store_call("chain"):
            kept = await archive.as_of(underlying, at_ms)
        if kept is None:
            raise NoSuchResource(f"no surface of {underlying!r} fitted to a chain as of {as_of} is kept with its chain")
        encoded = kept.chain
        body = await to_thread.run_sync(lambda: native_body(decode(encoded)), limiter=context.parsing)
        return await negotiated(request, context, body, {"ETag": f'"{kept.version}"'})

    return router
