"""Around every request: its id, a limit on how many run at once, its duration by route, and headers of the answer."""

import logging
import time
from typing import Any, Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import logs
from app.api.problem import Overloaded, problem_response
from app.api.request_id import HEADER, give_request_id
from app.metrics import ServiceMetrics

log = logging.getLogger(__name__)

UNMATCHED: Final = "unmatched"
"""The route of a request that fits none: paths are no labels, a client can make up any."""

MAX_IN_FLIGHT: Final = 1_000
"""Requests served at once. Waits for a fit are most of them; the store answers a few dozen at a time."""

ALWAYS_ANSWERED: Final = frozenset({"/livez", "/metrics"})
"""An overloaded process is alive, and must be seen to be overloaded."""

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Observed:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, *, metrics: ServiceMetrics) -> None:
        self._app = app
        self._metrics = metrics
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and observe the answer; a failure counts as the 500 it becomes outside."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        # Bound for good: the server runs each request in a task of its own, and logs what it raises after us.
        request_id = give_request_id(scope)
        logs.bind(request_id=request_id)
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_s = time.perf_counter()
        status = 500

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Content-Type-Options"] = "nosniff"
                headers[HEADER] = request_id
            await send(message)

        self._in_flight += 1
        try:
            if self._in_flight > MAX_IN_FLIGHT and scope["path"] not in ALWAYS_ANSWERED:
                overloaded = Overloaded(f"{self._in_flight} requests at once: at most {MAX_IN_FLIGHT} are served")
                await problem_response(overloaded)(scope, receive, send_with_headers)
            else:
                await self._app(scope, receive, send_with_headers)
        finally:
            self._in_flight -= 1
            method = scope["method"] if scope["method"] in METHODS else "OTHER"
            duration_s = time.perf_counter() - started_s
            self._metrics.observe_request(method, _template(scope), status, duration_s)
            said = {"method": method, "route": _template(scope), "status": status, "duration_s": round(duration_s, 4)}
            log.debug("request", extra=said)


def _template(scope: Scope) -> str:
    route: Any = scope.get("route")
    path = getattr(route, "path", None)
    return path if isinstance(path, str) else UNMATCHED
