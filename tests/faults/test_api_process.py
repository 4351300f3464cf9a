"""The API's process over a real store: a frozen store, a farewell to many subscribers, and what it adds to a fit."""

import asyncio
import json
import signal
import time
from collections.abc import Iterator, Sequence

import httpx
import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect as connect_blocking

from app.service.document import encode_document
from app.store.links import ANSWER_WITHIN_S
from tests.api.documents import document
from tests.api.test_chains import chain
from tests.faults.api_process import ApiProcess, api_process
from tests.faults.extent import FULL
from tests.faults.figures import HANG_FACTOR, law, timing
from tests.running_service import JSON
from tests.servers import RealServer
from tests.store.stored import AS_OF_MS, HANGS_AFTER_S, TIMINGS, OpenStore, claimed, opened, until

FROZEN_S = 12.0 if FULL else 2.0
SUBSCRIBERS = 500 if FULL else 40
ROUNDS = 300 if FULL else 40
LEAVES_WITHIN_S = 10.0
QUOTES = 200


@pytest.fixture(scope="module")
def api(shared_server: RealServer) -> Iterator[ApiProcess]:
    """One process for all tests, which have an underlying each; the last of them ends it."""
    with api_process(shared_server.url) as api:
        yield api


@pytest.fixture
def store(shared_server: RealServer) -> Iterator[OpenStore]:
    with opened(shared_server.url) as store:
        yield store


@pytest.mark.promise("T5")
def test_a_frozen_store_is_a_503_in_time_and_nothing_counts_twice(shared_server: RealServer, store: OpenStore) -> None:
    waits_s = []
    with (
        api_process(shared_server.url, store_answers_within_s=ANSWER_WITHIN_S) as api,
        httpx.Client(base_url=f"http://{api.address}", timeout=HANGS_AFTER_S) as http,
    ):

        def taken(step: int) -> bool:
            answer = http.post("/v1/chains/native", json=chain(AS_OF_MS + step, underlying="FROZEN"))
            assert answer.status_code in (200, 202, 503)
            return answer.status_code != 503

        until(lambda: taken(0))
        shared_server.freeze()
        try:
            thaw_at = time.monotonic() + FROZEN_S
            while time.monotonic() < thaw_at:
                began = time.monotonic()
                refused = http.post("/v1/chains/native", json=chain(AS_OF_MS + 1 + len(waits_s), underlying="FROZEN"))
                waits_s.append(time.monotonic() - began)
                assert (refused.status_code, "retry-after" in refused.headers) == (503, True)
                time.sleep(0.1)
        finally:
            shared_server.thaw()
        distinct = len(waits_s) + 1
        time.sleep(1.0)
        for step in range(distinct):
            until(lambda step=step: taken(step))  # type: ignore[misc]
    counts = store.counts("FROZEN")
    accepted = counts.outcomes["queued"] + counts.outcomes["coalesced"] + counts.outcomes["deferred"]
    assert accepted <= distinct
    timing("T5", "slowest 503 while the store is frozen", max(waits_s), "s", at_most=1.0)
    law("T5", "chains with a double effect after the thaw", max(accepted - distinct, 0), at_most=0)


@pytest.mark.promise("T23")
def test_what_the_service_adds_to_a_fit(store: OpenStore, api: ApiProcess) -> None:
    """From the POST to the worker that holds the chain, and from the worker's answer to the subscriber's frame."""
    fitted = encode_document(document("ADDED", AS_OF_MS, 0))
    worker = store.worker()
    while sum(store.run(store.api.fleet.status()).queue_depth.values()):  # of the tests before
        worker.commit(claimed(worker), fitted, outcome="ok", timings=TIMINGS)
    to_worker_s, to_frame_s = [], []
    with (
        httpx.Client(base_url=f"http://{api.address}", timeout=HANGS_AFTER_S) as http,
        connect_blocking(f"ws://{api.address}/v1/stream", compression=None) as stream,
    ):
        stream.send('{"op": "subscribe", "id": 1, "channels": ["surface.ADDED"]}')
        stream.recv(timeout=HANGS_AFTER_S)
        for step in range(ROUNDS + 5):
            body = json.dumps(chain(AS_OF_MS + step, QUOTES, underlying="ADDED"))
            began = time.perf_counter()
            assert http.post("/v1/chains/native", content=body, headers=JSON).status_code == 202
            claim = claimed(worker)
            claimed_at = time.perf_counter()
            worker.commit(claim, fitted, outcome="ok", timings=TIMINGS)
            committed_at = time.perf_counter()
            stream.recv(timeout=HANGS_AFTER_S)
            to_worker_s.append(claimed_at - began)
            to_frame_s.append(time.perf_counter() - committed_at)
    _report(f"POST of {QUOTES} quotes to a worker that has them", to_worker_s[5:])
    _report("commit to WebSocket frame", to_frame_s[5:])


def _report(what: str, seconds: Sequence[float]) -> None:
    p50, p99 = np.percentile(1e3 * np.asarray(seconds), [50, 99])
    timing("T23", f"{what}, p50", float(p50), "ms", at_most=5.0)
    timing("T23", f"{what}, p99", float(p99), "ms", at_most=25.0)


@pytest.mark.promise("T22")
def test_subscribers_are_told_to_come_back_and_the_process_ends_in_time(store: OpenStore, api: ApiProcess) -> None:

    async def codes() -> tuple[list[int | None], float]:
        sockets = [await connect(f"ws://{api.address}/v1/stream", compression=None) for _ in range(SUBSCRIBERS)]
        for socket in sockets:
            await socket.send('{"op": "subscribe", "id": 1, "channels": ["surface.LAST"]}')
            await socket.recv()
        began = time.monotonic()
        api.process.terminate()
        closed = await asyncio.gather(*map(_close_code, sockets))
        await asyncio.to_thread(api.process.wait, HANG_FACTOR * LEAVES_WITHIN_S)
        return list(closed), time.monotonic() - began

    closed, took_s = asyncio.run(codes())
    assert closed == [1012] * SUBSCRIBERS
    assert api.process.returncode in (0, -signal.SIGTERM), "it ended by itself, as the signal said"
    what = f"SIGTERM to the end of the API with {SUBSCRIBERS} subscribers"
    timing("T22", what, took_s, "s", at_most=LEAVES_WITHIN_S)


async def _close_code(socket: ClientConnection) -> int | None:
    try:
        async with asyncio.timeout(HANG_FACTOR * LEAVES_WITHIN_S):
            while True:
                await socket.recv()
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else None
