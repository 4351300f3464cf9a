"""Chains a second through one worker: many underlyings wait at once, so that nothing is superseded."""

import time
from collections.abc import Iterator

import httpx

from tests.bench.figure import Figure
from tests.bench.market import next_chain
from tests.running_service import JSON, RunningService

UNDERLYINGS = [f"U{number:02}" for number in range(40)]
ROUNDS = 5


def figures(service: RunningService) -> Iterator[Figure]:
    assert len(service.workers()) == 1
    with httpx.Client(base_url=service.base_url, headers=JSON, timeout=30.0) as http:
        _post_and_drain(http)
        started = time.perf_counter()
        for _ in range(ROUNDS):
            _post_and_drain(http)
        seconds = time.perf_counter() - started
    yield Figure("chains through one worker, 868 quotes", ROUNDS * len(UNDERLYINGS) / seconds, "1/s")


def _post_and_drain(http: httpx.Client) -> None:
    for underlying in UNDERLYINGS:
        http.post("/v1/chains/deribit", content=next_chain(underlying)).raise_for_status()
    while _pending(http):
        time.sleep(0.002)


def _pending(http: httpx.Client) -> int:
    lines = http.get("/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) > 0 for line in lines if line.startswith("volsurf_chains_pending{"))
