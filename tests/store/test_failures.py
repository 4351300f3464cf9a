"""A store that is away, frozen, full or unwilling: one exception, in time, and everything goes on afterwards."""

import asyncio
import contextlib
import inspect
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from redis import exceptions

from app.service.ports import CommitOutcome, QueueBehind, StoreUnavailable, SubmitOutcome
from app.store.connect import connect_async, connect_worker
from app.store.failures import LATER_S, unavailable
from app.store.keys import MAX_ATTEMPTS
from app.store.links import ANSWER_WITHIN_S, FAIL_FAST_S, Link
from tests.servers import RealServer
from tests.store.stored import AS_OF_MS, CHAIN, HANGS_AFTER_S, TIMINGS, OpenStore, claimed, opened, until

NOBODY = "unix:///nonexistent/store.sock"


class StandingClock:
    """In place of the time module."""

    def __init__(self) -> None:
        self.now_s = 1e6

    def monotonic(self) -> float:
        return self.now_s


def refused(store: OpenStore, work: Coroutine[Any, Any, Any]) -> StoreUnavailable:
    with pytest.raises(StoreUnavailable) as refusal:
        store.run(work)
    assert refusal.value.retry_after_s > 0.0
    return refusal.value


@contextlib.contextmanager
def full(server: RealServer) -> Iterator[None]:
    """A server that already holds more than it may."""
    server.run("CONFIG", "SET", "maxmemory", "1")
    try:
        yield
    finally:
        server.run("CONFIG", "SET", "maxmemory", "512mb")


def test_every_asynchronous_call_says_that_nobody_answers() -> None:
    async def ask_everything() -> None:
        store = connect_async(NOBODY)
        calls: list[Callable[[], Coroutine[Any, Any, Any]]] = [
            store.ping,
            lambda: store.intake.submit("BTC", AS_OF_MS, 0, CHAIN),
            lambda: store.intake.count_invalid("native"),
            lambda: store.surfaces.newest("BTC"),
            store.surfaces.underlyings,
            lambda: store.surfaces.history("BTC", before=None, limit=1),
            lambda: store.surfaces.after("BTC", 0, 1),
            lambda: store.surfaces.as_of("BTC", AS_OF_MS),
            lambda: store.updates.next_updates(0.1),
            store.fleet.status,
        ]
        for call in calls:
            with pytest.raises(StoreUnavailable):
                await call()
        await store.close()

    asyncio.run(ask_everything())


def test_every_blocking_call_says_that_nobody_answers(valkey_store: OpenStore) -> None:
    valkey_store.submit()
    claim = claimed(valkey_store.worker())
    lost = connect_worker(NOBODY, name="lost", lease_s=1.0)
    calls: list[Callable[[], object]] = [
        lambda: lost.claim(0.1),
        lambda: lost.extend(claim),
        lambda: lost.commit(claim, b"{}", outcome="ok", timings=TIMINGS),
        lambda: lost.fail(claim, "no", outcome="error", timings=None),
        lambda: lost.hand_back(claim),
        lambda: lost.announce("lost", warm=True, busy_with=None),
        lambda: lost.leave("lost"),
    ]
    for call in calls:
        with pytest.raises(StoreUnavailable):
            call()
    lost.close()


def test_the_api_waits_less_than_a_second_for_the_store() -> None:
    assert inspect.signature(connect_async).parameters["answer_within_s"].default == ANSWER_WITHIN_S < 1.0


