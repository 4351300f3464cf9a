"""A WebSocket as the API uses it: text in, text out, a limit on size and on time, and one way to end it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from enum import IntEnum
from typing import Final, Literal

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from app.api.access import Caller
from app.api.context import ApiContext
from app.api.message_format import MessageFormat
from app.api.problem import NotAllowed, NotAuthenticated, TooManyRequests
from app.service.access_key import Scope
from app.service.ports import CorruptPayload, StoreUnavailable


class CloseCode(IntEnum):
    """Why the service ends a connection; 1001 and 1012 on a restart come from the server itself."""

    MESSAGE_TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    TRY_AGAIN_LATER = 1013
    NOT_AUTHENTICATED = 4001
    NOT_ALLOWED = 4003
    TOO_SLOW = 4008
    TOO_MANY_REQUESTS = 4029


class Closing(Exception):
    """Ends the connection with a code and a reason."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Credentials(msgspec.Struct, frozen=True):
    """The first message of a client that is neither trusted by its address nor able to send headers."""

    op: Literal["auth"]
    key: str


class Authenticated(msgspec.Struct, frozen=True):
    """The answer to Credentials: what the key allows; ``underlyings`` is null where it allows all."""

    scopes: list[Scope]
    underlyings: list[str] | None
    op: Literal["auth"] = "auth"


_decode_credentials: Final = msgspec.json.Decoder(Credentials).decode

MAX_REASON_BYTES: Final = 123
"""What fits into a close frame (RFC 6455, 5.5)."""


async def receive_message(socket: WebSocket, max_bytes: int) -> bytes:
    """Return the next message, text or binary. Raises WebSocketDisconnect, and Closing when it is too large."""
    event = await socket.receive()
    if event["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(event.get("code", 1005), event.get("reason"))
    message: bytes = event["bytes"] if event.get("bytes") is not None else event["text"].encode()
    if len(message) > max_bytes:
        raise Closing(CloseCode.MESSAGE_TOO_BIG, f"message of {len(message)} bytes: at most {max_bytes} are read")
    return message


async def send_message(socket: WebSocket, message: str | bytes, timeout_s: float) -> None:
    """Send text or bytes. Raises WebSocketDisconnect, and Closing when the client does not read for ``timeout_s``."""
    try:
        async with asyncio.timeout(timeout_s):
            await (socket.send_text(message) if isinstance(message, str) else socket.send_bytes(message))
    except TimeoutError:
        raise Closing(CloseCode.TOO_SLOW, f"nothing was read for {timeout_s:g} s") from None


@contextlib.asynccontextmanager
async def accepted(
    socket: WebSocket, context: ApiContext, needed: Scope, format_: MessageFormat | None = None
) -> AsyncIterator[Caller]:
    """Accept ``socket``, give the block its caller, close as a Closing says; a disconnect ends it quietly.

    ``format_`` is the one of those offered that is spoken; None is JSON without a name.
    """
    await socket.accept(format_)
    limits, connections = context.services.limits, context.metrics.connections
    connections.opened()
    try:
        try:
            if connections.count > limits.ws_connections:
                raise Closing(CloseCode.TOO_MANY_REQUESTS, f"at most {limits.ws_connections} connections are served")
            caller = await _caller_of(socket, context, format_ or MessageFormat.JSON)
            caller.check(needed)
            most = limits.ws_connections_per_key if caller.has_key else limits.ws_connections
            with context.callers.one_of(caller.name, most):
                yield caller
        except NotAuthenticated as error:
            await _close(socket, Closing(CloseCode.NOT_AUTHENTICATED, str(error)), limits.ws_close_timeout_s)
        except TooManyRequests as error:
            await _close(socket, Closing(CloseCode.TOO_MANY_REQUESTS, str(error)), limits.ws_close_timeout_s)
        except NotAllowed as error:
            await _close(socket, Closing(CloseCode.NOT_ALLOWED, str(error)), limits.ws_close_timeout_s)
        except (StoreUnavailable, CorruptPayload) as error:
            await _close(socket, Closing(CloseCode.TRY_AGAIN_LATER, str(error)), limits.ws_close_timeout_s)
        except Closing as closing:
            if closing.code is CloseCode.TOO_SLOW:
                context.metrics.ws_slow_disconnects.inc()
            await _close(socket, closing, limits.ws_close_timeout_s)
    except WebSocketDisconnect:
        pass
    finally:
        connections.closed()


async def _caller_of(socket: WebSocket, context: ApiContext, format_: MessageFormat) -> Caller:
    """Return who is connected: by header or address, else by the first message, as browsers cannot send headers."""
    gate, limits = context.services.gate, context.services.limits
    caller = await gate.caller_of(socket)
    if caller.scopes:
        return caller
    try:
        with context.callers.one_of(f"stranger at {caller.name}", limits.ws_strangers_per_address):
            async with asyncio.timeout(limits.ws_auth_timeout_s):
                message = await receive_message(socket, limits.ws_message_bytes)
    except TimeoutError:
        raise NotAuthenticated(f"no key came within {limits.ws_auth_timeout_s:g} s") from None
    try:
        shown = _decode_credentials(format_.read(message))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise NotAuthenticated('the first message must be {"op": "auth", "key": "..."}') from None
    caller = await gate.caller_with(shown.key)
    welcome = Authenticated(sorted(caller.scopes), None if caller.underlyings is None else sorted(caller.underlyings))
    await send_message(socket, format_.written(msgspec.json.encode(welcome).decode()), limits.ws_send_timeout_s)
    return caller


async def _close(socket: WebSocket, closing: Closing, timeout_s: float) -> None:
    if socket.application_state is not WebSocketState.CONNECTED:
        return
    reason = closing.reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore")
    # A client that reads nothing blocks the close frame too; the kernel's own timeout then ends the connection.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await socket.close(closing.code, reason)
