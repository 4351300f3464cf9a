"""The correlations that metrics show, worked out now and then beside the requests."""

import asyncio
import logging
from collections.abc import Sequence
from itertools import combinations
from typing import Final

from anyio import to_thread

from app.api.hub import Hub
from app.metrics import ServiceMetrics
from app.service.correlation_document import Correlations
from app.service.correlations import DEFAULT_QUERY, correlations_of
from app.service.factor_history import FactorHistory
from app.service.ports import CorruptPayload, StoreUnavailable

log = logging.getLogger(__name__)

MOST_WATCHED: Final = 8
"""Underlyings, the first by name: 28 pairs make 112 series, and a tenth of a second of work at most."""
LOOK_EVERY_S: Final = 10.0
LOADED_SOON_S: Final = 0.1
"""How soon it is seen that the newest surfaces are loaded."""


class CorrelationWatch:
    """Keeps what is told of each watched underlying, and of each pair of them, up to date with their surfaces."""

    def __init__(self, hub: Hub, history: FactorHistory, metrics: ServiceMetrics) -> None:
        self._hub = hub
        self._history = history
        self._metrics = metrics
        self._found: dict[tuple[str, ...], Correlations] = {}
        self._versions: dict[str, int] = {}

    def found(self) -> Sequence[Correlations]:
        """Return what was told last: of one underlying each, then of two each."""
        return list(self._found.values())

    async def run(self) -> None:
        """Look for ever; while the store is away what was told last stays, after a defect nothing is told any more."""
        while not self._hub.loaded:
            await asyncio.sleep(LOADED_SOON_S)
        try:
            while True:
                try:
                    await self.look()
                except (StoreUnavailable, CorruptPayload) as away:
                    log.warning("correlations_not_looked_at", extra={"reason": str(away)})
                await asyncio.sleep(LOOK_EVERY_S)
        finally:
            self._found = {}

    async def look(self) -> None:
        """Work out what new surfaces changed."""
        newest = {each.published.underlying: each.published.version for each in self._hub.surfaces()[:MOST_WATCHED]}
        moved = {name for name, version in newest.items() if self._versions.get(name) != version}
        points = {}
        for name in newest if moved else ():
            with self._metrics.store_call("factors"):
                series = await self._history.of(name)
            if len(series):
                points[name] = series
        found = {}
        for group in [*((name,) for name in points), *combinations(points, 2)]:
            known = self._found.get(group)
            if known is None or not moved.isdisjoint(group):
                asked = {name: points[name] for name in group}
                known = await to_thread.run_sync(correlations_of, asked, DEFAULT_QUERY)
            found[group] = known
        if moved:
            self._found, self._versions = found, newest
