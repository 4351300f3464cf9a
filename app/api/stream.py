"""WS /v1/stream: one client's subscriptions, its mailbox, and the two tasks that serve it."""

import asyncio
from collections.abc import Callable
from typing import Final

from fastapi import APIRouter
from starlette.websockets import WebSocket

from app.api.access import Caller
from app.api.connection import CloseCode, Closing, accepted, receive_message, send_message
from app.api.context import ApiContext
from app.api.event_subscriptions import EventSubscriptions
from app.api.hub import EVERY_SURFACE
from app.api.live_surface import CHANNEL_PREFIX, MessageType, stream_message
from app.api.mailbox import Mailbox, MailboxFull, Slot
from app.api.message_format import MessageFormat, offered
from app.api.problem import InvalidRequest
from app.api.stream_protocol import (
    Ack,
    Pong,
    StreamError,
    StreamRequest,
    encode,
    is_event_channel,
    parse_request,
    sort_channels,
)
from app.api.token_bucket import TokenBucket
from app.service.access_key import Scope
from app.service.iso_time import iso_utc
from app.service.ports import CorruptPayload, PublishedSurface, StoreUnavailable

RESUME_PAGE: Final = 50
"""Surfaces read from the store at once for a client that resumes: some hundred kilobytes."""

UNSETTLED_ROUNDS: Final = 3
"""How often an empty page may contradict the mailbox (a commit between the two) before it counts as a gap."""


def stream_router(context: ApiContext) -> APIRouter:
    """Return the route of the stream."""
    router = APIRouter()

    @router.websocket("/v1/stream")
    async def stream(socket: WebSocket) -> None:
        format_ = offered(socket)
        async with accepted(socket, context, Scope.READ, format_) as caller:
            await StreamClient(socket, context, caller, format_ or MessageFormat.JSON).run()

    return router


