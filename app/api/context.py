"""What every route of one application shares."""

from dataclasses import dataclass, field
from typing import Final

import msgspec
from anyio import CapacityLimiter
from starlette.responses import Response

from app.api.body import BodyRoom
from app.api.connection_count import ConnectionCount
from app.api.correlation_watch import CorrelationWatch
from app.api.event_hub import EventHub
from app.api.hub import Hub
from app.api.live_surface import Freshness
from app.api.services import ApiServices
from app.metrics import ServiceMetrics
from app.service.factor_history import FactorHistory

encode_json: Final = msgspec.json.Encoder().encode
"""NaN and infinities become null: missing is never a made-up number."""


@dataclass(frozen=True, slots=True)
class ApiContext:
    """The services, and what the application itself adds to them."""

    services: ApiServices
    hub: Hub
    event_hub: EventHub
    metrics: ServiceMetrics
    parsing: CapacityLimiter
    factors: FactorHistory
    correlation_watch: CorrelationWatch
    callers: ConnectionCount = field(default_factory=ConnectionCount)
    bodies: BodyRoom = field(default_factory=BodyRoom)

    def freshness(self) -> Freshness:
        """Return the clock surfaces are aged by, now."""
        return Freshness(self.services.clock(), self.services.limits.stale_after_s)


def json_response(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return ``body``, which is JSON already."""
    return Response(body, status, headers, "application/json")
