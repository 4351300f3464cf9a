"""A worker process: takes a chain under a lease, fits it in the main thread, answers, and takes the next one. Once a
surface is out, and before the next chain, it may do what can wait (``afterwards``): the lease is given back by then.

Two threads stand beside it. The heartbeat renews the lease and says that the worker is alive. The watchdog ends the
process when a fit takes too long, so that the lease hands the chain on and the attempt counts, or when a stop is asked
for and the fit does not end soon. Kernels release the interpreter's lock, or neither thread would run.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from app import logs
from app.pause import Pause
from app.service.audit import chain_sha256
from app.service.iso_time import iso_utc
from app.service.ports import Claim, CommitOutcome, FitTimings, StoreUnavailable, WorkQueue
from app.service.recalibrate import Fitted, Unfit, unfit

log = logging.getLogger(__name__)

EXIT_FIT_LIMIT: Final = 70
"""Exit code of a process ended in the middle of a fit (EX_SOFTWARE of sysexits.h)."""
CLAIM_WAIT_S: Final = 0.5
"""Longest wait for work in one call: how late an idle worker notices a stop."""
BEAT_EVERY_S: Final = 1.0
"""Longest time between heartbeats."""
WATCH_EVERY_S: Final = 0.05
FINISH_WITHIN_S: Final = 2.0
"""A fit that ends this soon after a stop is asked for is still published; another is handed back."""
LEAVE_WITHIN_S: Final = 1.0
ANSWER_FOR_S: Final = 60.0
"""How long a finished fit is offered to a store that is away, before it is given up to the lease."""
ANSWER_SHARD_FOR_S: Final = 2.0
"""The same while other shards, which may be on other nodes, have work."""
CHAIN_DIGITS: Final = 12
"""Of a chain's SHA-256 in a line of the log; the surface's document has them all."""


@dataclass(frozen=True, slots=True)
class _Fit:
    """A chain on the bench; ``began`` by the monotonic clock. ``leased`` until it was answered for."""

    claim: Claim
    began: float
    began_ms: int
    leased: bool = True


def run_worker(
    queue: WorkQueue,
    *,
    recalibrate: Callable[[Claim], Fitted | Unfit],
    warm_up: Callable[[], None],
    name: str,
    lease_s: float,
    fit_limit_s: float,
    stop: threading.Event,
    answer_for_s: float = ANSWER_FOR_S,
    afterwards: Callable[[Claim, bytes], None] | None = None,
) -> None:
    """Work until ``stop`` is set, then return within a few seconds or end the process with exit code 0.

    ``warm_up`` compiles what a fit needs; no chain is taken before it is done. A store that is away is waited for.
    ``afterwards`` is called with every chain whose surface was published and the surface's document, and has
    ``fit_limit_s`` of its own.
    """
    worker = _Worker(queue, recalibrate, name, lease_s, fit_limit_s, stop, answer_for_s, afterwards)
    worker.run(warm_up)


class _Worker:
    def __init__(
        self,
        queue: WorkQueue,
        recalibrate: Callable[[Claim], Fitted | Unfit],
        name: str,
        lease_s: float,
        fit_limit_s: float,
        stop: threading.Event,
        answer_for_s: float,
        afterwards: Callable[[Claim, bytes], None] | None,
    ) -> None:
        self._queue = queue
        self._recalibrate = recalibrate
        self._name = name
        self._beat_every_s = min(lease_s / 3.0, BEAT_EVERY_S)
        self._fit_limit_s = fit_limit_s
        self._stop = stop
        self._answer_for_s = answer_for_s
        self._afterwards = afterwards
        self._over = threading.Event()
        self._beat_now = threading.Event()
        self._warm = False
        self._on_bench: _Fit | None = None
        """The chain whose lease is renewed: from its claim to its answer."""
        self._computing = False

    def run(self, warm_up: Callable[[], None]) -> None:
        """Work until the stop."""
        beside = [
            threading.Thread(target=self._beat, name="heartbeat", daemon=True),
            threading.Thread(target=self._watch, name="watchdog", daemon=True),
        ]
        for thread in beside:
            thread.start()
        try:
            began = time.monotonic()
            warm_up()
            self._warm = True
            self._beat_now.set()
            log.info("worker_warm", extra={"worker": self._name, "duration_s": round(time.monotonic() - began, 3)})
            self._work()
        finally:
            self._over.set()
            self._beat_now.set()
            beside[0].join(LEAVE_WITHIN_S)
        self._leave()

    def _work(self) -> None:
        pause = Pause()
        while not self._stop.is_set():
            try:
                claim = self._queue.claim(CLAIM_WAIT_S)
                if claim:
                    with logs.bound(**_ids(claim)):
                        self._fit(claim)
                pause.forget()
            except StoreUnavailable as away:
                pause_s = pause.next_s()
                log.warning("store_unavailable", extra={"reason": str(away), "retry_in_s": round(pause_s, 2)})
                self._stop.wait(pause_s)

    def _fit(self, claim: Claim) -> None:
        """Fit one chain and answer for it. Raises StoreUnavailable when the answer cannot be given."""
        began = time.monotonic()
        self._on_bench = _Fit(claim, began, time.time_ns() // 1_000_000)
        self._computing = True
        try:
            answer = self._attempt(claim)
            self._computing = False
            timings = FitTimings(time.monotonic() - began, (claim.claimed_ms - claim.received_ms) / 1e3)
            outcome = self._patiently(lambda: self._settle(claim, answer, timings))
        finally:
            self._computing = False
            self._on_bench = None
        said = {"attempt": claim.attempt, "duration_s": round(timings.calibration_s, 4)}
        if isinstance(answer, Unfit):
            log.warning("fit_failed", extra={**said, "outcome": answer.outcome, "reason": answer.reason})
        elif outcome is CommitOutcome.PUBLISHED:
            log.debug("surface_published", extra={**said, "outcome": answer.outcome})
            self._follow_up(claim, answer.document)
        else:
            log.warning("surface_not_published", extra={**said, "outcome": outcome.value})

    def _follow_up(self, claim: Claim, document: bytes) -> None:
        """Do what could wait for the surface; whatever becomes of it, the surface is out."""
        if self._afterwards is None or self._stop.is_set():
            return
        self._on_bench = _Fit(claim, time.monotonic(), time.time_ns() // 1_000_000, leased=False)
        self._computing = True
        try:
            self._afterwards(claim, document)
        except StoreUnavailable as away:
            log.warning("follow_up_lost", extra={"underlying": claim.underlying, "reason": str(away)})
        except Exception:  # nor may a defect in it take the worker away
            log.exception("follow_up_raised", extra={"underlying": claim.underlying, "as_of_ms": claim.as_of_ms})
        finally:
            self._computing = False
            self._on_bench = None

    def _attempt(self, claim: Claim) -> Fitted | Unfit:
        try:
            return self._recalibrate(claim)
        except Exception as error:  # a defect met by one chain must not take the others' worker away
            log.exception("fit_raised")
            return unfit(claim, f"{type(error).__name__}: {error}", "error")

    def _settle(self, claim: Claim, answer: Fitted | Unfit, timings: FitTimings) -> CommitOutcome:
        if isinstance(answer, Fitted):
            return self._queue.commit(
                claim,
                answer.document,
                outcome=answer.outcome,
                timings=timings,
                state=answer.state,
                events=answer.events,
                factors=answer.factors,
            )
        return self._queue.fail(
            claim, answer.reason, outcome=answer.outcome, timings=timings, state=answer.state, events=answer.events
        )

    def _patiently(self, settle: Callable[[], CommitOutcome]) -> CommitOutcome:
        """Repeat ``settle``, which may be repeated, while the store is away and nobody asks us to stop."""
        pause = Pause()
        deadline = time.monotonic() + self._answer_for_s
        while True:
            try:
                return settle()
            except StoreUnavailable as away:
                if self._stop.is_set() or time.monotonic() >= deadline:
                    raise
                log.warning("answer_delayed", extra={"reason": str(away)})
                self._stop.wait(pause.next_s())

    def _beat(self) -> None:
        heard = True
        while not self._over.is_set():
            fit = self._on_bench
            try:
                if fit and fit.leased:  # first: who is alive is kept elsewhere, which may be away
                    self._queue.extend(fit.claim)
                self._queue.announce(
                    self._name,
                    warm=self._warm,
                    busy_with=fit.claim.underlying if fit else None,
                    busy_since_ms=fit.began_ms if fit else None,
                )
                heard = True
            except StoreUnavailable as away:
                if heard:
                    log.warning("heartbeat_unheard", extra={"reason": str(away)})
                heard = False
            self._beat_now.wait(self._beat_every_s)
            self._beat_now.clear()

    def _watch(self) -> None:
        stop_seen: float | None = None
        while not self._over.wait(WATCH_EVERY_S):
            now = time.monotonic()
            fit = self._on_bench
            if fit and self._computing and now - fit.began > self._fit_limit_s:
                log.error(
                    "fit_limit_reached",
                    extra={**_ids(fit.claim), "attempt": fit.claim.attempt, "limit_s": self._fit_limit_s},
                )
                os._exit(EXIT_FIT_LIMIT)
            if self._stop.is_set():
                stop_seen = stop_seen or now
                if now - stop_seen > FINISH_WITHIN_S:
                    self._end_now(fit)

    def _end_now(self, fit: _Fit | None) -> None:
        log.info("stopped_before_the_fit_ended", extra=_ids(fit.claim) if fit else None)
        leaving = threading.Thread(target=self._leave, args=(fit,), name="leave", daemon=True)
        leaving.start()
        leaving.join(LEAVE_WITHIN_S)
        os._exit(0)

    def _leave(self, unfinished: _Fit | None = None) -> None:
        try:
            if unfinished and unfinished.leased:
                self._queue.hand_back(unfinished.claim)
            self._queue.leave(self._name)
        except StoreUnavailable as away:
            log.warning("left_unheard", extra={"reason": str(away)})


def _ids(claim: Claim) -> dict[str, str | int]:
    """Return what names a chain in a log."""
    return {
        "underlying": claim.underlying,
        "as_of": iso_utc(claim.as_of_ms),
        "sequence": claim.sequence,
        "chain": chain_sha256(claim.chain)[:CHAIN_DIGITS],
    }
