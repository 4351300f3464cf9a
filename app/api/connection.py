"""A WebSocket as the API uses it: text in, text out, a limit on size and on time, and one way to end it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from enum import IntEnum
from typing import Final

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from app.api.access import Scope, check_scope
from app.api.context import ApiContext
from app.api.problem import NotAllowed, NotAuthenticated


class CloseCode(IntEnum):
    """Why the service ends a connection; 1001 and 1012 on a restart come from the server itself."""

    MESSAGE_TOO_BIG = 1009
    INTERNAL_ERROR = 1011
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


async def send_message(socket: WebSocket, text: str, timeout_s: float) -> None:
    """Send ``text``. Raises WebSocketDisconnect, and Closing when the client does not read for ``timeout_s``."""
    try:
        async with asyncio.timeout(timeout_s):
            await socket.send_text(text)
    except TimeoutError:
        raise Closing(CloseCode.TOO_SLOW, f"nothing was read for {timeout_s:g} s") from None


@contextlib.asynccontextmanager
async def accepted(socket: WebSocket, context: ApiContext, needed: Scope) -> AsyncIterator[None]:
    """Accept ``socket``, run the block, close as a Closing from it says; a disconnect ends it quietly."""
    await socket.accept()
    limits, connections = context.services.limits, context.metrics.connections
    connections.opened()
    try:
        try:
            check_scope(context.services.scopes_of(socket), needed)
            if connections.count > limits.ws_connections:
                raise Closing(CloseCode.TOO_MANY_REQUESTS, f"at most {limits.ws_connections} connections are served")
            yield
        except NotAuthenticated as error:
            await _close(socket, Closing(CloseCode.NOT_AUTHENTICATED, str(error)), limits.ws_close_timeout_s)
        except NotAllowed as error:
            await _close(socket, Closing(CloseCode.NOT_ALLOWED, str(error)), limits.ws_close_timeout_s)
        except Closing as closing:
            if closing.code is CloseCode.TOO_SLOW:
                context.metrics.ws_slow_disconnects.inc()
            await _close(socket, closing, limits.ws_close_timeout_s)
    except WebSocketDisconnect:
        pass
    finally:
        connections.closed()


async def _close(socket: WebSocket, closing: Closing, timeout_s: float) -> None:
    if socket.application_state is not WebSocketState.CONNECTED:
        return
    reason = closing.reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore")
    # A client that reads nothing blocks the close frame too; the kernel's own timeout then ends the connection.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await socket.close(closing.code, reason)
