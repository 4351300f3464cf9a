"""One subscription for the whole process: the newest surfaces in memory, and everyone who waits for the next ones."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from app.api.live_surface import CHANNEL_PREFIX, Freshness, LiveSurface, live, stream_message
from app.api.mailbox import Mailbox, Update
from app.metrics import ServiceMetrics
from app.service.ports import CorruptPayload, PublishedSurface, StoreUnavailable, SurfaceReader, UpdateFeed

log = logging.getLogger(__name__)

EVERY_SURFACE: Final = CHANNEL_PREFIX + "*"
POLL_S: Final = 1.0
"""How long one wait for updates lasts; the store's client ends blocking reads after a few seconds."""
FIRST_POLL_S: Final = 0.01

T = TypeVar("T")


class Hub:
    """Keeps the newest surface of each underlying and fans updates out to mailboxes and waiting requests."""

    def __init__(
        self,
        reader: SurfaceReader,
        feed: UpdateFeed,
        *,
        freshness: Callable[[], Freshness],
        metrics: ServiceMetrics,
    ) -> None:
        self.loaded = False
        self.failed = False
        self._reader = reader
        self._feed = feed
        self._freshness = freshness
        self._metrics = metrics
        self._newest: dict[str, Update] = {}
        self._mailboxes: dict[str, dict[Mailbox, None]] = defaultdict(dict)
        self._waiting: dict[str, dict[asyncio.Future[LiveSurface], tuple[int, int]]] = defaultdict(dict)

    async def run(self) -> None:
        """Load what the store has, then follow it for ever; the store may be away at any time."""
        # The feed starts where it is first asked: asking before loading leaves no gap between the two.
        early = await self._persist("feed", lambda: self._feed.next_updates(FIRST_POLL_S))
        for published in await self._persist("load", self._everything):
            self._take_in(published)
        self.loaded = True
        updates = early
        while True:
            for published in updates:
                self._take_in(published)
            updates = await self._persist("feed", lambda: self._feed.next_updates(POLL_S))

    def newest(self, underlying: str) -> LiveSurface | None:
        """Return the newest surface of ``underlying`` this process has heard of."""
        update = self._newest.get(underlying)
        return update.live if update else None

    def surfaces(self) -> Sequence[LiveSurface]:
        """Return the newest surface of every underlying, by name."""
        return [self._newest[underlying].live for underlying in sorted(self._newest)]

    def updates(self, channel: str) -> Sequence[Update]:
        """Return the newest updates a subscriber of ``channel`` starts from."""
        if channel == EVERY_SURFACE:
            return list(self._newest.values())
        update = self._newest.get(channel.removeprefix(CHANNEL_PREFIX))
        return [update] if update else []

    def attach(self, mailbox: Mailbox, channel: str) -> None:
        """Deliver updates of ``channel`` (of all, for EVERY_SURFACE) to ``mailbox`` from now on."""
        self._mailboxes[channel][mailbox] = None

    def detach(self, mailbox: Mailbox, channel: str) -> None:
        """Stop doing so."""
        self._mailboxes[channel].pop(mailbox, None)
        if not self._mailboxes[channel]:
            del self._mailboxes[channel]

    async def wait_for(self, underlying: str, as_of_ms: int, sequence: int, timeout_s: float) -> LiveSurface | None:
        """Return the first surface that covers the chain (as_of_ms, sequence), or None when time is up."""
        newest = self.newest(underlying)
        if newest and newest.covers(as_of_ms, sequence):
            return newest
        waiting = self._waiting[underlying]
        future: asyncio.Future[LiveSurface] = asyncio.get_running_loop().create_future()
        waiting[future] = (as_of_ms, sequence)
        try:
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError:
            return None
        finally:
            waiting.pop(future, None)
            if not waiting:
                self._waiting.pop(underlying, None)

    async def _everything(self) -> Sequence[PublishedSurface]:
        surfaces = [await self._reader.newest(underlying) for underlying in await self._reader.underlyings()]
        return [surface for surface in surfaces if surface]

    async def _persist(self, operation: str, attempt: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                with self._metrics.count_store_errors(operation):
                    return await attempt()
            except (StoreUnavailable, CorruptPayload) as error:
                log.warning("update_feed_interrupted", extra={"operation": operation, "reason": str(error)})
                await asyncio.sleep(getattr(error, "retry_after_s", POLL_S))

    def _take_in(self, published: PublishedSurface) -> None:
        known = self._newest.get(published.underlying)
        if known and published.version <= known.live.published.version:
            return
        try:
            with self._metrics.count_store_errors("feed"):
                surface = live(published)
        except CorruptPayload as error:
            log.error("surface_quarantined", extra={"underlying": published.underlying, "reason": str(error)})
            return
        update = Update(surface, stream_message(published, self._freshness(), kind="update"))
        self._newest[published.underlying] = update
        subscribers = self._mailboxes.get(surface.channel, {}) | self._mailboxes.get(EVERY_SURFACE, {})
        conflated = sum([mailbox.put(update) for mailbox in subscribers])
        self._metrics.ws_conflated.inc(conflated)
        for future, chain in list(self._waiting.get(published.underlying, {}).items()):
            if surface.covers(*chain) and not future.done():
                future.set_result(surface)
