import pytest

from app.store.connect import connect_dead_letters
from app.store.dead_letters import DeadLetters, Revival
from app.store.keys import MAX_ATTEMPTS
from tests.store.stored import AS_OF_MS, CHAIN, TIMINGS, OpenStore, claimed


def kill_every_worker(store: OpenStore, underlying: str = "BTC", as_of_ms: int = AS_OF_MS) -> None:
    store.submit(underlying, as_of_ms)
    for _ in range(MAX_ATTEMPTS):
        claimed(store.worker(lease_s=0.0))
    assert store.worker(lease_s=0.0).claim(0.02) is None


@pytest.fixture
def letters(store: OpenStore) -> DeadLetters:
    return connect_dead_letters(store.url)


def test_a_dead_letter_keeps_the_chain(store: OpenStore, letters: DeadLetters) -> None:
    kill_every_worker(store)
    (letter,) = letters.kept()
    assert (letter.underlying, letter.as_of_ms, letter.sequence) == ("BTC", AS_OF_MS, 0)
    assert letter.attempts == MAX_ATTEMPTS
    assert letters.chain(letter.name) == CHAIN
    assert letter.chain_bytes == len(CHAIN)
    assert store.run(store.api.fleet.status()).dead_letters == 1
    letters.close()


def test_a_dead_letter_can_be_tried_again(store: OpenStore, letters: DeadLetters) -> None:
    kill_every_worker(store)
    (letter,) = letters.kept()
    assert letters.retry(letter.name) is Revival.QUEUED
    assert letters.kept() == []
    worker = store.worker()
    claim = claimed(worker)
    assert (claim.attempt, claim.chain, claim.as_of_ms) == (1, CHAIN, AS_OF_MS)
    worker.commit(claim, b"{}", outcome="ok", timings=TIMINGS)
    counts = store.counts()
    assert (counts.received, counts.failed, counts.fitted) == (2, 1, 1)
    assert letters.retry(letter.name) is Revival.MISSING
    letters.close()


def test_a_dead_letter_does_not_come_before_a_newer_chain(store: OpenStore, letters: DeadLetters) -> None:
    kill_every_worker(store)
    (letter,) = letters.kept()
    store.publish(as_of_ms=AS_OF_MS + 1)
    assert letters.retry(letter.name) is Revival.STALE
    assert len(letters.kept()) == 1
    assert store.counts().received == 2
    letters.close()


def test_names_of_other_deployments_are_refused(store: OpenStore, letters: DeadLetters) -> None:
    with pytest.raises(ValueError, match="7/1-0"):
        letters.retry("7/1-0")
    assert letters.chain("0/1-0") is None
    letters.close()
