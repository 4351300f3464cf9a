"""From the first byte of a POST to the WebSocket frame with its surface.

The posts are the standard library's: a client that takes a millisecond of its own for a request would be measured too.
"""

import http.client
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import closing

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from tests.bench.figure import Figure, percentiles
from tests.bench.market import next_chain, recorded_day
from tests.running_service import JSON, RunningService, free_port

ROUNDS = 200
NAIVE_ROUNDS = 5
WARM_UP_ROUNDS = 5
REJECTED_AFTER_S = 2.0


def figures(service: RunningService) -> Iterator[Figure]:
    naive = list(_naive_seconds())
    with (
        closing(http.client.HTTPConnection("127.0.0.1", service.port, timeout=30.0)) as connection,
        connect(service.stream_url, compression=None) as stream,
    ):
        stream.send('{"op": "subscribe", "id": 1, "channels": ["surface.*"]}')
        stream.recv(timeout=10)
        for body in (next_chain() for _ in range(WARM_UP_ROUNDS)):
            _round(connection, stream, body)
        same = [_round(connection, stream, body) for body in (next_chain() for _ in range(ROUNDS))]
        yield from percentiles("POST to frame, 868 quotes of 2026-08-01", same, naive)
        yield from percentiles("POST to frame, a recorded market (2023)", _recorded(connection, stream))


def _recorded(connection: http.client.HTTPConnection, stream: ClientConnection) -> list[float]:
    """Three passes over the recording under names of their own; the first chain of each is cold and left out.

    A chain that the gate rejects has no frame.
    """
    seconds = []
    for name in ("R1", "R2", "R3"):
        for number, body in enumerate(recorded_day(name)):
            try:
                elapsed_s = _round(connection, stream, body, within_s=REJECTED_AFTER_S)
            except TimeoutError:
                continue
            if number:
                seconds.append(elapsed_s)
    return seconds


def _round(
    connection: http.client.HTTPConnection, stream: ClientConnection, body: bytes, within_s: float = 10.0
) -> float:
    started = time.perf_counter()
    _post(connection, "/v1/chains/deribit", body)
    stream.recv(timeout=within_s)
    return time.perf_counter() - started


def _post(connection: http.client.HTTPConnection, path: str, body: bytes) -> None:
    connection.request("POST", path, body, JSON)
    answer = connection.getresponse()
    said = answer.read()
    if answer.status >= http.client.BAD_REQUEST:
        raise AssertionError(f"POST {path} answered {answer.status}: {said[:300]!r}")


def _naive_seconds() -> Iterable[float]:
    port = free_port()
    server = subprocess.Popen([sys.executable, "-m", "tests.bench.naive_service", str(port)])
    try:
        with (
            _connect_when_up(f"ws://127.0.0.1:{port}/stream") as stream,
            closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60.0)) as connection,
        ):
            for number in range(NAIVE_ROUNDS + 1):
                started = time.perf_counter()
                _post(connection, "/chains", next_chain())
                stream.recv(timeout=60)
                if number:
                    yield time.perf_counter() - started
    finally:
        server.terminate()
        server.wait()


def _connect_when_up(url: str) -> ClientConnection:
    for _ in range(300):
        try:
            return connect(url)
        except (OSError, WebSocketException):
            time.sleep(0.1)
    raise AssertionError("the naive service did not start")
