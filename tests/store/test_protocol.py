"""Every transition of the work protocol and what it counts."""

import itertools
import time

import pytest

from app.service.fleet_status import UnderlyingCounts
from app.service.ports import CommitOutcome, StoreUnavailable, SubmitOutcome
from app.store.keys import MAX_ATTEMPTS, Keys
from tests.servers import RealServer
from tests.store.stored import AS_OF_MS, LEASE_NEVER_ENDS_S, TIMINGS, OpenStore, claimed, opened

KEYS = Keys()


def counted(counts: UnderlyingCounts, **expected: int) -> bool:
    """Say whether the counters are exactly those named, the others zero."""
    names = ("received", "fitted", "failed", "superseded", "stale", "duplicate", "pending", "reclaimed", "fenced")
    found = {name: getattr(counts, name) for name in names}
    assert found == dict.fromkeys(names, 0) | expected
    return True


def test_a_first_chain_is_queued(store: OpenStore) -> None:
    assert store.submit() is SubmitOutcome.QUEUED
    assert counted(store.counts(), received=1, pending=1)


def test_the_same_chain_again_is_a_duplicate_in_every_state(store: OpenStore) -> None:
    worker = store.worker()
    store.submit()
    assert store.submit() is SubmitOutcome.DUPLICATE
    claim = claimed(worker)
    assert store.submit() is SubmitOutcome.DUPLICATE
    worker.commit(claim, b"{}", outcome="ok", timings=TIMINGS)
    assert store.submit() is SubmitOutcome.DUPLICATE
    assert counted(store.counts(), received=4, duplicate=3, fitted=1)


def test_an_older_chain_is_stale(store: OpenStore) -> None:
    store.submit(as_of_ms=AS_OF_MS, sequence=5)
    assert store.submit(as_of_ms=AS_OF_MS - 1, sequence=9) is SubmitOutcome.STALE
    assert store.submit(as_of_ms=AS_OF_MS, sequence=4) is SubmitOutcome.STALE
    assert counted(store.counts(), received=3, stale=2, pending=1)


def test_a_sequence_decides_within_a_millisecond(store: OpenStore) -> None:
    nanoseconds = 1_785_607_084_000_000_001
    store.submit(sequence=nanoseconds)
    assert store.submit(sequence=nanoseconds + 1) is SubmitOutcome.COALESCED


def test_a_newer_chain_replaces_the_one_that_waits(store: OpenStore) -> None:
    store.submit()
    assert store.submit(as_of_ms=AS_OF_MS + 1) is SubmitOutcome.COALESCED
    claim = claimed(store.worker())
    assert claim.as_of_ms == AS_OF_MS + 1
    assert counted(store.counts(), received=2, superseded=1, pending=1)


def test_a_newer_chain_waits_for_the_running_fit(store: OpenStore) -> None:
    worker = store.worker()
    store.submit()
    running = claimed(worker)
    assert store.submit(as_of_ms=AS_OF_MS + 1) is SubmitOutcome.DEFERRED
    assert store.submit(as_of_ms=AS_OF_MS + 2) is SubmitOutcome.COALESCED
    assert counted(store.counts(), received=3, superseded=1, pending=2)
    assert worker.claim(0.02) is None, "two fits of one underlying at once"
    assert worker.commit(running, b"{}", outcome="ok", timings=TIMINGS) is CommitOutcome.PUBLISHED
    assert claimed(worker).as_of_ms == AS_OF_MS + 2
    assert counted(store.counts(), received=3, superseded=1, fitted=1, pending=1)


def test_a_claim_carries_the_surface_it_will_replace(store: OpenStore) -> None:
    worker = store.worker()
    store.submit()
    first = claimed(worker)
    assert first.previous is None
    worker.commit(first, b'{"a":1}', outcome="ok", timings=TIMINGS)
    store.submit(as_of_ms=AS_OF_MS + 1)
    previous = claimed(worker).previous
    assert previous is not None
    assert (previous.document, previous.as_of_ms) == (b'{"a":1}', AS_OF_MS)


def test_times_of_a_claim_are_the_stores(store: OpenStore) -> None:
    before = time.time_ns() // 1_000_000
    store.submit()
    time.sleep(0.01)
    claim = claimed(store.worker())
    after = time.time_ns() // 1_000_000
    assert before <= claim.received_ms <= claim.claimed_ms - 10
    assert claim.claimed_ms <= after


