"""The event log: written with the change it tells of, once; read back, filtered, followed and merged over shards."""

import pytest

from app.service.event import Event, EventId, EventKind, Notice
from app.service.ports import CommitOutcome, StoreUnavailable
from app.store.keys import MAX_ATTEMPTS, Keys
from tests.servers import RealServer
from tests.store.stored import AS_OF_MS, TIMINGS, OpenStore, claimed, opened

SHIFT = Notice(EventKind.REGIME, "the market shifted: level moved by 0.05", {"regime": "shift", "move": 0.05})
ALARM = Notice(EventKind.ALARM, "drift: cusum of the 1w level is 9.61, beyond 9.5", {"limit": 9.5, "note": None})
KEYS = Keys()


def kept(store: OpenStore, **filters: object) -> list[Event]:
    """Return all kept events, oldest first."""
    return list(store.run(store.api.events.page(before=None, limit=1_000, **filters)))[::-1]  # type: ignore[arg-type]


def test_a_published_surface_brings_its_events_and_their_version(store: OpenStore) -> None:
    worker = store.worker()
    store.submit()
    worker.commit(claimed(worker), b"{}", outcome="ok", timings=TIMINGS, events=(SHIFT, ALARM))
    surface = store.run(store.api.surfaces.newest("BTC"))
    assert surface is not None
    events = kept(store)
    assert [(e.kind, e.message, e.values) for e in events] == [(n.kind, n.message, n.values) for n in (SHIFT, ALARM)]
    assert {(e.underlying, e.version, e.at_ms) for e in events} == {("BTC", surface.version, surface.calibrated_at_ms)}
    assert store.counts().events == dict.fromkeys(EventKind, 0) | {"regime": 1, "alarm": 1}


def test_an_answer_given_three_times_says_its_events_once(store: OpenStore) -> None:
    worker = store.worker()
    for as_of_ms, settle in ((AS_OF_MS, "commit"), (AS_OF_MS + 1, "fail")):
        store.submit(as_of_ms=as_of_ms)
        claim = claimed(worker)
        for _ in range(3):
            if settle == "commit":
                worker.commit(claim, b"{}", outcome="ok", timings=TIMINGS, events=(SHIFT,))
            else:
                worker.fail(claim, "no", outcome="no_smile", timings=TIMINGS, events=(ALARM,))
    assert [event.kind for event in kept(store)] == ["regime", "alarm"]
    assert kept(store)[1].version is None


def test_a_lost_lease_says_nothing(store: OpenStore) -> None:
    slow, quick = store.worker("slow"), store.worker("quick", lease_s=0.0)
    store.submit()
    late, retaken = claimed(slow), claimed(quick)
    assert slow.commit(late, b"{}", outcome="ok", timings=TIMINGS, events=(SHIFT,)) is CommitOutcome.FENCED
    assert kept(store) == []
    quick.commit(retaken, b"{}", outcome="ok", timings=TIMINGS, events=(ALARM,))
    assert [event.kind for event in kept(store)] == ["alarm"]


def test_a_dead_letter_is_an_event(store: OpenStore) -> None:
    store.submit(sequence=7)
    for attempt in range(MAX_ATTEMPTS):
        claimed(store.worker(f"w{attempt}", lease_s=0.0))
    assert store.worker("last", lease_s=0.0).claim(0.0) is None
    (event,) = kept(store)
    assert (event.kind, event.underlying, event.version) == (EventKind.DEAD_LETTER, "BTC", None)
    assert event.values == {"attempts": MAX_ATTEMPTS, "as_of_ms": AS_OF_MS, "sequence": 7}
    assert event.message == store.counts().last_failure


def test_a_damaged_chain_is_an_event(store: OpenStore) -> None:
    worker = store.worker()
    store.submit()
    store.run(store.api.intake._link.run("SET", KEYS.chain("BTC"), b"noise"))
    assert worker.claim(0.0) is None
    (event,) = kept(store)
    assert (event.kind, event.values["status"]) == (EventKind.FAILED, "corrupt")


def test_an_event_of_its_own_is_recorded(store: OpenStore) -> None:
    worker = store.worker()
    worker.record("BTC", Notice(EventKind.PROMOTION, "svi took over"), version=17)
    worker.record("BTC", Notice(EventKind.PROMOTION, "svi_spline took over"))
    assert [(event.message, event.version) for event in kept(store)] == [
        ("svi took over", 17),
        ("svi_spline took over", None),
    ]


def test_pages_go_back_in_time_and_leave_nothing_out(store: OpenStore) -> None:
    worker = store.worker()
    for i in range(7):
        worker.record("BTC" if i % 2 else "ETH", Notice(list(EventKind)[i], f"number {i}"))
    pages: list[str] = []
    before = None
    while page := store.run(store.api.events.page(before=before, limit=3)):
        assert len(page) <= 3
        pages += [event.message for event in page]
        before = page[-1].id
    assert pages == [f"number {i}" for i in reversed(range(7))]
    assert [e.message for e in kept(store, underlyings={"BTC"})] == ["number 1", "number 3", "number 5"]
    assert [e.message for e in kept(store, kind=EventKind.GATE)] == ["number 1"]
    assert kept(store, underlyings=set()) == []


