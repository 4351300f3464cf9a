"""The one subscription of a process: every surface once, in order, through restarts and trimmed logs."""

import asyncio
import contextlib
import time
from collections.abc import Sequence

import pytest

from app.service.ports import PublishedSurface, StoreUnavailable
from app.store.keys import Keys
from tests.servers import RealServer
from tests.store.stored import AS_OF_MS, HANGS_AFTER_S, OpenStore, opened, until

KEYS = Keys()
SILENCE_S = 0.05
"""For what ought not to come."""


def heard(store: OpenStore, count: int = 0) -> list[PublishedSurface]:
    """Everything the feed has: so many surfaces, however long they take, and what comes until it is silent."""
    found: list[PublishedSurface] = []
    until(lambda: found.extend(store.run(store.api.updates.next_updates(SILENCE_S))) or len(found) >= count)
    while updates := store.run(store.api.updates.next_updates(SILENCE_S)):
        found += updates
    return found


def documents(surfaces: Sequence[PublishedSurface]) -> list[bytes]:
    return [surface.document for surface in surfaces]


def publish(store: OpenStore, first: int, last: int) -> list[bytes]:
    """Publish surfaces numbered ``first`` to ``last`` of alternating underlyings and return their documents."""
    expected = []
    for i in range(first, last + 1):
        store.publish("BTC" if i % 2 else "ETH", AS_OF_MS + i, b'{"n":%d}' % i)
        expected.append(b'{"n":%d}' % i)
    return expected


def test_silence_is_empty_after_the_timeout(store: OpenStore) -> None:
    began = time.monotonic()
    assert store.run(store.api.updates.next_updates(0.2)) == []
    assert time.monotonic() - began > 0.15


def test_surfaces_come_once_and_in_commit_order(store: OpenStore) -> None:
    publish(store, 1, 2)
    assert heard(store) == [], "what was there before the first call is read by newest()"
    expected = publish(store, 3, 8)
    assert documents(heard(store, len(expected))) == expected
    assert heard(store) == []


def test_a_surface_wakes_the_feed(store: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("connect", "shard_reads"):
        monkeypatch.setattr(f"app.store.{module}.BLOCK_S", 2.0 * HANGS_AFTER_S)

    async def listen_while_publishing(listener: OpenStore) -> None:
        async with asyncio.timeout(HANGS_AFTER_S):
            waiting = asyncio.create_task(listener.api.updates.next_updates(2.0 * HANGS_AFTER_S))
            await asyncio.sleep(0.05)
            await asyncio.to_thread(publish_from_elsewhere)
            assert documents(await waiting) == [b"{}"], "long before any wait is over"

    def publish_from_elsewhere() -> None:
        with opened(store.url) as other:
            other.publish()

    with opened(store.url) as listener:
        heard(listener)
        listener.run(listen_while_publishing(listener))


def test_updates_of_all_shards_come_once(valkey: RealServer) -> None:
    with opened(valkey.url, shards=3) as store:
        heard(store)
        names = ["BTC", "XRP", "DAX", "ETH", "SPX", "SX5E"]
        for name in names:
            store.publish(name)
        assert sorted(surface.underlying for surface in heard(store, len(names))) == sorted(names)
        assert heard(store) == []


def test_a_cancelled_wait_loses_nothing(store: OpenStore) -> None:
    heard(store)

    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await store.api.updates.next_updates(5.0)

    store.run(give_up())
    expected = publish(store, 1, 2)
    assert documents(heard(store, len(expected))) == expected


def test_a_log_trimmed_past_the_reader_is_made_good_from_the_histories(store: OpenStore) -> None:
    heard(store)
    expected = publish(store, 1, 2)
    assert documents(heard(store, len(expected))) == expected
    expected = publish(store, 3, 9)
    store.run(store.api.fleet._link.run("XTRIM", KEYS.updates(0), "MAXLEN", "=", 2))
    assert documents(heard(store, len(expected))) == expected
    assert heard(store) == []


@pytest.mark.parametrize("document", [None, b"damaged"])
def test_an_update_without_a_whole_surface_is_read_from_the_history(store: OpenStore, document: bytes | None) -> None:
    heard(store)
    expected = publish(store, 1, 1)
    log = KEYS.updates(0)
    ((entry, fields),) = store.run(store.api.fleet._link.run("XRANGE", log, "-", "+"))
    store.run(store.api.fleet._link.run("XDEL", log, entry))
    del fields[b"document"]
    if document:
        fields[b"document"] = document
    store.run(store.api.fleet._link.run("XADD", log, "*", *[part for field in fields.items() for part in field]))
    assert documents(heard(store)) == expected


def test_a_restarted_server_costs_no_update(valkey: RealServer) -> None:
    with opened(valkey.url) as store:
        heard(store)
        expected = publish(store, 1, 3)
        first = heard(store, len(expected))
        valkey.write_out()
        valkey.kill()
        with pytest.raises(StoreUnavailable):
            store.run(store.api.updates.next_updates(0.5))
        valkey.start()
        expected += publish(store, 4, 6)
        assert documents([*first, *heard(store, 3)]) == expected


def test_a_server_that_lost_its_tail_costs_no_later_update(valkey: RealServer) -> None:
    """Its log then ends before what we have read; numbers are given out again, for other surfaces."""
    with opened(valkey.url) as store:
        heard(store)
        publish(store, 1, 2)
        before = heard(store, 2)
        valkey.write_out()
        kept = valkey.append_only_file().stat().st_size
        lost = publish(store, 3, 4)
        assert documents(heard(store, len(lost))) == lost
        valkey.write_out()
        valkey.kill()
        with valkey.append_only_file().open("r+b") as log:
            log.truncate(kept)
        valkey.start()
        with contextlib.suppress(StoreUnavailable):  # or the connection was renewed before it was used
            heard(store)
        assert heard(store) == []
        expected = publish(store, 5, 7)
        again = heard(store, len(expected))
        assert documents(again) == expected
        last_versions = {surface.underlying: surface.version for surface in before}
        assert again[0].prev_version == last_versions["BTC"], "the gap shows: the lost version is not the previous one"