def test_a_failure_keeps_the_last_surface_and_says_why(store: OpenStore) -> None:
    store.publish(document=b'{"good":1}')
    worker = store.worker()
    store.submit(as_of_ms=AS_OF_MS + 1)
    assert worker.fail(claimed(worker), "no smile", outcome="no_smile", timings=TIMINGS) is CommitOutcome.FAILED
    counts = store.counts()
    assert counted(counts, received=2, fitted=1, failed=1)
    assert (counts.last_failure, counts.last_failure_as_of_ms) == ("no smile", AS_OF_MS + 1)
    assert counts.calibrations == {"ok": 1, "no_smile": 1}
    assert store.newest_document() == b'{"good":1}'
    assert worker.claim(0.02) is None, "a failed chain is not retried"


def test_an_answer_may_be_repeated(store: OpenStore) -> None:
    worker = store.worker()
    store.submit()
    claim = claimed(worker)
    for _ in range(3):
        assert worker.commit(claim, b"{}", outcome="ok", timings=TIMINGS) is CommitOutcome.PUBLISHED
    assert counted(store.counts(), received=1, fitted=1)
    assert len(store.run(store.api.surfaces.history("BTC", before=None, limit=9))) == 1


def test_a_lease_that_ran_out_hands_the_chain_on(store: OpenStore) -> None:
    store.submit()
    slow = store.worker("slow")
    late = claimed(slow)
    quick = store.worker("quick", lease_s=0.0)
    retaken = claimed(quick)
    assert (retaken.attempt, retaken.as_of_ms) == (2, late.as_of_ms)
    assert retaken.fence > late.fence
    assert slow.commit(late, b'{"late":1}', outcome="ok", timings=TIMINGS) is CommitOutcome.FENCED
    assert quick.commit(retaken, b'{"right":1}', outcome="ok", timings=TIMINGS) is CommitOutcome.PUBLISHED
    assert store.newest_document() == b'{"right":1}'
    assert counted(store.counts(), received=1, fitted=1, reclaimed=1, fenced=1)


def test_a_retaken_underlying_is_fitted_from_its_newest_chain(store: OpenStore) -> None:
    store.submit()
    claimed(store.worker("slow"))
    store.submit(as_of_ms=AS_OF_MS + 1)
    retaken = claimed(store.worker("quick", lease_s=0.0))
    assert (retaken.attempt, retaken.as_of_ms) == (1, AS_OF_MS + 1)
    assert counted(store.counts(), received=2, superseded=1, reclaimed=1, pending=1)


def test_an_extended_lease_is_not_taken_over(store: OpenStore) -> None:
    holder, other = store.worker("holder"), store.worker("other", lease_s=LEASE_NEVER_ENDS_S)
    store.submit()
    claim = claimed(holder)
    for _ in range(3):
        store.age_claims(2.0 * LEASE_NEVER_ENDS_S)
        holder.extend(claim)
        assert other.claim(0.02) is None
    store.age_claims(2.0 * LEASE_NEVER_ENDS_S)
    assert claimed(other).attempt == 2, "not extended any more"


def test_a_lost_lease_cannot_be_extended(store: OpenStore) -> None:
    store.submit()
    slow, quick = store.worker("slow"), store.worker("quick", lease_s=0.0)
    late = claimed(slow)
    claimed(quick)
    owner_before = store_owner(store)
    slow.extend(late)
    assert owner_before.startswith("quick-")
    assert store_owner(store) == owner_before


def store_owner(store: OpenStore) -> str:
    ask = "return redis.call('XPENDING', KEYS[1], 'fit', '-', '+', 9)[1][2]"
    return str(store.run(store.api.fleet._link.run("EVAL", ask, 1, KEYS.queue(0))).decode())


def test_a_chain_handed_back_costs_no_attempt(store: OpenStore) -> None:
    worker = store.worker()
    store.submit()
    for _ in range(MAX_ATTEMPTS + 2):
        claim = claimed(worker)
        assert claim.attempt == 1
        worker.hand_back(claim)
        worker.hand_back(claim)
    assert counted(store.counts(), received=1, pending=1)
    assert worker.commit(claim, b"{}", outcome="ok", timings=TIMINGS) is CommitOutcome.FENCED


def test_a_chain_handed_back_after_a_newer_one_came_is_superseded(store: OpenStore) -> None:
    worker = store.worker()
    store.submit()
    claim = claimed(worker)
    store.submit(as_of_ms=AS_OF_MS + 1)
    worker.hand_back(claim)
    assert claimed(worker).as_of_ms == AS_OF_MS + 1
    assert counted(store.counts(), received=2, superseded=1, pending=1)


