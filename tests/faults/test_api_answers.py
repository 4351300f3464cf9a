"""What the API's process tells over a real store: chains again, late and early, a store without memory, a resume."""

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from app.service.document import encode_document
from app.service.ports import Claim, CommitOutcome
from app.store.work_queue import RedisWorkQueue
from tests.api.documents import document
from tests.api.test_chains import chain
from tests.faults.api_process import ApiProcess, api_process
from tests.faults.figures import law, timing
from tests.servers import RealServer
from tests.store.stored import AS_OF_MS, HANGS_AFTER_S, TIMINGS, OpenStore, claimed, opened, until

SECOND, HOUR, DAY = 1_000, 3_600_000, 86_400_000
UPDATES = 100
HEARD_BEFORE_A_BREAK = 7


@pytest.fixture(scope="module")
def api(shared_server: RealServer) -> Iterator[ApiProcess]:
    """One process for all tests, which have an underlying each."""
    with api_process(shared_server.url) as api:
        yield api


@pytest.fixture
def http(api: ApiProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://{api.address}", timeout=HANGS_AFTER_S) as http:
        yield http


def post(http: httpx.Client, underlying: str, as_of_ms: int, **changes: Any) -> httpx.Response:
    return http.post("/v1/chains/native", json=chain(as_of_ms, underlying=underlying, **changes))


@pytest.mark.promise("T11")
def test_every_order_of_chains_is_answered_for_what_it_is(http: httpx.Client, store: OpenStore) -> None:
    now = time.time_ns() // 1_000_000
    expected = [
        (now - SECOND, 1, "queued"),
        (now - SECOND, 1, "duplicate"),
        (now - SECOND, 0, "stale"),
        (now - SECOND, 2, "coalesced"),
        (now - 2 * SECOND, 9, "stale"),
        (now - DAY, 0, "stale"),
        (now + HOUR, 0, "urn:smilekeeper:problem:clock-skew"),
        (now, 0, "coalesced"),
        (now + 2 * SECOND, 0, "coalesced"),
        (now + 2 * SECOND + 1, 0, "coalesced"),
    ]
    answers = [post(http, "ORDER", as_of_ms, sequence=sequence) for as_of_ms, sequence, _ in expected]
    told = [_told(answer) for answer in answers]
    wrong = [(is_told, *row) for is_told, row in zip(told, expected, strict=True) if is_told != row[-1]]
    assert not wrong
    law("T11", f"wrong answers to {len(expected)} chains, again, late and early", len(wrong), at_most=0)
    counts = store.counts("ORDER")
    assert (counts.received, counts.duplicate, counts.stale, counts.pending) == (9, 1, 3, 1)


def _told(answer: httpx.Response) -> str:
    if answer.status_code == 422:
        return str(answer.json()["type"])
    assert answer.status_code == (200 if answer.json()["status"] in ("duplicate", "stale") else 202)
    return str(answer.json()["status"])


@pytest.mark.promise("T6")
def test_a_store_without_memory_is_a_503_and_drains(server: RealServer, store: OpenStore, http: httpx.Client) -> None:
    worker = store.worker()
    assert post(http, "FULL", AS_OF_MS).status_code == 202
    claim = claimed(worker)
    assert post(http, "FULL", AS_OF_MS + 1).status_code == 202
    server.run("CONFIG", "SET", "maxmemory", "1")
    try:
        began = time.monotonic()
        refused = post(http, "FULL", AS_OF_MS + 2)
        timing("T6", "a 503 from a store without memory", time.monotonic() - began, "s", at_most=1.0)
        assert (refused.status_code, "retry-after" in refused.headers) == (503, True)
        published = [_commit(worker, claim), _commit(worker, claimed(worker))]
        unpublished = sum(outcome is not CommitOutcome.PUBLISHED for outcome in published)
        law("T6", "chains in the queue that are not fitted and published meanwhile", unpublished, at_most=0)
    finally:
        server.run("CONFIG", "SET", "maxmemory", "512mb")
    began = time.monotonic()
    until(lambda: post(http, "FULL", AS_OF_MS + 2).status_code == 202)
    timing("T6", "from room in memory to the next accepted chain", time.monotonic() - began, "s", at_most=3.0)
    counts = store.counts("FULL")
    assert (counts.fitted, counts.pending) == (2, 1)


def _commit(worker: RedisWorkQueue, claim: Claim) -> CommitOutcome:
    fitted = encode_document(document(claim.underlying, claim.as_of_ms, claim.sequence))
    return worker.commit(claim, fitted, outcome="ok", timings=TIMINGS)


@pytest.mark.promise("T16")
def test_a_stream_that_breaks_resumes_without_a_gap(server: RealServer, store: OpenStore, api: ApiProcess) -> None:
    """The connection breaks after every few messages, while surfaces go on being published."""
    store.publish("RESUME", AS_OF_MS, encode_document(document("RESUME", AS_OF_MS, 0)))
    newest = store.run(store.api.surfaces.newest("RESUME"))
    assert newest is not None
    publishing = threading.Thread(target=_publish, args=(server.url,))
    publishing.start()
    versions, told, silent, breaks = [str(newest.version)], 0, 0, 0
    deadline = time.monotonic() + HANGS_AFTER_S
    while told < UPDATES:
        assert time.monotonic() < deadline, f"{told} of {UPDATES} updates were heard or counted"
        with connect(f"ws://{api.address}/v1/stream", compression=None) as stream:
            resume = {"surface.RESUME": versions[-1]}
            stream.send(json.dumps({"op": "subscribe", "id": 1, "channels": ["surface.RESUME"], "resume": resume}))
            assert json.loads(stream.recv(timeout=HANGS_AFTER_S))["op"] == "ack"
            for _ in range(min(HEARD_BEFORE_A_BREAK, UPDATES - told)):
                heard = json.loads(stream.recv(timeout=HANGS_AFTER_S))
                assert not heard.get("reset"), "everything since is kept"
                silent += heard["prev_version"] != versions[-1] and not heard["conflated"]
                told += 1 + heard["conflated"]
                versions.append(heard["version"])
        breaks += 1
    publishing.join()
    assert [int(version) for version in versions] == sorted({int(version) for version in versions})
    assert told == UPDATES
    newest = store.run(store.api.surfaces.newest("RESUME"))
    assert newest is not None
    assert versions[-1] == str(newest.version)
    law("T16", f"silent gaps in {UPDATES} updates heard by a client that resumes", silent, at_most=0)
    law("T16", "connections it took", breaks, at_least=2)


def _publish(url: str) -> None:
    with opened(url) as store:
        for step in range(1, UPDATES + 1):
            store.publish("RESUME", AS_OF_MS + step, encode_document(document("RESUME", AS_OF_MS + step, 0)))
            time.sleep(0.01)
