"""The events of one client of /v1/stream: what it subscribed to, what it resumes from, and what is sent to it."""

from collections.abc import Awaitable, Callable, Set
from typing import Final

from app.api.access import Caller
from app.api.context import ApiContext
from app.api.event_hub import EVENTS_PREFIX, EVERY_EVENT
from app.api.event_queue import QueuedEvent, stream_event
from app.api.mailbox import Mailbox
from app.service.event import Event, EventId
from app.service.ports import StoreUnavailable

RESUME_PAGE: Final = 200
"""Events read from the store at once for a client that resumes: some 80 kB."""

Send = Callable[[str], Awaitable[None]]


class EventSubscriptions:
    """Beside the surfaces of the same client, and into the same mailbox."""

    def __init__(self, context: ApiContext, caller: Caller, mailbox: Mailbox) -> None:
        self._context = context
        self._caller = caller
        self._mailbox = mailbox
        self._channels: set[str] = set()
        self._resumes: dict[str, str] = {}
        self._last: dict[str, EventId] = {}
        """The newest event sent, by underlying: what was replayed may arrive by the hub, too."""

    def subscribe(self, channel: str) -> None:
        """Hear of ``channel`` from now on."""
        self._channels.add(channel)
        self._context.event_hub.attach(self._mailbox, channel)

    def resume(self, channel: str, event_id: str) -> None:
        """Replay what ``channel`` said after this event, before anything new."""
        self._resumes[channel] = event_id

    def unsubscribe(self, channel: str) -> None:
        """Hear no more of ``channel``."""
        self._channels.discard(channel)
        self._context.event_hub.detach(self._mailbox, channel)
        self._resumes = {each: mark for each, mark in self._resumes.items() if self._is_wanted(each)}
        self._mailbox.events.keep_only(self._is_wanted)

    async def speak(self, send: Send) -> None:
        """Replay what was asked for, else send the event that waits longest, if any."""
        while self._resumes:
            channel = next(iter(self._resumes))
            await self._catch_up(channel, self._resumes.pop(channel), send)
        waiting = self._mailbox.events
        if waiting.forget_loss():
            for channel in sorted(self._channels):
                await send(stream_event(channel, None, reset=True))
        if queued := waiting.take():
            await self._send(queued, waiting.forget_missed(), send)

    def close(self) -> None:
        """Hear no more of anything."""
        for channel in self._channels:
            self._context.event_hub.detach(self._mailbox, channel)

    def _is_wanted(self, channel: str) -> bool:
        return channel in self._channels or EVERY_EVENT in self._channels

    async def _catch_up(self, channel: str, mark: str, send: Send) -> None:
        underlyings = self._underlyings_of(channel)
        while True:
            page = await self._after(mark, underlyings)
            if page is None:
                await send(stream_event(channel, None, reset=True))
                return
            for event in page:
                await self._send(QueuedEvent(event), 0, send)
            if len(page) < RESUME_PAGE:
                return
            mark = page[-1].id

    def _underlyings_of(self, channel: str) -> Set[str] | None:
        return self._caller.underlyings if channel == EVERY_EVENT else {channel.removeprefix(EVENTS_PREFIX)}

    async def _after(self, mark: str, underlyings: Set[str] | None) -> list[Event] | None:
        """Return the next page; None where events are gone, or the store is away and nobody can tell."""
        try:
            with self._context.metrics.count_store_errors("events"):
                page = await self._context.services.events.after(mark, limit=RESUME_PAGE, underlyings=underlyings)
        except StoreUnavailable:
            return None
        return None if page is None else list(page)

    async def _send(self, queued: QueuedEvent, missed: int, send: Send) -> None:
        underlying = queued.event.underlying
        last = self._last.get(underlying)
        if last and queued.event_id <= last and not missed:
            return
        self._last[underlying] = max(last, queued.event_id) if last else queued.event_id
        await send(stream_event(queued.channel, queued.event, missed=missed) if missed else queued.text)
