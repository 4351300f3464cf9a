"""The AsyncAPI 3.0 document: what is said on the two WebSockets, with schemas from the structs that are really sent."""

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from app.api.connection import Authenticated, CloseCode, Credentials
from app.api.event_queue import StreamEvent
from app.api.message_format import MessageFormat
from app.api.openapi import EVENT_EXAMPLE, SCHEMAS, reference
from app.api.problem import Problem
from app.api.stream_protocol import Ack, Pong, StreamError, StreamRequest
from app.service.document import SurfaceMessage
from app.venues.venue import Venue


class StreamSurface(msgspec.Struct, frozen=True):
    """A surface on its channel; ``conflated`` counts the ones before it that this client was not sent.

    ``reset`` says that the version asked for is no longer kept, so that the snapshot does not follow it.
    """

    type: Literal["snapshot", "update"]
    channel: str
    version: str
    prev_version: str
    conflated: int
    data: SurfaceMessage
    reset: bool = False


_CLOSE_CODES: Final = ", ".join(f"{code.value} {code.name.lower().replace('_', ' ')}" for code in CloseCode)

_SUBMIT: Final = (
    "One chain a message, in the format of the venue; ?content_type= names another one, as the header of a POST does."
)

_RECEIVED: Final = ("StreamRequest", "Credentials")
_SENT: Final = ("StreamSurface", "StreamEvent", "Ack", "Pong", "StreamError", "Authenticated")
_ANSWERS: Final = ("ChainAccepted", "SurfaceMessage", "Problem", "Authenticated")


def asyncapi_document(
    title: str,
    version: str,
    venues: Mapping[str, Venue],
    body_formats: Mapping[tuple[str, str], Venue],
    accepted: type,
) -> dict[str, Any]:
    """Return the document; ``accepted`` is the struct that answers a chain."""
    chains = [*venues.values(), *body_formats.values()]
    sent = [StreamSurface, StreamEvent, StreamRequest, Ack, Pong, StreamError, Problem, SurfaceMessage, accepted]
    sent += [Credentials, Authenticated]
    formats, components = msgspec.json.schema_components([each.schema for each in chains] + sent, ref_template=SCHEMAS)
    messages: dict[str, dict[str, Any]] = {
        name: {"payload": reference(name)} for name in (*_RECEIVED, *_SENT, *_ANSWERS)
    }
    example = {"type": "event", "channel": "events.BTC", "missed": 0, "data": EVENT_EXAMPLE, "reset": False}
    messages["StreamEvent"]["examples"] = [{"payload": example}]
    messages["Chain"] = {"payload": {"anyOf": list(formats[: len(chains)])}}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": title,
            "version": version,
            "description": f"Subprotocol {MessageFormat.MSGPACK} sends and takes /v1/stream's messages as msgpack."
            f" Close codes: 1001 and 1012 restart, {_CLOSE_CODES}.",
        },
        "defaultContentType": "application/json",
        "channels": {
            "stream": _channel("/v1/stream", (*_RECEIVED, *_SENT)),
            "chains": _channel("/v1/chains/{venue}", ("Chain", "Credentials", *_ANSWERS), venue=sorted(venues)),
        },
        "operations": {
            "request": _operation("receive", "stream", _RECEIVED, "Subscribe, unsubscribe, ping."),
            "announce": _operation("send", "stream", _SENT, "Snapshots, updates, events and replies."),
            "submitChains": _operation("receive", "chains", ("Chain", "Credentials"), _SUBMIT),
            "answerChains": _operation("send", "chains", _ANSWERS, "One answer a chain, in order."),
        },
        "components": {"messages": messages, "schemas": components},
    }


def _channel(address: str, messages: tuple[str, ...], **parameters: list[str]) -> dict[str, Any]:
    channel: dict[str, Any] = {
        "address": address,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
    }
    if parameters:
        channel["parameters"] = {name: {"enum": values} for name, values in parameters.items()}
    return channel


def _operation(action: str, channel: str, messages: tuple[str, ...], summary: str) -> dict[str, Any]:
    return {
        "action": action,
        "summary": summary,
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in messages],
    }