def test_a_frozen_store_is_told_and_takes_nothing_twice(server: RealServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(server.url) as store, opened(server.url, answer_within_s=0.3) as hurried:
        store.submit("ETH")
        until(lambda: _answers(hurried))
        clock = StandingClock()
        monkeypatch.setattr("app.store.links.time", clock)
        server.freeze()
        try:
            assert "in time" in str(refused(hurried, hurried.api.intake.submit("BTC", AS_OF_MS, 0, CHAIN)))
            next_caller = refused(hurried, hurried.api.surfaces.newest("BTC"))
            assert "a moment ago" in str(next_caller), "the next caller does not wait too"
        finally:
            server.thaw()
        clock.now_s += FAIL_FAST_S
        until(lambda: len(store.run(store.api.fleet.status()).underlyings) == 2)
        assert store.submit("BTC") is SubmitOutcome.DUPLICATE, "the frozen server had the first one in its socket"
        until(lambda: _answers(hurried))
        counts = store.counts("BTC")
        assert (counts.received, counts.duplicate, counts.pending) == (2, 1, 1)


def test_a_full_store_refuses_chains_and_drains(server: RealServer) -> None:
    with opened(server.url) as store:
        assert store.run(store.api.updates.next_updates(0.0)) == []
        worker = store.worker()
        store.submit("BTC")
        running = claimed(worker)
        store.submit("BTC", AS_OF_MS + 1)
        store.submit("ETH")
        with full(server):
            refusal = refused(store, store.api.intake.submit("SOL", AS_OF_MS, 0, CHAIN))
            assert "out of memory" in str(refusal)
            assert refusal.retry_after_s == LATER_S
            worker.announce("w", warm=True, busy_with="BTC")
            worker.extend(running)
            assert worker.commit(running, b"{}", outcome="ok", timings=TIMINGS) is CommitOutcome.PUBLISHED
            for _ in ("ETH", "BTC"):
                assert worker.commit(claimed(worker), b"{}", outcome="ok", timings=TIMINGS) is CommitOutcome.PUBLISHED
            status = store.run(store.api.fleet.status())
            assert status.queue_depth == {"0": 0}
            assert status.warm_workers == 1
            assert {counts.underlying: counts.fitted for counts in status.underlyings} == {"BTC": 2, "ETH": 1}
        assert len(store.run(store.api.updates.next_updates(1.0))) == 3
        assert store.submit("SOL") is SubmitOutcome.QUEUED


def test_a_full_store_still_fails_hands_back_and_buries(server: RealServer) -> None:
    with opened(server.url) as store:
        worker = store.worker()
        store.submit("BTC")
        failing = claimed(worker)
        store.submit("ETH")
        with full(server):
            assert worker.fail(failing, "no", outcome="rejected", timings=None) is CommitOutcome.FAILED
            worker.hand_back(claimed(worker))
            for _ in range(MAX_ATTEMPTS):
                claimed(store.worker(lease_s=0.0))
            assert store.worker(lease_s=0.0).claim(0.0) is None
        assert store.counts("BTC").failed == 1
        assert store.counts("ETH").dead_lettered == 1


def test_clients_recover_from_a_restart_without_being_told(valkey: RealServer) -> None:
    with opened(valkey.url) as store:
        worker = store.worker()
        store.submit("BTC")
        claim = claimed(worker)
        worker.commit(claim, b"{}", outcome="ok", timings=TIMINGS)
        valkey.write_out()
        valkey.kill()
        with pytest.raises(StoreUnavailable):
            store.submit("ETH")
        with pytest.raises(StoreUnavailable):
            worker.claim(0.1)
        valkey.start()
        until(lambda: _answers(store))
        store.submit("ETH")
        assert claimed(worker).underlying == "ETH"
        assert store.newest_document("BTC") == b"{}"


def _answers(store: OpenStore) -> bool:
    try:
        store.run(store.api.ping())
    except StoreUnavailable:
        return False
    return True


def test_more_callers_than_connections_wait_their_turn(valkey: RealServer) -> None:
    async def crowd() -> None:
        store = connect_async(valkey.url, connections=2, answer_within_s=HANGS_AFTER_S)
        outcomes = await asyncio.gather(*[store.intake.submit(f"U{i}", AS_OF_MS, 0, CHAIN) for i in range(200)])
        assert set(outcomes) == {SubmitOutcome.QUEUED}
        await store.close()

    asyncio.run(crowd())


def test_calls_given_up_midway_do_not_mix_up_answers(valkey: RealServer) -> None:
    async def impatient() -> None:
        link = Link(valkey.url, connections=2, budget_s=HANGS_AFTER_S)
        for i in range(200):
            task = asyncio.create_task(link.run("ECHO", f"lost-{i}"))
            for _ in range(i % 12):
                await asyncio.sleep(0)
            if task.cancel():
                with pytest.raises(asyncio.CancelledError):  # a swallowed one would hang the process's shutdown
                    await task
            assert await link.run("ECHO", f"kept-{i}") == f"kept-{i}".encode()
        await link.close()

    asyncio.run(impatient())


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (exceptions.OutOfMemoryError("command not allowed"), "out of memory"),
        (exceptions.ResponseError("Error running script (call to f_1): @user_script:9: -OOM command"), "out of memory"),
        (exceptions.ResponseError("MISCONF Errors writing to the AOF file: No space left"), "cannot write to its disk"),
        (exceptions.BusyLoadingError("Redis is loading the dataset in memory"), "loading"),
        (exceptions.ReadOnlyError("You can't write against a read only replica."), "read-only"),
        (exceptions.AuthenticationError("NOAUTH Authentication required."), "password"),
        (exceptions.NoPermissionError("NOPERM this user has no permissions"), "permit"),
        (exceptions.ResponseError("WRONGTYPE Operation against a key"), "refused: WRONGTYPE"),
        (exceptions.TimeoutError("Timeout reading from socket"), "in time"),
        (TimeoutError(), "in time"),
        (exceptions.ConnectionError("Error 111 connecting"), "reached"),
        (ConnectionResetError(104, "reset by peer"), "reached"),
    ],
)
def test_what_went_wrong_is_said_in_words(error: Exception, meaning: str) -> None:
    assert meaning in str(unavailable(error))


def test_what_waits_too_long_stops_the_intake_until_a_worker_takes_it(server: RealServer) -> None:
    with opened(server.url, longest_wait_s=0.2) as patient, opened(server.url) as store:
        assert store.submit("BTC") is SubmitOutcome.QUEUED
        assert store.submit("ETH") is SubmitOutcome.QUEUED
        time.sleep(0.25)
        for name, as_of_ms in (("BTC", AS_OF_MS + 1), ("SOL", AS_OF_MS)):
            with pytest.raises(QueueBehind, match=r"waited \d+\.\d s for a worker; beyond 0\.2 s") as refusal:
                patient.submit(name, as_of_ms)
            assert refusal.value.retry_after_s == LATER_S
        assert patient.submit("BTC") is SubmitOutcome.DUPLICATE, "a repeated chain is answered all the same"
        assert store.counts("BTC").received == 2
        assert store.run(store.api.surfaces.underlyings()) == ["BTC", "ETH"]
        worker = store.worker()
        running = claimed(worker)
        with pytest.raises(QueueBehind):
            patient.submit("SOL")
        claimed(worker)
        assert patient.submit(running.underlying, AS_OF_MS + 1) is SubmitOutcome.DEFERRED
        assert patient.submit("SOL") is SubmitOutcome.QUEUED, "a fit that takes long is not a wait"
