"""What a client knows of the stream, whether or not a connection stands: the last version and event it heard."""

from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec
from websockets.exceptions import ConnectionClosed

from app.client.answers import Heard, HeardEvent, ServiceError
from app.service.document import SurfaceMessage
from app.service.event import EventId, EventMessage

SUBSCRIPTION_ID: Final = 1
ALL: Final = "surface.*"
ALL_EVENTS: Final = "events.*"
NOT_LET_IN: Final = frozenset({4001, 4003})
"""Close codes after which connecting again would end the same way."""


class ChannelRejected(Exception):
    """The service refuses a channel; the message says which and why."""


NOTHING: Final = msgspec.Raw(b"null")


class _Message(msgspec.Struct, frozen=True):
    """Any message of the stream, as far as it matters here."""

    op: str | None = None
    reasons: dict[str, str] = {}
    detail: str = ""
    type: Literal["snapshot", "update", "event"] | None = None
    version: str = ""
    prev_version: str = ""
    conflated: int = 0
    reset: bool = False
    missed: int | None = 0
    data: msgspec.Raw = NOTHING


_read: Final = msgspec.json.Decoder(_Message).decode
_read_surface: Final = msgspec.json.Decoder(SurfaceMessage).decode
_read_event: Final = msgspec.json.Decoder(EventMessage | None).decode


class StreamState:
    """Turns messages into Heard and HeardEvent, over any number of connections."""

    def __init__(self, underlyings: Sequence[str], *, events: bool = False) -> None:
        self._channels = [f"surface.{each}" for each in underlyings] or [ALL]
        self._event_channels = ([f"events.{each}" for each in underlyings] or [ALL_EVENTS]) if events else []
        self._last: dict[str, str] = {}
        self._last_events: dict[str, EventId] = {}
        """By channel subscribed to."""

    def subscription(self) -> str:
        """Return the first message of a connection: it resumes whatever was heard before."""
        resume = {f"surface.{underlying}": version for underlying, version in self._last.items()}
        resume |= {channel: str(event_id) for channel, event_id in self._last_events.items()}
        request: dict[str, Any] = {
            "op": "subscribe",
            "id": SUBSCRIPTION_ID,
            "channels": self._channels + self._event_channels,
            "resume": resume,
        }
        return msgspec.json.encode(request).decode()

    def take(self, text: str | bytes) -> Heard | HeardEvent | None:
        """Return the surface or the event in a message; None for one without news. Raises ChannelRejected."""
        message = _read(text)
        if message.op == "error":
            raise ChannelRejected(message.detail)
        if message.op == "ack" and message.reasons:
            raise ChannelRejected("; ".join(f"{channel}: {why}" for channel, why in message.reasons.items()))
        if message.type is None:
            return None
        if message.type == "event":
            return self._event(message)
        surface = _read_surface(message.data)
        last = self._last.get(surface.underlying)
        if last == surface.version:  # a snapshot after a reconnect in which nothing happened
            return None
        self._last[surface.underlying] = surface.version
        follows = last is None or surface.prev_version == last
        if follows:
            return Heard(surface, True, 0)
        return Heard(surface, False, message.conflated or None)

    def _event(self, message: _Message) -> HeardEvent:
        event = _read_event(message.data)
        if event:
            channel = ALL_EVENTS if ALL_EVENTS in self._event_channels else f"events.{event.underlying}"
            event_id = EventId.parse(event.id)
            self._last_events[channel] = max(event_id, self._last_events.get(channel, event_id))
        return HeardEvent(event, message.missed)


def refuse_if_not_let_in(closed: ConnectionClosed) -> None:
    """Raise ServiceError where the service closed the stream because it does not let this client in."""
    received = closed.rcvd
    if received and received.code in NOT_LET_IN:
        status = 401 if received.code == min(NOT_LET_IN) else 403
        raise ServiceError(status, "not let in", received.reason) from closed