def test_a_poison_chain_is_given_up_and_the_next_one_is_fitted(store: OpenStore) -> None:
    store.submit()
    for attempt in range(1, MAX_ATTEMPTS + 1):
        assert claimed(store.worker(lease_s=0.0)).attempt == attempt
    worker = store.worker(lease_s=0.0)
    assert worker.claim(0.02) is None
    counts = store.counts()
    assert counted(counts, received=1, failed=1, reclaimed=MAX_ATTEMPTS)
    assert counts.dead_lettered == 1
    assert counts.calibrations == {"dead_letter": 1}
    store.submit(as_of_ms=AS_OF_MS + 1)
    assert claimed(worker).attempt == 1


def test_the_version_chain_has_no_gap(store: OpenStore) -> None:
    before_s = time.time()
    for step in range(5):
        store.publish(as_of_ms=AS_OF_MS + step)
    kept = store.run(store.api.surfaces.after("BTC", 0, 10))
    assert kept is not None
    assert [s.prev_version for s in kept] == [0, *[s.version for s in kept[:-1]]]
    assert all(one.version < other.version for one, other in itertools.pairwise(kept))
    assert before_s - 1.0 < kept[-1].version / 1e6 < time.time() + 1.0, "microseconds since the epoch"


def test_a_version_rises_even_when_the_servers_clock_stands_behind_it(store: OpenStore) -> None:
    store.publish()
    ahead = time.time_ns() // 1_000 + 3_600_000_000
    store.run(store.api.fleet._link.run("HSET", KEYS.state("BTC"), "version", ahead))
    store.publish(as_of_ms=AS_OF_MS + 1)
    newest = store.run(store.api.surfaces.newest("BTC"))
    assert newest is not None
    assert (newest.version, newest.prev_version) == (ahead + 1, ahead)


def test_a_surface_of_a_newer_chain_is_kept(store: OpenStore) -> None:
    """Reached when a store lost its queue's last writes but not its surfaces'."""
    store.publish(as_of_ms=AS_OF_MS + 9, document=b'{"newer":1}')
    store.run(store.api.fleet._link.run("HDEL", KEYS.state("BTC"), "order"))
    store.submit(as_of_ms=AS_OF_MS)
    worker = store.worker()
    outcome = worker.commit(claimed(worker), b'{"older":1}', outcome="ok", timings=TIMINGS)
    assert outcome is CommitOutcome.KEPT_NEWER
    assert store.newest_document() == b'{"newer":1}'
    assert store.counts().fitted == 2


def test_a_lost_token_is_replaced_when_the_next_chain_comes(store: OpenStore) -> None:
    store.submit()
    store.run(store.api.fleet._link.run("DEL", KEYS.queue(0)))
    assert store.submit(as_of_ms=AS_OF_MS + 1) is SubmitOutcome.QUEUED
    assert claimed(store.worker()).as_of_ms == AS_OF_MS + 1
    assert counted(store.counts(), received=2, superseded=1, pending=1)


def test_a_worker_finds_the_group_again_after_the_store_was_emptied(store: OpenStore) -> None:
    worker = store.worker()
    assert worker.claim(0.0) is None
    store.run(store.api.fleet._link.run("FLUSHALL"))
    store.submit()
    with pytest.raises(StoreUnavailable, match="NOGROUP"):
        worker.claim(1.0)
    claimed(worker)


def test_shards_share_the_work_and_hold_their_own_underlyings(valkey: RealServer) -> None:
    names = ["BTC", "ETH", "SOL", "XRP", "SPX", "NDX", "VIX", "RUT", "DAX", "SX5E"]
    with opened(valkey.url, shards=3) as store:
        for name in names:
            store.submit(name)
        status = store.run(store.api.fleet.status())
        assert sum(status.queue_depth.values()) == len(names)
        assert min(status.queue_depth.values()) > 0, "every shard has some"
        workers = [store.worker("a"), store.worker("b")]
        claims = [claimed(workers[i % 2]) for i in range(len(names))]
        assert sorted(claim.underlying for claim in claims) == sorted(names)
        assert store.run(store.api.surfaces.underlyings()) == sorted(names)


def test_deployments_with_their_own_prefix_do_not_meet(valkey: RealServer) -> None:
    with opened(valkey.url, prefix="one") as one, opened(valkey.url, prefix="two") as two:
        one.submit()
        assert two.worker().claim(0.02) is None
        assert two.run(two.api.surfaces.underlyings()) == []
        claimed(one.worker())


def test_consumers_do_not_pile_up(store: OpenStore) -> None:
    store.submit()
    for name in ("a", "b", "c"):
        worker = store.worker(name)
        worker.hand_back(claimed(worker))
        worker.leave(name)
    claimed(store.worker("stays"))
    consumers = store.run(store.api.fleet._link.run("XINFO", "CONSUMERS", KEYS.queue(0), "fit"))
    assert len(consumers) == 1
