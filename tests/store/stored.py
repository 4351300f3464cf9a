"""What the store's tests share: a small chain, an open store, and the conservation law."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np

from app.quant.arrays import frozen
from app.quant.chain import ExpiryQuotes, FutureQuote, OptionChain, Premium, TradingRules
from app.service.fleet_status import UnderlyingCounts
from app.service.ports import Claim, FitTimings, SubmitOutcome
from app.store.codec import encode_chain
from app.store.connect import AsyncStore, connect_async, connect_worker
from app.store.keys import Keys
from app.store.work_queue import RedisWorkQueue

T = TypeVar("T")
TIMINGS = FitTimings(calibration_s=0.02, queue_wait_s=0.001)
AS_OF_MS = 1_785_607_084_000
NOTHING_DAMAGED = {"surface": 0, "chain": 0, "kept_chain": 0, "factors": 0}
LEASE_NEVER_ENDS_S = 3_600.0
HANGS_AFTER_S = 60.0
"""No wait of ours takes a tenth of this where nothing hangs; a machine that is busy with other things may need it."""
AGE_CLAIMS = """
for _, pending in ipairs(redis.call('XPENDING', KEYS[1], 'fit', '-', '+', 1000)) do
    redis.call('XCLAIM', KEYS[1], 'fit', pending[2], 0, pending[1], 'IDLE', ARGV[1], 'JUSTID')
end
"""


def small_chain(underlying: str = "BTC", as_of_ms: int = AS_OF_MS, sequence: int = 0) -> OptionChain:
    nothing = frozen([np.nan, np.nan])
    quotes = ExpiryQuotes(
        expiry_ms=as_of_ms + 86_400_000,
        strike=frozen([60_000.0, 62_000.0]),
        is_call=frozen([False, True], np.bool_),
        bid=frozen([0.0131, np.nan]),
        ask=frozen([0.0135, 0.02]),
        bid_size=nothing,
        ask_size=nothing,
        timestamp_ms=frozen([as_of_ms, as_of_ms - 5], np.int64),
        forward=nothing,
    )
    return OptionChain(
        underlying,
        "deribit",
        "test",
        as_of_ms,
        sequence,
        Premium.COIN,
        (quotes,),
        (FutureQuote(quotes.expiry_ms, 61_000.0, np.nan),),
        TradingRules(tick=0.0001, tick_threshold=0.005, tick_above=0.0005, fee=0.0003, fee_cap=0.125),
        {"unknown_instrument": 2},
    )


CHAIN = encode_chain(small_chain())


class OpenStore:
    """Both sides of a store, blocking, for a test's straight line. Only what is about it need be answered in time."""

    def __init__(self, url: str, *, answer_within_s: float = HANGS_AFTER_S, **settings: Any) -> None:
        self.url = url
        self.settings = settings
        self._runner = asyncio.Runner()
        self._workers: list[RedisWorkQueue] = []
        self.api: AsyncStore = connect_async(url, answer_within_s=answer_within_s, **settings)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def submit(self, underlying: str = "BTC", as_of_ms: int = AS_OF_MS, sequence: int = 0) -> SubmitOutcome:
        return self.run(self.api.intake.submit(underlying, as_of_ms, sequence, CHAIN))

    def worker(self, name: str = "w", *, lease_s: float = LEASE_NEVER_ENDS_S, **more: Any) -> RedisWorkQueue:
        """A worker's queue. With a lease of 0 s it takes over whatever another holds."""
        queue = connect_worker(self.url, name=name, lease_s=lease_s, **self.settings, **more)
        self._workers.append(queue)
        return queue

    def publish(self, underlying: str = "BTC", as_of_ms: int = AS_OF_MS, document: bytes = b"{}", **more: Any) -> Claim:
        """Submit, claim and commit."""
        assert self.submit(underlying, as_of_ms) is SubmitOutcome.QUEUED
        worker = self.worker(**more)
        claim = claimed(worker)
        worker.commit(claim, document, outcome="ok", timings=TIMINGS)
        return claim

    def age_claims(self, by_s: float, shard: int = 0) -> None:
        """Make every claim of a shard look as if nothing had been heard of its worker for so long."""
        keys = Keys(shards=self.settings.get("shards", 1))
        self.run(self.api.fleet._link.run("EVAL", AGE_CLAIMS, 1, keys.queue(shard), round(1e3 * by_s)))

    def counts(self, underlying: str = "BTC") -> UnderlyingCounts:
        status = self.run(self.api.fleet.status())
        (found,) = [each for each in status.underlyings if each.underlying == underlying]
        assert_conserved(found)
        return found

    def newest_document(self, underlying: str = "BTC") -> bytes | None:
        surface = self.run(self.api.surfaces.newest(underlying))
        return surface.document if surface else None

    def close(self) -> None:
        for worker in self._workers:
            worker.close()
        self.run(self.api.close())
        self._runner.close()


@contextmanager
def opened(url: str, **settings: Any) -> Iterator[OpenStore]:
    store = OpenStore(url, **settings)
    try:
        yield store
    finally:
        store.close()


def claimed(worker: RedisWorkQueue, timeout_s: float = HANGS_AFTER_S) -> Claim:
    claim = worker.claim(timeout_s)
    assert claim is not None
    return claim


def assert_conserved(counts: UnderlyingCounts) -> None:
    """received = fitted + failed + superseded + stale + duplicate + pending."""
    settled = counts.fitted + counts.failed + counts.superseded + counts.stale + counts.duplicate
    assert counts.received == settled + counts.pending, counts


def until(condition: Callable[[], T], timeout_s: float = HANGS_AFTER_S) -> T:
    """Ask until the answer is true; fail after ``timeout_s``."""

    deadline = time.monotonic() + timeout_s
    while True:
        answer = condition()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not within {timeout_s} s"
        time.sleep(0.005)
