"""One subscription to events for the whole process, and everyone who wants to hear of them."""

import asyncio
import logging
from collections import defaultdict
from typing import Final

from app.api.event_queue import QueuedEvent
from app.api.mailbox import Mailbox
from app.metrics import ServiceMetrics
from app.service.event import EventFeed
from app.service.ports import StoreUnavailable

log = logging.getLogger(__name__)

EVENTS_PREFIX: Final = "events."
EVERY_EVENT: Final = EVENTS_PREFIX + "*"
POLL_S: Final = 1.0
"""How long one wait for events lasts."""


class EventHub:
    """Fans events out to mailboxes."""

    def __init__(self, feed: EventFeed, metrics: ServiceMetrics) -> None:
        self._feed = feed
        self._metrics = metrics
        self._mailboxes: dict[str, dict[Mailbox, None]] = defaultdict(dict)

    async def run(self) -> None:
        """Follow the log for ever; the store may be away at any time."""
        while True:
            try:
                with self._metrics.count_store_errors("events"):
                    batch = await self._feed.next_events(POLL_S)
            except StoreUnavailable as error:
                log.warning("event_feed_interrupted", extra={"reason": str(error)})
                await asyncio.sleep(error.retry_after_s)
                continue
            if batch.missed:
                for mailbox in {each: None for group in self._mailboxes.values() for each in group}:
                    mailbox.events.lose_track()
                    mailbox.filled.set()
            for event in batch.events:
                queued = QueuedEvent(event)
                subscribers = self._mailboxes.get(queued.channel, {}) | self._mailboxes.get(EVERY_EVENT, {})
                missed = sum([mailbox.put_event(queued) for mailbox in subscribers])
                self._metrics.ws_events_missed.inc(missed)

    def attach(self, mailbox: Mailbox, channel: str) -> None:
        """Deliver the events of ``channel`` (of all, for EVERY_EVENT) to ``mailbox`` from now on."""
        self._mailboxes[channel][mailbox] = None

    def detach(self, mailbox: Mailbox, channel: str) -> None:
        """Stop doing so."""
        self._mailboxes[channel].pop(mailbox, None)
        if not self._mailboxes[channel]:
            del self._mailboxes[channel]
