"""What is said on /v1/stream, apart from the surfaces: requests in, acknowledgements and errors out."""

import re
from collections.abc import Callable
from typing import Any, Final, Literal

import msgspec

from app.api.hub import EVERY_SURFACE
from app.api.live_surface import CHANNEL_PREFIX
from app.api.message_format import MessageFormat
from app.api.problem import InvalidRequest

CHANNEL: Final = re.compile(re.escape(CHANNEL_PREFIX) + r"(\*|[^\s*]{1,64})")


class StreamRequest(msgspec.Struct, frozen=True):
    """What a client sends. ``resume`` maps channels (no pattern) to the last version the client has."""

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
) -> tuple[dict[str, int | None], dict[str, str]]:
    """Return the channels of a subscription to accept, with the version to resume each from, and why others are not.

    ``taken`` channels are subscribed already, of at most ``limit``. A channel that is only resumed must be covered by
    one of the channels asked for. ``sees`` says which underlyings the client may have; a pattern covers those only.
    """
    accepted: dict[str, int | None] = {}
    reasons: dict[str, str] = {}
    for channel in request.channels:
        if not CHANNEL.fullmatch(channel):
            reasons[channel] = f"channels are {EVERY_SURFACE} and {CHANNEL_PREFIX}<underlying>"
        elif channel != EVERY_SURFACE and not sees(channel.removeprefix(CHANNEL_PREFIX)):
            reasons[channel] = "the key is not for this underlying"
        elif taken + len(accepted) >= limit and channel not in accepted:
            reasons[channel] = f"at most {limit} channels a connection"
        else:
            accepted[channel] = None
    for channel, version in request.resume.items():
        if channel == EVERY_SURFACE or not CHANNEL.fullmatch(channel):
            reasons[channel] = "resume names single channels, not patterns"
        elif channel not in accepted and EVERY_SURFACE not in accepted:
            reasons.setdefault(channel, "resumed but not subscribed")
        elif not sees(channel.removeprefix(CHANNEL_PREFIX)):
            reasons[channel] = "the key is not for this underlying"
        elif not (version.isascii() and version.isdecimal() and len(version) <= MAX_VERSION_DIGITS):
            accepted.pop(channel, None)
            reasons[channel] = f"{version!r} is not a version"
        else:
            accepted[channel] = int(version)
    return accepted, reasons


MAX_VERSION_DIGITS: Final = 19
"""Microseconds since the epoch until the year 300,000."""


def encode(message: Any) -> str:
    """Return ``message`` as JSON text."""
    return msgspec.json.encode(message).decode()
