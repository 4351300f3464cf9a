"""Chains a second through one worker: it is stopped while chains of many underlyings queue up, then timed."""

import json
import os
import signal
import time
from collections.abc import Iterator

import httpx
from websockets.sync.client import ClientConnection, connect

from tests.bench.figure import Figure
from tests.bench.market import next_chain
from tests.running_service import JSON, RunningService

UNDERLYINGS = [f"U{number:02}" for number in range(40)]
ROUNDS = 5


def figures(service: RunningService) -> Iterator[Figure]:
    (worker,) = service.workers()
    with (
        httpx.Client(base_url=service.base_url, headers=JSON, timeout=30.0) as http,
        connect(service.stream_url, compression=None) as stream,
    ):
        channels = [f"surface.{underlying}" for underlying in UNDERLYINGS]
        stream.send(json.dumps({"op": "subscribe", "channels": channels}))
        stream.recv(timeout=10)
        _drain_s(http, stream, worker)
        seconds = sum(_drain_s(http, stream, worker) for _ in range(ROUNDS))
    yield Figure("chains through one worker, 868 quotes", ROUNDS * len(UNDERLYINGS) / seconds, "1/s")


def _drain_s(http: httpx.Client, stream: ClientConnection, worker: int) -> float:
    """Return the time from the worker's release to the last of its surfaces."""
    os.kill(worker, signal.SIGSTOP)
    try:
        for underlying in UNDERLYINGS:
            http.post("/v1/chains/deribit", content=next_chain(underlying)).raise_for_status()
    finally:
        os.kill(worker, signal.SIGCONT)
    released = time.perf_counter()
    for _ in UNDERLYINGS:
        stream.recv(timeout=30)
    return time.perf_counter() - released
