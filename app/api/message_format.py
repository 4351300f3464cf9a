"""How messages travel on the stream: JSON text, or msgpack of the same content for clients that offer it."""

from enum import StrEnum

import msgspec
from starlette.websockets import WebSocket


class MessageFormat(StrEnum):
    """By the name of its WebSocket subprotocol; a client that offers none gets JSON."""

    JSON = "smilekeeper.v1.json"
    MSGPACK = "smilekeeper.v1.msgpack"

    def written(self, text: str) -> str | bytes:
        """Return the message that says what the JSON ``text`` says."""
        return packed(text) if self is MessageFormat.MSGPACK else text

    def read(self, message: bytes) -> bytes:
        """Return the JSON of a client's message. Raises msgspec.DecodeError, RecursionError."""
        return msgspec.json.encode(msgspec.msgpack.decode(message)) if self is MessageFormat.MSGPACK else message


def offered(socket: WebSocket) -> MessageFormat | None:
    """Return the first format that the client offers, in its order of preference."""
    known = {each.value: each for each in MessageFormat}
    return next((known[name] for name in socket.scope.get("subprotocols", ()) if name in known), None)


def packed(text: str) -> bytes:
    """Return JSON ``text`` as msgpack."""
    return msgspec.msgpack.encode(msgspec.json.decode(text))
