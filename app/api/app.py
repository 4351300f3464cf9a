"""The application: routes over the services, one subscription, one table of errors."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any, Final

from anyio import CapacityLimiter
from fastapi import FastAPI

from app.api.chains import ChainAccepted, chains_router
from app.api.context import ApiContext
from app.api.correlation_watch import CorrelationWatch
from app.api.correlations import correlations_router
from app.api.evaluation import EvaluateAnswer, EvaluateRequest, evaluation_router
from app.api.event_hub import EventHub
from app.api.events import EventPage, events_router
from app.api.hub import Hub
from app.api.kept_chains import kept_chains_router
from app.api.live_surface import Freshness
from app.api.model_scores import PromotionRequest, model_scores_router
from app.api.observed import Observed
from app.api.openapi import DESCRIPTION, openapi_document
from app.api.operations import Live, Ready, operations_router
from app.api.page import page_router
from app.api.problem import install_handlers
from app.api.quotes import quotes_router
from app.api.services import ApiServices
from app.api.stream import stream_router
from app.api.surfaces import SurfaceHistory, SurfaceList, surfaces_router
from app.metrics import ServiceMetrics
from app.service.correlation_document import Correlations
from app.service.document import SurfaceMessage
from app.service.factor_history import FactorHistory
from app.service.promotion import Promotion
from app.service.quotes_document import SurfaceQuotes
from app.service.score_document import ModelScores

log = logging.getLogger(__name__)

STRUCTS: Final = (
    ChainAccepted,
    Correlations,
    EvaluateAnswer,
    EvaluateRequest,
    EventPage,
    Live,
    ModelScores,
    Promotion,
    PromotionRequest,
    Ready,
    SurfaceHistory,
    SurfaceList,
    SurfaceMessage,
    SurfaceQuotes,
)
"""What is sent and taken, besides the venues' own bodies."""


def create_app(services: ApiServices) -> FastAPI:
    """Return the application. It never fits; it knows the store as ports only."""
    context = _context(services)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        tasks = [
            asyncio.create_task(context.hub.run(), name="hub"),
            asyncio.create_task(context.event_hub.run(), name="event_hub"),
            asyncio.create_task(context.correlation_watch.run(), name="correlation_watch"),
            asyncio.create_task(context.metrics.watch_event_loop(), name="event_loop_watch"),
        ]
        for feed in tasks[:2]:
            feed.add_done_callback(lambda task: _report_end(context.hub, task))
        tasks[2].add_done_callback(_report_defect)
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await services.close()

    app = FastAPI(
        title="Smilekeeper",
        version=services.version,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.add_middleware(Observed, metrics=context.metrics)
    install_handlers(app)
    for router in (
        chains_router(context),
        surfaces_router(context),
        evaluation_router(context),
        kept_chains_router(context),
        quotes_router(context),
        events_router(context),
        correlations_router(context),
        model_scores_router(context),
        stream_router(context),
        page_router(),
        operations_router(context, app),
    ):
        app.include_router(router)
    _document(app, services)
    return app


def _context(services: ApiServices) -> ApiContext:
    metrics = ServiceMetrics(services.version)

    def freshness() -> Freshness:
        return Freshness(services.clock(), services.limits.stale_after_s)

    hub = Hub(services.reader, services.feed, freshness=freshness, metrics=metrics)
    event_hub = EventHub(services.event_feed, metrics)
    factors = FactorHistory(services.reader, services.factors)
    return ApiContext(
        services,
        hub,
        event_hub,
        metrics,
        parsing=CapacityLimiter(services.limits.parsing_threads),
        factors=factors,
        correlation_watch=CorrelationWatch(hub, factors, metrics),
    )


def _document(app: FastAPI, services: ApiServices) -> None:
    bodies = [*services.venues.values(), *services.body_formats.values()]

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = openapi_document(app, bodies, STRUCTS)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _report_end(hub: Hub, task: "asyncio.Task[None]") -> None:
    """Make /livez and /readyz say that this process hears no updates any more."""
    if not task.cancelled():
        hub.failed = True
        log.critical("update_feed_ended", extra={"feed": task.get_name()}, exc_info=task.exception())


def _report_defect(task: "asyncio.Task[None]") -> None:
    """Say that metrics lack what this task told."""
    if not task.cancelled():
        log.error("watch_ended", extra={"watch": task.get_name()}, exc_info=task.exception())