def test_what_follows_an_id_is_replayed_or_said_to_be_gone(store: OpenStore) -> None:
    worker = store.worker()
    log = store.api.events
    for i in range(4):
        worker.record("BTC" if i % 2 else "ETH", Notice(EventKind.ROLL, f"number {i}"))
    first, *_, last = kept(store)
    after = store.run(log.after(first.id, limit=10))
    assert after is not None
    assert [event.message for event in after] == ["number 1", "number 2", "number 3"]
    of_eth = store.run(log.after(first.id, limit=10, underlyings={"ETH"}))
    assert of_eth is not None
    assert [event.message for event in of_eth] == ["number 2"]
    assert store.run(log.after(last.id, limit=10)) == []
    store.run(store.api.intake._link.run("XTRIM", KEYS.events(0), "MAXLEN", 2))
    assert store.run(log.after(first.id, limit=10)) is None, "number 1 is gone"
    assert store.run(log.after(kept(store)[0].id, limit=10)) is not None


def test_the_log_is_capped(valkey_store: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.store.work_queue.EVENTS_KEPT", 5)
    worker = valkey_store.worker()
    for i in range(9):
        worker.record("BTC", Notice(EventKind.ROLL, f"number {i}"))
    assert [event.message for event in kept(valkey_store)] == [f"number {i}" for i in range(4, 9)]


def test_a_feed_hands_over_each_event_once_and_counts_what_it_missed(store: OpenStore) -> None:
    worker, feed = store.worker(), store.api.event_feed
    worker.record("BTC", SHIFT)
    assert store.run(feed.next_events(0.0)).events == (), "it begins at the end"
    worker.record("BTC", ALARM)
    worker.record("ETH", SHIFT)
    batch = store.run(feed.next_events(2.0))
    assert [(event.underlying, event.kind) for event in batch.events] == [("BTC", "alarm"), ("ETH", "regime")]
    for i in range(4):
        worker.record("BTC", Notice(EventKind.ROLL, f"number {i}"))
    store.run(store.api.intake._link.run("XTRIM", KEYS.events(0), "MAXLEN", 1))
    batch = store.run(feed.next_events(2.0))
    assert ([event.message for event in batch.events], batch.missed) == (["number 3"], 3)


def test_several_shards_are_one_log(server: RealServer) -> None:
    with opened(server.url, shards=4) as store:
        worker, log = store.worker(), store.api.events
        store.run(store.api.event_feed.next_events(0.0))
        names = [f"U{i}" for i in range(12)]
        for name in names:
            worker.record(name, Notice(EventKind.ROLL, name))
        assert {Keys(shards=4).shard_of(name) for name in names} == {0, 1, 2, 3}
        events = kept(store)
        assert [EventId.parse(event.id) for event in events] == sorted(EventId.parse(event.id) for event in events)
        assert sorted(event.message for event in events) == sorted(names)
        for i, event in enumerate(events):
            after = store.run(log.after(event.id, limit=100))
            assert after == events[i + 1 :]
            assert store.run(log.page(before=event.id, limit=100)) == events[:i][::-1]
        followed: list[Event] = []
        while batch := store.run(store.api.event_feed.next_events(0.05)).events:
            followed += batch
        assert sorted(event.id for event in followed) == sorted(event.id for event in events)


def test_a_damaged_entry_is_passed_over_aloud(valkey_store: OpenStore, caplog: pytest.LogCaptureFixture) -> None:
    worker = valkey_store.worker()
    worker.record("BTC", SHIFT)
    link = valkey_store.api.intake._link
    valkey_store.run(link.run("XADD", KEYS.events(0), "*", "number", 2, "kind", "regime", "at", "x"))
    assert [event.message for event in kept(valkey_store)] == [SHIFT.message]
    assert "event_unreadable" in caplog.text


@pytest.mark.parametrize("text", ["", "1", "1-2", "1-2-3-4", "a-0-0", "-1-0-0", "1-0-0\n", f"{10**16}-0-0"])
def test_what_is_no_id_is_refused(valkey_store: OpenStore, text: str) -> None:
    with pytest.raises(ValueError, match="is no id of an event"):
        valkey_store.run(valkey_store.api.events.after(text, limit=1))


def test_a_full_server_settles_with_events_and_refuses_one_of_its_own(server: RealServer) -> None:
    with opened(server.url) as store:
        worker = store.worker()
        store.submit()
        claim = claimed(worker)
        server.run("CONFIG", "SET", "maxmemory", "1mb")
        try:
            with pytest.raises(StoreUnavailable, match="memory"):
                worker.record("BTC", ALARM)
            assert (
                worker.commit(claim, b"{}", outcome="ok", timings=TIMINGS, events=(SHIFT,)) is CommitOutcome.PUBLISHED
            )
        finally:
            server.run("CONFIG", "SET", "maxmemory", "0")
        assert [event.kind for event in kept(store)] == ["regime"]
