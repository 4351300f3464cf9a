"""For machines and people that look after the service: health, metrics, documentation."""

from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import FileResponse, Response

from app.api.access import Caller, requires
from app.api.asyncapi import asyncapi_document
from app.api.chains import ChainAccepted
from app.api.context import ApiContext, encode_json, json_response
from app.api.documentation import swagger_file
from app.api.fleet_status import fleet_status, model_reports
from app.api.openapi import LIVEZ, METRICS, READYZ
from app.api.problem import NoSuchResource, NotAllowed, NotReady
from app.metrics.process import CONTENT_TYPE
from app.service.access_key import Scope


class Ready(msgspec.Struct, frozen=True):
    """The store answers and chains are calibrated."""

    ready: bool
    warm_workers: int
    workers_alive: int


class Live(msgspec.Struct, frozen=True):
    """The process runs and hears updates."""

    live: bool


def operations_router(context: ApiContext, app: FastAPI) -> APIRouter:
    """Return the routes besides /v1; ``app`` is the application whose documentation they show."""
    router = APIRouter(tags=["operations"])

    @router.get("/livez", **LIVEZ)
    async def live() -> Response:
        if context.hub.failed:
            raise NotReady("the update feed ended: this process hears no updates any more and must be restarted")
        return json_response(encode_json(Live(True)))

    @router.get("/readyz", **READYZ)
    async def ready() -> Response:
        status = await fleet_status(context)
        if status is None:
            raise NotReady("the store does not answer")
        if not context.hub.loaded or context.hub.failed:
            raise NotReady("the newest surfaces are not loaded yet")
        if status.warm_workers < 1:
            raise NotReady(f"no worker is warm; {status.workers_alive} are alive")
        return json_response(encode_json(Ready(True, status.warm_workers, status.workers_alive)))

    @router.get("/metrics", **METRICS)
    async def metrics(caller: Annotated[Caller, Depends(requires(Scope.READ, context.services.gate))]) -> Response:
        if caller.underlyings is not None:
            raise NotAllowed("metrics are about every underlying, and this key is for some only")
        surfaces = [(surface.published, surface.document) for surface in context.hub.surfaces()]
        status, reports = await fleet_status(context), await model_reports(context)
        body = context.metrics.exposition(status, surfaces, reports, context.correlation_watch.found())
        return Response(body, media_type=CONTENT_TYPE)

    @router.get("/asyncapi.json", include_in_schema=False)
    async def websockets() -> Response:
        document = asyncapi_document(
            app.title, app.version, context.services.venues, context.services.body_formats, ChainAccepted
        )
        return json_response(encode_json(document))

    @router.get("/docs", include_in_schema=False)
    async def documentation() -> Response:
        return get_swagger_ui_html(
            openapi_url="/openapi.json",
            title=app.title,
            swagger_js_url="/docs/swagger-ui-bundle.js",
            swagger_css_url="/docs/swagger-ui.css",
            swagger_favicon_url="/docs/favicon.png",
        )

    @router.get("/docs/{name}", include_in_schema=False)
    async def documentation_file(name: str) -> Response:
        path = swagger_file(name)
        if path is None:
            raise NoSuchResource(f"the documentation has no file {name!r}")
        return FileResponse(path)

    return router
