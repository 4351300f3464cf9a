"""Buckets and kept answers on real servers."""

import time

from app.service.admission import KeptAnswer
from tests.servers import RealServer
from tests.store.stored import OpenStore, until


def test_a_bucket_gives_its_burst_and_then_its_rate(store: OpenStore) -> None:
    def take(wanted: int) -> tuple[int, float]:
        return store.run(store.api.rate_buckets.take("k", wanted, rate_per_s=rate_per_s, burst=5))

    rate_per_s = 1e-3  # nothing while the test lasts
    assert take(3) == (3, 0.0)
    assert take(10)[0] == 2
    taken, wait_s = take(1)
    assert taken == 0
    assert 0.5 / rate_per_s < wait_s <= 1.0 / rate_per_s
    rate_per_s = 10.0
    while not wait_s or wait_s > 0.1:
        taken, wait_s = take(5)
    assert taken == 0
    time.sleep(wait_s)
    assert take(1) == (1, 0.0)


def test_a_full_bucket_is_forgotten(server: RealServer, store: OpenStore) -> None:
    store.run(store.api.rate_buckets.take("k", 1, rate_per_s=1000.0, burst=10))
    until(lambda: server.run("KEYS", "*rate*") == [])


def test_an_answer_is_kept_for_its_caller_and_its_key(server: RealServer, store: OpenStore) -> None:
    answers = store.api.answers
    body = b'{"slices":[]}' * 1000
    assert store.run(answers.begin("k", "a", "print")) is None
    assert store.run(answers.begin("k", "a", "other")) == KeptAnswer("print", 0, b"")
    store.run(answers.keep("k", "a", KeptAnswer("print", 200, body)))
    assert store.run(answers.begin("k", "a", "print")) == KeptAnswer("print", 200, body)
    assert store.run(answers.begin("l", "a", "print")) is None
    store.run(answers.forget("l", "a"))
    assert store.run(answers.begin("l", "a", "x")) is None
    assert all(server.run("TTL", name) > 0 for name in server.run("KEYS", "*answer*"))
