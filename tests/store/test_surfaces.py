"""Reading surfaces: order, pages, gaps, and payloads that were damaged on disk."""

import pytest

from app.service.ports import CorruptPayload, PublishedSurface
from app.store.keys import Keys
from app.store.records import surface_of
from app.store.settlement import Retention
from tests.store.stored import AS_OF_MS, NOTHING_DAMAGED, TIMINGS, OpenStore, claimed

KEYS = Keys()


def publish(store: OpenStore, count: int, history_limit: int = 100) -> list[PublishedSurface]:
    """Publish ``count`` surfaces, a second apart, and return those kept, oldest first."""
    worker = store.worker(retention=Retention(surfaces=history_limit))
    for i in range(count):
        store.submit(as_of_ms=AS_OF_MS + 1_000 * i)
        worker.commit(claimed(worker), b'{"n":%d}' % i, outcome="ok", timings=TIMINGS)
    return list(reversed(store.run(store.api.surfaces.history("BTC", before=None, limit=1_000))))


def damage(store: OpenStore, surface: PublishedSurface, field: str) -> None:
    """Write one flipped bit into a stored surface, as a bad disk does: same id, same length."""
    history = KEYS.history("BTC")
    run = store.api.fleet._link.run
    entries = store.run(run("XRANGE", history, "-", "+"))
    store.run(run("DEL", history))
    for entry, fields in entries:
        if entry == b"%d-0" % surface.version:
            value = bytearray(fields[field.encode()])
            value[-1] ^= 1
            fields[field.encode()] = bytes(value)
        store.run(run("XADD", history, entry, *[word for pair in fields.items() for word in pair]))


def test_nothing_is_read_of_an_underlying_that_never_had_a_surface(store: OpenStore) -> None:
    reader = store.api.surfaces
    assert store.run(reader.newest("BTC")) is None
    assert store.run(reader.history("BTC", before=None, limit=5)) == []
    assert store.run(reader.as_of("BTC", AS_OF_MS)) is None
    assert store.run(reader.after("BTC", 0, 5)) == []
    assert store.run(reader.after("BTC", 17, 5)) is None


def test_a_surface_is_read_as_it_was_committed(store: OpenStore) -> None:
    claim = store.publish(document=b'{"vol":0.55}')
    newest = store.run(store.api.surfaces.newest("BTC"))
    assert newest is not None
    assert newest.document == b'{"vol":0.55}'
    assert (newest.underlying, newest.as_of_ms, newest.sequence) == ("BTC", AS_OF_MS, 0)
    assert newest.received_ms == claim.received_ms
    assert newest.calibrated_at_ms == newest.version // 1_000


def test_history_comes_in_pages_newest_first(store: OpenStore) -> None:
    kept = publish(store, 5)
    reader = store.api.surfaces
    first = store.run(reader.history("BTC", before=None, limit=2))
    assert list(first) == [kept[4], kept[3]]
    second = store.run(reader.history("BTC", before=first[-1].version, limit=2))
    assert list(second) == [kept[2], kept[1]]
    assert store.run(reader.history("BTC", before=kept[0].version, limit=2)) == []


def test_history_is_capped(store: OpenStore) -> None:
    kept = publish(store, 6, history_limit=3)
    assert [s.document for s in kept] == [b'{"n":3}', b'{"n":4}', b'{"n":5}']


def test_after_a_version_comes_everything_or_none(store: OpenStore) -> None:
    kept = publish(store, 5, history_limit=3)
    reader = store.api.surfaces
    assert store.run(reader.after("BTC", kept[0].version, 9)) == kept[1:]
    assert store.run(reader.after("BTC", kept[0].version, 1)) == [kept[1]]
    assert store.run(reader.after("BTC", kept[0].prev_version, 9)) == kept, "trimmed itself, but nothing after it"
    assert store.run(reader.after("BTC", kept[-1].version, 9)) == []
    assert store.run(reader.after("BTC", 0, 9)) is None, "the first two are gone"
    assert store.run(reader.after("BTC", kept[0].version - 1, 9)) is None, "never was a version"
    assert store.run(reader.after("BTC", kept[-1].version + 1, 9)) is None, "a version the store has lost"


