"""What is said on /v1/stream, apart from the surfaces: requests in, acknowledgements and errors out."""

import re
from collections.abc import Callable
from typing import Any, Final, Literal

import msgspec

from app.api.event_hub import EVENTS_PREFIX, EVERY_EVENT
from app.api.hub import EVERY_SURFACE
from app.api.live_surface import CHANNEL_PREFIX
from app.api.message_format import MessageFormat
from app.api.problem import InvalidRequest
from app.service.event import ID

PREFIXES: Final = (CHANNEL_PREFIX, EVENTS_PREFIX)
PATTERNS: Final = (EVERY_SURFACE, EVERY_EVENT)
CHANNEL: Final = re.compile(f"({'|'.join(map(re.escape, PREFIXES))})" + r"(\*|[^\s*]{1,64})")
VERSION: Final = re.compile(r"[0-9]{1,19}")
"""Microseconds since the epoch until the year 300,000."""
EVENT_ID: Final = re.compile(ID)


class StreamRequest(msgspec.Struct, frozen=True):
    """What a client sends. ``resume`` maps channels to what the client has had last: ``surface.<underlying>`` to a
    version, ``events.<underlying>`` or ``events.*`` to the id of an event.
    """

    op: Literal["subscribe", "unsubscribe", "ping"]
    id: int | str | None = None
    channels: list[str] = []
    resume: dict[str, str] = {}


class Ack(msgspec.Struct, frozen=True):
    """The one answer to subscribe and unsubscribe; ``reasons`` says why for each rejected channel."""

    id: int | str | None
    accepted: list[str]
    rejected: list[str]
    reasons: dict[str, str]
    op: Literal["ack"] = "ack"


class Pong(msgspec.Struct, frozen=True):
    """The answer to ping, with the service's time."""

    id: int | str | None
    time: str
    op: Literal["pong"] = "pong"


class StreamError(msgspec.Struct, frozen=True):
    """The answer to a message that is none of the requests."""

    detail: str
    op: Literal["error"] = "error"


_decode: Final = msgspec.json.Decoder(StreamRequest).decode


def parse_request(message: bytes, format_: MessageFormat = MessageFormat.JSON) -> StreamRequest:
    """Return the request. Raises InvalidRequest saying what is wrong with the message."""
    try:
        return _decode(format_.read(message))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"not a request: {error}") from error


def sort_channels(
    request: StreamRequest, *, taken: int, limit: int, sees: Callable[[str], bool]
) -> tuple[dict[str, str | None], dict[str, str]]:
    """Return the channels of a subscription to accept, with what to resume each from, and why others are not.

    ``taken`` channels are subscribed already, of at most ``limit``. A channel that is only resumed must be covered by
    one of the channels asked for. ``sees`` says which underlyings the client may have; a pattern covers those only.
    """
    accepted: dict[str, str | None] = {}
    reasons: dict[str, str] = {}
    for channel in request.channels:
        if not CHANNEL.fullmatch(channel):
            reasons[channel] = f"channels are {', '.join(f'{each}* and {each}<underlying>' for each in PREFIXES)}"
        elif channel not in PATTERNS and not sees(underlying_of(channel)):
            reasons[channel] = "the key is not for this underlying"
        elif taken + len(accepted) >= limit and channel not in accepted:
            reasons[channel] = f"at most {limit} channels a connection"
        else:
            accepted[channel] = None
    for channel, mark in request.resume.items():
        if channel == EVERY_SURFACE or not CHANNEL.fullmatch(channel):
            reasons[channel] = "resume names single channels, not patterns"
        elif channel not in accepted and channel.partition(".")[0] + ".*" not in accepted:
            reasons.setdefault(channel, "resumed but not subscribed")
        elif channel not in PATTERNS and not sees(underlying_of(channel)):
            reasons[channel] = "the key is not for this underlying"
        elif is_event_channel(channel) and not EVENT_ID.fullmatch(mark):
            accepted.pop(channel, None)
            reasons[channel] = f"{mark!r} is no id of an event"
        elif not is_event_channel(channel) and not VERSION.fullmatch(mark):
            accepted.pop(channel, None)
            reasons[channel] = f"{mark!r} is not a version"
        else:
            accepted[channel] = mark
    return accepted, reasons


def is_event_channel(channel: str) -> bool:
    """Tell events from surfaces."""
    return channel.startswith(EVENTS_PREFIX)


def underlying_of(channel: str) -> str:
    """Return the underlying of a channel that is no pattern."""
    return channel.partition(".")[2]


def encode(message: Any) -> str:
    """Return ``message`` as JSON text."""
    return msgspec.json.encode(message).decode()
