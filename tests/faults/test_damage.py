"""Bytes of the log that changed on the disk: what they held is never served, and everything else goes on."""

import asyncio
import random
import shutil
from pathlib import Path

import pytest

from app.service.ports import PublishedSurface, StoreUnavailable
from app.store.codec import CHAIN_MAGIC, DOCUMENT_MAGIC
from app.store.embedded import ServerNotStarted
from tests.faults.extent import FULL, seeds
from tests.faults.figures import figure
from tests.servers import RealServer, program_of
from tests.store.stored import AS_OF_MS, OpenStore, opened

NAMES = [f"U{number}" for number in range(6)]
FLIPS = 60 if FULL else 8
HEAD = 10
"""Bytes before an envelope's body."""


class Log:
    """The log of a stopped server, to be damaged again and again."""

    def __init__(self, server: RealServer, copy: Path) -> None:
        self._server = server
        self._copy = copy
        self._original = server.append_only_file()
        shutil.copy(self._original, copy)
        self.data = copy.read_bytes()

    def flip(self, position: int, bit: int) -> None:
        damaged = bytearray(self.data)
        damaged[position] ^= 1 << bit
        self._original.write_bytes(damaged)


@pytest.fixture(params=["valkey", "redis"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def written(kind: str, tmp_path: Path) -> tuple[RealServer, Log, dict[str, PublishedSurface]]:
    """A stopped server, its log and the newest surface of each underlying; every underlying has a waiting chain."""
    server = RealServer(program_of(kind))
    with opened(server.url) as store:
        for name in NAMES:
            store.publish(name, document=b'{"of":"%s"}' % name.encode())
        newest = {name: store.run(store.api.surfaces.newest(name)) for name in NAMES}
        for name in NAMES:
            store.submit(name, AS_OF_MS + 1)
    server.embedded.stop()
    return server, Log(server, tmp_path / "log"), newest  # type: ignore[return-value]


def _positions(data: bytes, magic: bytes) -> list[int]:
    """Return where the bodies of the envelopes with this magic begin."""
    found, at = [], data.find(magic)
    while at >= 0:
        found.append(at + HEAD)
        at = data.find(magic, at + 1)
    return found


@pytest.mark.parametrize("seed", seeds(full=2))
def test_a_damaged_surface_is_quarantined_and_not_served(written, kind: str, seed: int) -> None:
    server, log, newest = written
    number = random.Random(seed)
    places = _positions(log.data, DOCUMENT_MAGIC)
    assert len(places) == len(NAMES)
    quarantined = 0
    try:
        for _ in range(FLIPS):
            log.flip(number.choice(places) + number.randrange(8), number.randrange(8))
            with opened(server.embedded.start()) as store:
                served = [store.run(store.api.surfaces.newest(name)) for name in NAMES]
                assert [each for each in served if each] == [
                    surface for surface, each in zip(newest.values(), served, strict=True) if each
                ]
                assert served.count(None) == 1
                quarantined += store.run(store.api.fleet.status()).quarantined["surface"]
            server.embedded.stop()
    finally:
        server.close()
    figure("T9", f"{kind}: {FLIPS} flipped bits in stored surfaces, of them quarantined", quarantined, at_least=FLIPS)


@pytest.mark.parametrize("seed", seeds(full=2))
def test_a_damaged_chain_is_quarantined_and_not_fitted(written, kind: str, seed: int) -> None:
    server, log, _ = written
    number = random.Random(seed)
    waiting = _positions(log.data, CHAIN_MAGIC)[-len(NAMES) :]
    quarantined = 0
    try:
        for _ in range(FLIPS):
            log.flip(number.choice(waiting) + number.randrange(64), number.randrange(8))
            with opened(server.embedded.start()) as store:
                worker = store.worker()
                claims = []
                while sum(store.run(store.api.fleet.status()).queue_depth.values()):
                    claim = worker.claim(0.02)
                    claims += [claim] if claim else []
                assert len(claims) == len(NAMES) - 1
                assert sum(store.counts(name).failed for name in NAMES) == 1
                quarantined += store.run(store.api.fleet.status()).quarantined["chain"]
            server.embedded.stop()
    finally:
        server.close()
    figure("T9", f"{kind}: {FLIPS} flipped bits in waiting chains, of them quarantined", quarantined, at_least=FLIPS)


@pytest.mark.parametrize("seed", seeds(full=2))
def test_damage_anywhere_alters_no_surface(written, kind: str, seed: int) -> None:
    """A server may refuse a log that is no log any more; what it does serve was published exactly so."""
    server, log, newest = written
    number = random.Random(seed)
    refused = altered = 0
    try:
        for _ in range(FLIPS):
            log.flip(number.randrange(len(log.data)), number.randrange(8))
            try:
                url = server.embedded.start()
            except ServerNotStarted:
                refused += 1
                continue
            with opened(url) as store:
                altered += sum(surface not in (None, newest[name]) for name, surface in _read(store).items())
            server.embedded.stop()
    finally:
        server.close()
    figure("T9", f"{kind}: altered surfaces served after {FLIPS} bits flipped anywhere", altered, at_most=0)
    figure("T9", f"{kind}: logs the server refuses of {FLIPS} with a bit flipped anywhere", refused, at_most=FLIPS - 1)


def _read(store: OpenStore) -> dict[str, PublishedSurface | None]:
    async def read(name: str) -> PublishedSurface | None:
        try:
            return await store.api.surfaces.newest(name)
        except StoreUnavailable:
            return None

    async def read_all() -> list[PublishedSurface | None]:
        return list(await asyncio.gather(*map(read, NAMES)))

    return dict(zip(NAMES, store.run(read_all()), strict=True))