class StreamClient:
    """Reads requests and sends what the mailbox holds, until either ends.

    The reader never sends and the writer never reads, so a client that stalls in one direction is noticed in both.
    """

    def __init__(self, socket: WebSocket, context: ApiContext, caller: Caller, format_: MessageFormat) -> None:
        self._socket = socket
        self._context = context
        self._limits = context.services.limits
        self._caller = caller
        self._format = format_
        self._mailbox = Mailbox(caller.sees)
        self._events = EventSubscriptions(context, caller, self._mailbox)
        self._channels: set[str] = set()
        self._resumes: dict[str, int] = {}
        self._started: set[str] = set()
        self._bucket = TokenBucket(self._limits.ws_messages_per_s, self._limits.ws_message_burst)

    async def run(self) -> None:
        """Serve the client. Raises WebSocketDisconnect when it left, Closing when it must go."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._listen())
                tasks.create_task(self._speak())
                if self._caller.has_key:
                    tasks.create_task(self._watch_key())
        except ExceptionGroup as ended:
            raise ended.exceptions[0] from None
        finally:
            self._events.close()
            for channel in self._channels:
                if not is_event_channel(channel):
                    self._context.hub.detach(self._mailbox, channel)

    async def _watch_key(self) -> None:
        while True:
            await asyncio.sleep(self._limits.ws_key_check_s)
            await self._context.services.gate.check_known(self._caller)

    async def _listen(self) -> None:
        handlers: dict[str, Callable[[StreamRequest], None]] = {
            "subscribe": self._subscribe,
            "unsubscribe": self._unsubscribe,
            "ping": self._ping,
        }
        while True:
            message = await receive_message(self._socket, self._limits.ws_message_bytes)
            if not self._bucket.take(asyncio.get_running_loop().time()):
                raise Closing(CloseCode.TOO_MANY_REQUESTS, f"at most {self._bucket.rate_per_s:g} messages a second")
            try:
                request = parse_request(message, self._format)
                handlers[request.op](request)
            except InvalidRequest as error:
                self._reply(StreamError(str(error)))

    def _reply(self, message: Ack | Pong | StreamError) -> None:
        try:
            self._mailbox.put_reply(encode(message))
        except MailboxFull as error:
            raise Closing(CloseCode.TOO_MANY_REQUESTS, str(error)) from error

    def _ping(self, request: StreamRequest) -> None:
        self._reply(Pong(request.id, iso_utc(self._context.services.clock())))

    def _subscribe(self, request: StreamRequest) -> None:
        asked = len(self._channels - set(request.channels))
        found, reasons = sort_channels(request, taken=asked, limit=self._limits.ws_channels, sees=self._caller.sees)
        named = [channel for channel in found if channel in request.channels]
        self._reply(Ack(request.id, named, list(reasons), reasons))
        for channel, mark in found.items():
            if mark is not None and is_event_channel(channel):
                self._events.resume(channel, mark)
            elif mark is not None:
                self._resumes[channel.removeprefix(CHANNEL_PREFIX)] = int(mark)
        for channel in named:
            self._channels.add(channel)
            if is_event_channel(channel):
                self._events.subscribe(channel)
                continue
            self._context.hub.attach(self._mailbox, channel)
            for update in self._context.hub.updates(channel):
                if update.live.published.underlying not in self._resumes:
                    self._started.discard(update.live.channel)
                    self._mailbox.put_snapshot(update)
        self._mailbox.filled.set()

    def _unsubscribe(self, request: StreamRequest) -> None:
        known = [channel for channel in dict.fromkeys(request.channels) if channel in self._channels]
        reasons = {channel: "not subscribed" for channel in request.channels if channel not in self._channels}
        for channel in known:
            self._channels.discard(channel)
            if is_event_channel(channel):
                self._events.unsubscribe(channel)
            else:
                self._context.hub.detach(self._mailbox, channel)
        if EVERY_SURFACE not in self._channels:
            self._mailbox.keep_only(self._channels)
            self._resumes = {u: v for u, v in self._resumes.items() if CHANNEL_PREFIX + u in self._channels}
        self._reply(Ack(request.id, known, list(reasons), reasons))

    async def _speak(self) -> None:
        while True:
            await self._mailbox.filled.wait()
            await self._send_replies()
            await self._events.speak(self._send_after_replies)
            if self._resumes:
                underlying = next(iter(self._resumes))
                await self._catch_up(underlying, self._resumes.pop(underlying))
            elif slot := self._mailbox.next_slot():
                await self._send_slot(slot)

    async def _send_replies(self) -> None:
        while reply := self._mailbox.next_reply():
            await self._send(reply)

    async def _send_slot(self, slot: Slot) -> None:
        surface = slot.update.live
        if slot.missed == 0 and surface.channel in self._started:
            await self._send_message(slot.update.packed if self._format is MessageFormat.MSGPACK else slot.update.text)
            return
        kind: MessageType = "update" if surface.channel in self._started else "snapshot"
        self._started.add(surface.channel)
        freshness = self._context.freshness()
        await self._send(stream_message(surface.published, freshness, kind=kind, conflated=slot.missed))

    async def _catch_up(self, underlying: str, version: int) -> None:
        """Send every kept surface after ``version``, in order; one snapshot marked reset where that has a gap."""
        channel = CHANNEL_PREFIX + underlying
        unsettled = 0
        while unsettled < UNSETTLED_ROUNDS:
            page = await self._page_after(underlying, version)
            if page is None:
                break
            for published in page:
                await self._send_replies()
                await self._send(stream_message(published, self._context.freshness(), kind="update"))
                version = published.version
            unsettled = 0 if page else unsettled + 1
            if not page and self._mailbox.settle(channel, version):
                self._started.add(channel)
                return
        await self._reset(underlying)

    async def _page_after(self, underlying: str, version: int) -> list[PublishedSurface] | None:
        try:
            with self._context.metrics.count_store_errors("after"):
                page = await self._context.services.reader.after(underlying, version, RESUME_PAGE)
        except (StoreUnavailable, CorruptPayload):  # counted; memory still has the newest surface
            return None
        return None if page is None else list(page)

    async def _reset(self, underlying: str) -> None:
        channel = CHANNEL_PREFIX + underlying
        self._mailbox.forget(channel)
        self._started.add(channel)
        newest = self._context.hub.newest(underlying)
        if newest:
            freshness = self._context.freshness()
            await self._send(stream_message(newest.published, freshness, kind="snapshot", reset=True))

    async def _send_after_replies(self, text: str) -> None:
        await self._send_replies()
        await self._send(text)

    async def _send(self, text: str) -> None:
        await self._send_message(self._format.written(text))

    async def _send_message(self, message: str | bytes) -> None:
        await send_message(self._socket, message, self._limits.ws_send_timeout_s)
