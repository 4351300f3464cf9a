"""What a client knows of the stream: the last version of each underlying, whether or not a connection stands."""

from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec
from websockets.exceptions import ConnectionClosed

from app.client.answers import Heard, ServiceError
from app.service.document import SurfaceMessage

SUBSCRIPTION_ID: Final = 1
ALL: Final = "surface.*"
NOT_LET_IN: Final = frozenset({4001, 4003})
"""Close codes after which connecting again would end the same way."""


class ChannelRejected(Exception):
    """The service refuses a channel; the message says which and why."""


class _Message(msgspec.Struct, frozen=True):
    """Any message of the stream, as far as it matters here."""

    op: str | None = None
    reasons: dict[str, str] = {}
    detail: str = ""
    type: Literal["snapshot", "update"] | None = None
    version: str = ""
    prev_version: str = ""
    conflated: int = 0
    reset: bool = False
    data: SurfaceMessage | None = None


_read: Final = msgspec.json.Decoder(_Message).decode


class StreamState:
    """Turns messages into Heard, over any number of connections."""

    def __init__(self, underlyings: Sequence[str]) -> None:
        self._channels = [f"surface.{each}" for each in underlyings] or [ALL]
        self._last: dict[str, str] = {}

    def subscription(self) -> str:
        """Return the first message of a connection: it resumes whatever was heard before."""
        request: dict[str, Any] = {
            "op": "subscribe",
            "id": SUBSCRIPTION_ID,
            "channels": self._channels,
            "resume": {f"surface.{underlying}": version for underlying, version in self._last.items()},
        }
        return msgspec.json.encode(request).decode()

    def take(self, text: str | bytes) -> Heard | None:
        """Return the surface in a message; None for one without news. Raises ChannelRejected."""
        message = _read(text)
        if message.op == "error":
            raise ChannelRejected(message.detail)
        if message.op == "ack" and message.reasons:
            raise ChannelRejected("; ".join(f"{channel}: {why}" for channel, why in message.reasons.items()))
        surface = message.data
        if surface is None:
            return None
        last = self._last.get(surface.underlying)
        if last == surface.version:  # a snapshot after a reconnect in which nothing happened
            return None
        self._last[surface.underlying] = surface.version
        follows = last is None or surface.prev_version == last
        if follows:
            return Heard(surface, True, 0)
        return Heard(surface, False, message.conflated or None)


def refuse_if_not_let_in(closed: ConnectionClosed) -> None:
    """Raise ServiceError where the service closed the stream because it does not let this client in."""
    received = closed.rcvd
    if received and received.code in NOT_LET_IN:
        status = 401 if received.code == min(NOT_LET_IN) else 403
        raise ServiceError(status, "not let in", received.reason) from closed
