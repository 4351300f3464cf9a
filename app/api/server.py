"""uvicorn as this service runs it: an own listening socket, deadlines, and an end that does not wait for ever."""

import asyncio
import socket
from collections.abc import Sequence
from typing import Any, Final

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

SEND_BUFFER_BYTES: Final = 128 * 1024
"""The kernel's own default hides some 3 MB a client, 57 surfaces: too old by the time a slow reader sees them."""

UNACKNOWLEDGED_MS: Final = 12_000
"""After this long without an acknowledgement the kernel ends a connection; closing alone waits for minutes."""

RECEIVE_DEADLINE_S: Final = 10.0
"""A request must be here whole by then, however slowly its bytes trickle in."""

BACKLOG: Final = 1024
WS_PING_S: Final = 20.0
WS_QUEUE: Final = 2
"""Messages of a connection read ahead of the application, each of up to the size of a body."""
GRACEFUL_SHUTDOWN_S: Final = 5
LIMIT_CONCURRENCY: Final = 4_000
LOOPBACK: Final = ("127.0.0.0/8", "::1")

_TIMED_OUT: Final = (
    b"HTTP/1.1 408 Request Timeout\r\ncontent-type: application/problem+json\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%b"
)
_TIMED_OUT_BODY: Final = (
    b'{"type":"about:blank","title":"Request Timeout","status":408,"detail":"The request did not arrive within 10 s."}'
)


class DeadlineProtocol(HttpToolsProtocol):
    """HTTP with an absolute deadline from a request's first byte to its last; uvicorn itself waits for ever."""

    receive_deadline_s = RECEIVE_DEADLINE_S
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock: a connection that says nothing is a request that does not arrive."""
        super().connection_made(transport)
        self._start_clock()

    def data_received(self, data: bytes) -> None:
        """Start the clock unless it runs; whatever the bytes are, a whole request stops it."""
        self._start_clock()
        super().data_received(data)

    def on_message_begin(self) -> None:
        """Start the clock of a pipelined request."""
        super().on_message_begin()
        self._start_clock()

    def on_message_complete(self) -> None:
        """Stop the clock."""
        super().on_message_complete()
        self._stop_clock()

    def handle_websocket_upgrade(self) -> None:
        """Stop the clock: pings watch a WebSocket."""
        self._stop_clock()
        super().handle_websocket_upgrade()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop_clock()
        super().connection_lost(exc)

    def _start_clock(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.receive_deadline_s, self._time_is_up)

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _time_is_up(self) -> None:
        # While a whole request is being answered, what came behind it gets the same time again.
        self._deadline = None
        cycle: RequestResponseCycle | None = self.cycle
        if cycle and not cycle.response_complete and not cycle.more_body:
            self._start_clock()
            return
        if cycle is None or not (cycle.response_started and cycle.more_body):
            self.transport.write(_TIMED_OUT % (len(_TIMED_OUT_BODY), _TIMED_OUT_BODY))
        self.transport.close()


def listening_socket(host: str, port: int) -> socket.socket:
    """Return a bound TCP socket whose connections inherit the buffer and the timeouts. Raises OSError."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener


def server_for(
    app: FastAPI, *, max_message_bytes: int, proxies: Sequence[str] = (), limit_concurrency: int = LIMIT_CONCURRENCY
) -> uvicorn.Server:
    """Return the server of ``app``; run it with ``server.run(sockets=[listening_socket(...)])``.

    A proxy on this machine or in one of the networks ``proxies`` is believed when it says whom a request is from.
    Without that, whoever comes through it would be taken for it, and let in as it is.
    """
    options: dict[str, Any] = {
        "http": DeadlineProtocol,
        "ws_max_size": max_message_bytes,
        "ws_max_queue": WS_QUEUE,
        "ws_ping_interval": WS_PING_S,
        "ws_ping_timeout": WS_PING_S,
        "ws_per_message_deflate": False,
        "timeout_graceful_shutdown": GRACEFUL_SHUTDOWN_S,
        "forwarded_allow_ips": [*LOOPBACK, *proxies],
        "limit_concurrency": limit_concurrency,
        "backlog": BACKLOG,
        "server_header": False,
        "access_log": False,
        "log_config": None,
        "lifespan": "on",
    }
    return uvicorn.Server(uvicorn.Config(app, **options))


def serve(app: FastAPI, host: str, port: int, *, max_message_bytes: int, proxies: Sequence[str] = ()) -> None:
    """Serve ``app`` until SIGINT or SIGTERM; subscribers are closed with 1012. Raises OSError for a taken address."""
    with listening_socket(host, port) as listener:
        server_for(app, max_message_bytes=max_message_bytes, proxies=proxies).run(sockets=[listener])