def test_the_surface_that_stood_at_a_time(store: OpenStore) -> None:
    kept = publish(store, 70)
    reader = store.api.surfaces
    for step in (0, 1, 36, 37, 38, 69):
        assert store.run(reader.as_of("BTC", AS_OF_MS + 1_000 * step)) == kept[step]
        assert store.run(reader.as_of("BTC", AS_OF_MS + 1_000 * step + 999)) == kept[step]
    assert store.run(reader.as_of("BTC", AS_OF_MS - 1)) is None


@pytest.mark.parametrize("field", ["document", "as_of", "prev_version", "sequence", "received_ms", "check"])
def test_a_damaged_surface_is_set_aside_and_the_one_before_it_served(valkey_store: OpenStore, field: str) -> None:
    store = valkey_store
    kept = publish(store, 3)
    damage(store, kept[2], field)
    assert store.run(store.api.surfaces.newest("BTC")) == kept[1]
    assert store.run(store.api.surfaces.history("BTC", before=None, limit=9)) == [kept[1], kept[0]]
    status = store.run(store.api.fleet.status())
    assert status.quarantined == NOTHING_DAMAGED | {"surface": 1}
    ((_, found),) = store.run(store.api.fleet._link.run("XRANGE", KEYS.quarantine(0), "-", "+"))
    assert found[b"entry"] == b"%d-0" % kept[2].version


def test_a_damaged_surface_breaks_the_chain_after_it(valkey_store: OpenStore) -> None:
    store = valkey_store
    kept = publish(store, 4)
    damage(store, kept[2], "document")
    assert store.run(store.api.surfaces.after("BTC", kept[0].version, 9)) is None
    assert store.run(store.api.surfaces.after("BTC", kept[2].version, 9)) == [kept[3]]


def test_a_damaged_surface_does_not_stand_at_its_time(valkey_store: OpenStore) -> None:
    store = valkey_store
    kept = publish(store, 3)
    damage(store, kept[1], "document")
    assert store.run(store.api.surfaces.as_of("BTC", kept[1].as_of_ms)) == kept[0]


def test_a_claim_starts_from_the_last_undamaged_surface(valkey_store: OpenStore) -> None:
    store = valkey_store
    kept = publish(store, 3)
    damage(store, kept[2], "document")
    damage(store, kept[1], "check")
    store.submit(as_of_ms=AS_OF_MS + 60_000)
    assert claimed(store.worker()).previous == kept[0]


def test_versions_rise_past_a_damaged_surface(valkey_store: OpenStore) -> None:
    store = valkey_store
    kept = publish(store, 2)
    damage(store, kept[1], "document")
    store.run(store.api.surfaces.newest("BTC"))
    store.publish(as_of_ms=AS_OF_MS + 60_000)
    newest = store.run(store.api.surfaces.newest("BTC"))
    assert newest is not None
    assert newest.prev_version == kept[1].version


def test_a_damaged_chain_is_set_aside_and_the_underlying_goes_on(store: OpenStore) -> None:
    store.submit()
    run = store.api.fleet._link.run
    store.run(run("SETRANGE", KEYS.chain("BTC"), 40, b"\x00\xff"))
    worker = store.worker()
    assert worker.claim(0.02) is None
    counts = store.counts()
    assert (counts.failed, counts.pending, counts.calibrations) == (1, 0, {"corrupt": 1})
    assert "CRC-32" in (counts.last_failure or "")
    assert store.run(store.api.fleet.status()).quarantined == NOTHING_DAMAGED | {"chain": 1}
    store.submit(as_of_ms=AS_OF_MS + 1)
    assert claimed(worker).as_of_ms == AS_OF_MS + 1


def test_a_surface_without_its_fields_is_corrupt() -> None:
    with pytest.raises(CorruptPayload, match="BTC 7 has no field"):
        surface_of("BTC", (b"7-0", {b"prev_version": b"0"}))
