"""WorkQueue over the store, for a worker's threads."""

import logging
import time
from collections.abc import Sequence
from typing import Any, Final

from app.service.event import Notice
from app.service.fit_events import unfit_events
from app.service.iso_time import iso_utc
from app.service.ports import Claim, CommitOutcome, CorruptPayload, FitTimings, PublishedSurface
from app.service.surface_factors import SurfaceFactors
from app.store.blocking_link import BlockingLink
from app.store.codec import check_chain, open_state, seal_document, seal_state
from app.store.event_records import fields_of_event
from app.store.keys import DEAD_LETTERS_KEPT, EVENTS_KEPT, MAX_ATTEMPTS, Keys
from app.store.lua import ANNOUNCE, CLAIM, EXTEND, HAND_BACK, RECORD
from app.store.quarantine import chain_quarantined, surface_quarantined
from app.store.records import entries_of, surface_of
from app.store.settlement import Answer, Retention, settlement
from app.store.tokens import Token, Tokens

log = logging.getLogger(__name__)

ANNOUNCED_FOR_S: Final = 5.0
"""How long a worker counts as alive after it last said so, at least."""
LONGEST_REASON: Final = 1_000
"""Characters of a failure's reason that are kept."""


class RedisWorkQueue:
    """Where one worker takes work; see ports.WorkQueue. ``consumer`` is unique to the process."""

    def __init__(
        self,
        link: BlockingLink,
        blocking: BlockingLink,
        keys: Keys,
        *,
        consumer: str,
        lease_s: float,
        retention: Retention,
    ) -> None:
        self._link = link
        self._keys = keys
        self._tokens = Tokens(link, blocking, keys, consumer=consumer, lease_s=lease_s)
        self._consumer = consumer
        self._lease_s = lease_s
        self._retention = retention

    def claim(self, timeout_s: float) -> Claim | None:
        """Wait for a waiting underlying and take its newest chain under a lease; None on timeout."""
        deadline = time.monotonic() + timeout_s
        while True:
            token = self._tokens.take(deadline - time.monotonic())
            claim = self._claimed(token) if token else None
            if claim or time.monotonic() >= deadline:
                return claim

    def extend(self, claim: Claim) -> None:
        """Renew the lease; nothing happens if it was lost, which the commit will tell."""
        self._link.call(
            EXTEND,
            [self._queue_of(claim), self._keys.state(claim.underlying)],
            [claim.token, str(claim.fence), self._consumer],
        )

    def commit(
        self,
        claim: Claim,
        document: bytes,
        *,
        outcome: str,
        timings: FitTimings,
        state: bytes = b"",
        events: Sequence[Notice] = (),
        factors: SurfaceFactors | None = None,
    ) -> CommitOutcome:
        """Publish the surface fitted to the claimed chain and release the underlying. May be repeated."""
        sealed = seal_document(document)
        return self._settle(claim, Answer(outcome, timings, seal_state(state), events, sealed, factors=factors))

    def fail(
        self,
        claim: Claim,
        reason: str,
        *,
        outcome: str,
        timings: FitTimings | None,
        state: bytes = b"",
        events: Sequence[Notice] = (),
    ) -> CommitOutcome:
        """Count the claimed chain as failed; the last good surface stays. May be repeated."""
        sealed = seal_state(state) if state else b""
        return self._settle(claim, Answer(outcome, timings, sealed, events, reason=reason[:LONGEST_REASON]))

    def record(self, underlying: str, event: Notice, *, version: int | None = None) -> None:
        """Record an event that belongs to no claim; repeated, it is recorded twice."""
        keys, shard = self._keys, self._keys.shard_of(underlying)
        self._link.call(
            RECORD,
            [keys.events(shard), keys.counters(shard), keys.state(underlying)],
            [underlying, "" if version is None else str(version), str(EVENTS_KEPT), *fields_of_event(event)],
        )

    def hand_back(self, claim: Claim) -> None:
        """Give an unfinished chain back to the queue at once, without counting an attempt. May be repeated."""
        self._link.call(
            HAND_BACK,
            [self._queue_of(claim), self._keys.state(claim.underlying)],
            [claim.token, claim.underlying, str(claim.fence)],
        )

    def announce(self, worker: str, *, warm: bool, busy_with: str | None, busy_since_ms: int | None = None) -> None:
        """Say that this worker is alive, and what it is fitting since when."""
        lives_ms = round(max(ANNOUNCED_FOR_S, self._lease_s) * 1e3)
        self._announce(worker, lives_ms, warm, busy_with, busy_since_ms)

    def leave(self, worker: str) -> None:
        """Say that this worker ends."""
        self._announce(worker, 0, False, None, None)
        self._tokens.leave()

    def close(self) -> None:
        """Close the connections."""
        self._tokens.close()

    def _announce(
        self, worker: str, lives_ms: int, warm: bool, busy_with: str | None, busy_since_ms: int | None
    ) -> None:
        said = [worker, str(lives_ms), "1" if warm else "0", str(busy_since_ms or ""), busy_with or ""]
        self._link.call(ANNOUNCE, [self._keys.workers()], said)

    def _claimed(self, taken: Token) -> Claim | None:
        keys = self._keys
        shard, token, underlying = taken
        answer = self._link.call(
            CLAIM,
            [
                keys.queue(shard),
                keys.state(underlying),
                keys.chain(underlying),
                keys.history(underlying),
                keys.dead(shard),
                keys.events(shard),
                keys.counters(shard),
            ],
            [token, underlying, self._consumer, str(MAX_ATTEMPTS), str(DEAD_LETTERS_KEPT), str(EVENTS_KEPT)],
        )
        said = answer[0].decode()
        if said == "dead_lettered":
            log.error("chain_dead_lettered", extra={"underlying": underlying, "attempts": int(answer[1])})
        if said != "claimed":
            return None
        fence, attempt, as_of_ms, sequence, received_ms, claimed_ms = map(int, answer[1:7])
        previous = self._previous(underlying, answer[8])
        claim = Claim(
            underlying=underlying,
            token=token,
            fence=fence,
            attempt=attempt,
            as_of_ms=as_of_ms,
            sequence=sequence,
            received_ms=received_ms,
            chain=answer[7],
            previous=previous,
            claimed_ms=claimed_ms,
            state=_state_of(underlying, answer[9], previous),
            model=answer[10].decode(),
        )
        return claim if self._undamaged(claim) else None

    def _previous(self, underlying: str, page: Sequence[Any]) -> PublishedSurface | None:
        """Return the newest undamaged surface; ``page`` holds the newest entry of the history, if any."""
        entries = entries_of(page)
        while entries:
            try:
                return surface_of(underlying, entries[0])
            except CorruptPayload as corrupt:
                self._link.call(*surface_quarantined(self._keys, underlying, entries[0], str(corrupt)))
            entries = self._link.run("XREVRANGE", self._keys.history(underlying), "+", "-", "COUNT", 1)
        return None

    def _undamaged(self, claim: Claim) -> bool:
        try:
            check_chain(claim.chain)
        except CorruptPayload as corrupt:
            reason = f"stored chain cannot be read: {corrupt}"
            events = unfit_events(reason, "corrupt", iso_utc(claim.as_of_ms))
            self.fail(claim, reason, outcome="corrupt", timings=None, events=events)
            self._link.call(*chain_quarantined(self._keys, claim.underlying, claim.token, str(corrupt), claim.chain))
            return False
        return True

    def _settle(self, claim: Claim, said: Answer) -> CommitOutcome:
        settled_as, version = self._link.call(*settlement(self._keys, claim, said, self._retention))
        answer: str = settled_as.decode()
        log.debug("settled", extra={"settled_as": answer, "version": version.decode() or None})
        # A chain that was handed back is no longer this worker's either.
        return CommitOutcome.FENCED if answer == "handed_back" else CommitOutcome(answer)

    def _queue_of(self, claim: Claim) -> str:
        return self._keys.queue(self._keys.shard_of(claim.underlying))


def _state_of(underlying: str, left: bytes, previous: PublishedSurface | None) -> bytes:
    """Return the state that a failed chain left, else that of the surface; a damaged one is nobody's."""
    if left:
        try:
            return open_state(left)
        except CorruptPayload as corrupt:
            log.error("state_damaged", extra={"underlying": underlying, "reason": str(corrupt)})
    return previous.state if previous else b""
