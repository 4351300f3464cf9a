"""What waits to be sent to one client: bounded, the newest surface of each channel only, and events in order."""

import asyncio
from collections import deque
from collections.abc import Callable, Set
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from app.api.event_queue import EventQueue, QueuedEvent
from app.api.live_surface import LiveSurface
from app.api.message_format import packed

MAX_REPLIES: Final = 100
"""Replies (acks, pongs, errors) that may wait; a client that asks more without reading is cut off."""


class MailboxFull(Exception):
    """A client asks faster than it reads the answers."""


@dataclass(frozen=True)
class Update:
    """A surface and its stream message as every client that misses nothing gets it, encoded once a format."""

    live: LiveSurface
    text: str

    @cached_property
    def packed(self) -> bytes:
        """The message as msgpack."""
        return packed(self.text)


@dataclass(slots=True)
class Slot:
    """The newest unsent surface of a channel, and how many were replaced unsent before it."""

    update: Update
    missed: int = 0


class Mailbox:
    """Replies in order, and a slot a channel; channels leave in the order in which they began to wait."""

    def __init__(self, is_visible: Callable[[str], bool] = lambda _: True) -> None:
        """``is_visible`` says of an underlying whether its surfaces may be sent to this client."""
        self._is_visible = is_visible
        self.filled = asyncio.Event()
        self.events = EventQueue()
        self._replies: deque[str] = deque()
        self._slots: dict[str, Slot] = {}
        self._settled: dict[str, int] = {}

    def put_reply(self, text: str) -> None:
        """Queue a reply. Raises MailboxFull."""
        if len(self._replies) >= MAX_REPLIES:
            raise MailboxFull(f"{MAX_REPLIES} replies wait unread")
        self._replies.append(text)
        self.filled.set()

    def put(self, update: Update) -> bool:
        """Make ``update`` the newest of its channel; True when it replaced one that was never sent."""
        published, channel = update.live.published, update.live.channel
        if not self._is_visible(published.underlying) or published.version <= self._settled.get(channel, 0):
            return False
        slot = self._slots.get(channel)
        self.filled.set()
        if slot is None:
            self._slots[channel] = Slot(update)
            return False
        slot.update = update
        slot.missed += 1
        return True

    def put_snapshot(self, update: Update) -> None:
        """Send ``update`` unless something at least as new waits already."""
        if self._is_visible(update.live.published.underlying):
            self._slots.setdefault(update.live.channel, Slot(update))
            self.filled.set()

    def put_event(self, event: QueuedEvent) -> bool:
        """Queue an event; True when an older one was dropped for it."""
        if not self._is_visible(event.event.underlying):
            return False
        self.filled.set()
        return self.events.put(event)

    def next_reply(self) -> str | None:
        """Return the oldest reply, or None."""
        return self._replies.popleft() if self._replies else None

    def next_slot(self) -> Slot | None:
        """Return the surface that waits longest; without one None, and ``filled`` is cleared if nothing else waits."""
        if self._slots:
            return self._slots.pop(next(iter(self._slots)))
        if not self._replies and self.events.is_empty:
            self.filled.clear()
        return None

    def settle(self, channel: str, version: int) -> bool:
        """Bring a channel in line with a client that just got everything up to ``version`` by another way.

        True when what waits (if anything) follows ``version`` without a gap; False when something lies between. What
        the client got is not queued again when it is heard of later.
        """
        self._settled[channel] = version
        slot = self._slots.get(channel)
        if slot is None:
            return True
        published = slot.update.live.published
        if published.version <= version:
            del self._slots[channel]
            return True
        if published.prev_version == version:
            slot.missed = 0
            return True
        return False

    def forget(self, channel: str) -> None:
        """Drop what waits on a channel that is answered otherwise."""
        self._slots.pop(channel, None)

    def keep_only(self, channels: Set[str]) -> None:
        """Drop what waits on any channel but these."""
        self._slots = {channel: slot for channel, slot in self._slots.items() if channel in channels}
