"""HTTP/1.1 over one socket, as little of it as a request needs.

What a client library adds depends on the library: `http.client` takes 0.15 to 0.3 ms over a request, and sends its
headers ahead of the body, which wakes the server twice. The benchmarks are about the service.
"""

import socket
from collections.abc import Mapping
from types import TracebackType
from typing import Self

RECEIVED_AT_ONCE_BYTES = 64 * 1024
HEAD_END = b"\r\n\r\n"


class BareClient:
    """One connection, one request at a time; answers must say their length."""

    def __init__(self, port: int, timeout_s: float = 30.0) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._host = f"127.0.0.1:{port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._socket.close()

    def asked(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Return status and body of the answer, whole."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._host}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self._socket.sendall("\r\n".join(lines).encode() + HEAD_END + body)
        received = self._received(b"")
        while HEAD_END not in received:
            received = self._received(received)
        head, _, said = received.partition(HEAD_END)
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        parts, missing = [said], length - len(said)
        while missing > 0:
            parts.append(self._received(b""))
            missing -= len(parts[-1])
        return int(head.split(maxsplit=2)[1]), b"".join(parts)

    def _received(self, so_far: bytes) -> bytes:
        more = self._socket.recv(RECEIVED_AT_ONCE_BYTES)
        if not more:
            raise AssertionError(f"the service closed the connection after {so_far[:300]!r}")
        return so_far + more
