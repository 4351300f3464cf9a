"""What one request costs its caller: chains in three forms, queries of three sizes, the surface itself."""

import time
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from itertools import repeat

import msgspec

from app.venues.native_columns import COLUMNS_MEDIA_TYPE
from tests.bench.bare_client import BareClient
from tests.bench.figure import Figure, percentiles
from tests.bench.market import native_columns, native_rows, next_chain
from tests.running_service import JSON, RunningService

ROUNDS = 300
WARM_UP_ROUNDS = 20
POINTS = {1: ROUNDS, 100: ROUNDS, 10_000: ROUNDS // 10}
"""Points of a query and how often it is asked."""
CHAIN_EVERY_S = 0.05
"""Pause between posted chains in which the fit of the one before is over, and the processors have gone to sleep."""


def figures(service: RunningService) -> Iterator[Figure]:
    with BareClient(service.port) as client:
        caller = _Caller(client)
        caller.seconds("POST", "/v1/chains/deribit?wait_ms=10000", next_chain(), JSON)
        for form, venue, chain, headers in (
            ("Deribit's rows", "deribit", next_chain, JSON),
            ("native rows", "native", native_rows, JSON),
            ("native columns", "native", native_columns, {"Content-Type": COLUMNS_MEDIA_TYPE}),
        ):
            name = f"POST of 868 quotes, {form}"
            seconds = list(caller.posted(f"/v1/chains/{venue}", chain, headers, CHAIN_EVERY_S))
            yield from percentiles(f"{name}, every {CHAIN_EVERY_S:g} s", seconds[WARM_UP_ROUNDS:])
            yield from _times(f"{name}, one after the other", caller.posted(f"/v1/chains/{venue}", chain, headers, 0.0))
        yield from _times("GET a surface", caller.asked("GET", "/v1/surfaces/BTC", b"", ROUNDS))
        for points, rounds in POINTS.items():
            asked = caller.asked("POST", "/v1/surfaces/BTC/evaluate", _query(points), rounds)
            yield from _times(f"evaluate {points:,} points with greeks", asked)


class _Caller:
    def __init__(self, client: BareClient) -> None:
        self._client = client

    def posted(
        self, path: str, chain: Callable[[], bytes], headers: Mapping[str, str], every_s: float
    ) -> Iterator[float]:
        """Post chains with pauses of ``every_s``; the time they take to write is not the service's."""
        for _ in range(WARM_UP_ROUNDS + ROUNDS):
            body = chain()
            time.sleep(every_s)
            yield self.seconds("POST", path, body, headers)

    def asked(self, method: str, path: str, body: bytes, rounds: int) -> Iterator[float]:
        for _ in repeat(None, WARM_UP_ROUNDS + rounds):
            yield self.seconds(method, path, body, JSON)

    def seconds(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> float:
        """Return how long the answer took, whole."""
        started = time.perf_counter()
        status, said = self._client.asked(method, path, body, headers)
        elapsed_s = time.perf_counter() - started
        if status >= HTTPStatus.BAD_REQUEST:
            raise AssertionError(f"{method} {path} answered {status}: {said[:300]!r}")
        return elapsed_s


def _times(name: str, asked: Iterator[float]) -> Iterator[Figure]:
    seconds = list(asked)[WARM_UP_ROUNDS:]
    yield from percentiles(name, seconds)
    yield Figure(f"{name}, one client", len(seconds) / sum(seconds), "1/s")


def _query(points: int) -> bytes:
    tenors = [(7.0, 30.0, 90.0, 180.0)[i % 4] for i in range(points)]
    moneyness = [-0.3 + 0.6 * i / max(points - 1, 1) for i in range(points)]
    return msgspec.json.encode({"tenor_days": tenors, "log_moneyness": moneyness, "greeks": True})
