"""A server that is killed between two syncs of its log: how much is lost, and what subscribers see of it."""

import asyncio
import itertools
import time

import pytest

from app.service.ports import PublishedSurface, StoreUnavailable, SubmitOutcome
from app.store.connect import AsyncStore, connect_async
from app.store.keys import Keys
from tests.faults.extent import seeds
from tests.faults.figures import law, timing
from tests.servers import RealServer, program_of
from tests.store.stored import AS_OF_MS, CHAIN, TIMINGS, OpenStore, claimed, opened, until

NAMES = [f"U{number}" for number in range(8)]
KEYS = Keys()


async def _acknowledged(store: AsyncStore, server: RealServer) -> tuple[list[tuple[float, str, int]], float]:
    """Submit until the server is killed; return the acknowledged chains with their times, and that of the kill."""
    acknowledged = []

    async def submit() -> None:
        for step in itertools.count():
            name = NAMES[step % len(NAMES)]
            try:
                await store.intake.submit(name, AS_OF_MS + step, 0, CHAIN)
            except StoreUnavailable:
                return
            acknowledged.append((time.monotonic(), name, AS_OF_MS + step))

    submitting = asyncio.create_task(submit())
    await asyncio.sleep(1.7)
    killed_at = time.monotonic()
    server.kill()
    await submitting
    return acknowledged, killed_at


async def _first_answer(store: AsyncStore) -> float:
    began = time.monotonic()
    while True:
        try:
            await store.ping()
        except StoreUnavailable:
            await asyncio.sleep(0.01)
        else:
            return time.monotonic() - began


async def _lose_and_return(server: RealServer) -> tuple[list[float], float, int]:
    """Return the ages of the lost acknowledgements at the kill, the time to the first answer, and all acks."""
    store = connect_async(server.url)
    acknowledged, killed_at = await _acknowledged(store, server)
    began = time.monotonic()
    server.start()
    back_s = time.monotonic() - began + await _first_answer(store)
    kept = {name: await store.intake._link.run("HGET", KEYS.state(name), "as_of") for name in NAMES}
    await store.close()
    lost = [killed_at - at for at, name, as_of_ms in acknowledged if as_of_ms > int(kept[name] or 0)]
    return lost, back_s, len(acknowledged)


@pytest.mark.promise("T4")
@pytest.mark.parametrize("kind", ["valkey", "redis"])
@pytest.mark.parametrize("attempt", seeds(full=4))
def test_everysec_loses_two_seconds_of_acknowledgements_at_most(kind: str, attempt: int) -> None:
    server = RealServer(program_of(kind))
    try:
        lost, back_s, given = asyncio.run(_lose_and_return(server))
        with opened(server.url) as store:
            received = sum(store.counts(name).received for name in NAMES)
    finally:
        server.close()
    assert received >= given - len(lost)
    timing(
        "T4",
        "everysec: age of the oldest acknowledgement lost at kill -9",
        max(lost, default=0.0),
        "s",
        at_most=2.0,
    )
    timing("T4", "from the restart of a killed server to its first answer", back_s, "s", at_most=2.0)


def _published(store: OpenStore, as_of_ms: int, document: bytes) -> None:
    assert store.submit(as_of_ms=as_of_ms) is SubmitOutcome.QUEUED
    worker = store.worker()
    worker.commit(claimed(worker), document, outcome="ok", timings=TIMINGS)


@pytest.mark.promise("T17")
def test_a_version_is_never_given_to_a_second_surface_after_lost_writes(server: RealServer) -> None:
    with opened(server.url) as store:
        assert store.run(store.api.updates.next_updates(0.0)) == []
        _published(store, AS_OF_MS, b"{}")
        server.write_out()
        kept = server.append_only_file().stat().st_size
        _published(store, AS_OF_MS + 1, b'{"lost":true}')
        heard: list[PublishedSurface] = []
        until(lambda: heard.extend(store.run(store.api.updates.next_updates(0.1))) or len(heard) >= 2)
        server.write_out()
        server.kill()
        with server.append_only_file().open("r+b") as log:
            log.truncate(kept)
        server.start()
    with opened(server.url) as store:
        assert store.newest_document() == b"{}", "the second surface is lost"
        _published(store, AS_OF_MS + 1, b'{"lost":false}')
        again = store.run(store.api.surfaces.newest("BTC"))
    assert again is not None
    assert [surface.document for surface in heard] == [b"{}", b'{"lost":true}']
    clashes = sum(surface.version >= again.version for surface in heard)
    assert again.prev_version == heard[0].version, "who heard the lost surface sees that it is gone"
    law("T17", "versions given again, or gone back, after lost writes", clashes, at_most=0)
