"""Bytes of the log that changed on the disk: what they held is never served, and everything else goes on."""

import asyncio
import logging
import random
import shutil
from pathlib import Path

import pytest

from app.service.ports import PublishedSurface, StoreUnavailable
from app.store.codec import CHAIN_MAGIC, DOCUMENT_MAGIC
from app.store.server_program import ServerNotStarted
from tests.faults.extent import FULL, seeds
from tests.faults.figures import law
from tests.servers import RealServer, program_of
from tests.store.stored import AS_OF_MS, TIMINGS, OpenStore, assert_conserved, opened, until

NAMES = [f"U{number}" for number in range(6)]
FLIPS = 60 if FULL else 8
HEAD = 10
"""Bytes before an envelope's body."""
HEAD_OF_COMMAND = b"\r\n*"
"""Half of the flips anywhere are put on its star: a log without one is refused, which chance alone may never meet."""


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
    return [at + HEAD for at in _all(data, magic)]


def _all(data: bytes, part: bytes) -> list[int]:
    found, at = [], data.find(part)
    while at >= 0:
        found.append(at)
        at = data.find(part, at + 1)
    return found


@pytest.mark.promise("T9")
@pytest.mark.parametrize("seed", seeds(full=1))
def test_a_damaged_surface_is_quarantined_and_not_served(written, kind: str, seed: int) -> None:
    server, log, newest = written
    number = random.Random(seed)
    places = _positions(log.data, DOCUMENT_MAGIC)
    assert len(places) == 2 * len(NAMES), "each in its history, and then in the update log"
    places = places[::2]
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
    law("T9", f"{FLIPS} flipped bits in stored surfaces, of them quarantined", quarantined, at_least=FLIPS)


@pytest.mark.promise("T9")
@pytest.mark.parametrize("seed", seeds(full=1))
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
    law("T9", f"{FLIPS} flipped bits in waiting chains, of them quarantined", quarantined, at_least=FLIPS)


@pytest.mark.promise("T9")
@pytest.mark.parametrize("seed", seeds(full=1))
def test_damage_anywhere_alters_no_surface(written, kind: str, seed: int, caplog: pytest.LogCaptureFixture) -> None:
    """A log that is no log any more is cut where it is whole; what is served was published exactly so."""
    server, log, newest = written
    number = random.Random(seed)
    heads = [at + len(HEAD_OF_COMMAND) - 1 for at in _all(log.data, HEAD_OF_COMMAND)]
    cut = altered = 0
    try:
        for flip in range(FLIPS):
            caplog.clear()
            anywhere = flip % 2 == 0
            log.flip(number.randrange(len(log.data)) if anywhere else number.choice(heads), number.randrange(8))
            with opened(server.embedded.start()) as store:
                altered += sum(surface not in (None, newest[name]) for name, surface in _read(store).items())
                said = [record for record in caplog.records if record.message == "store_log_cut"]
                if said:
                    cut += 1
                    _assert_valid_past(store, server, log, said[0])
            server.embedded.stop()
    finally:
        server.close()
    law("T9", f"altered surfaces served after {FLIPS} bits flipped anywhere", altered, at_most=0)
    law("T9", f"logs refused of {FLIPS} with a bit flipped, cut to a valid past", cut, at_least=FLIPS // 4)


@pytest.mark.promise("T9")
def test_a_word_that_damage_made_a_line_break_of_is_found(written, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    server, log, newest = written
    log.flip(log.data.rindex(b"MULTI"), 6)  # the M becomes a carriage return
    try:
        with opened(server.embedded.start()) as store:
            assert _read(store) == newest
            assert [record.message for record in caplog.records].count("store_log_cut") == 1
        server.embedded.stop()
    finally:
        server.close()


def _assert_valid_past(store: OpenStore, server: RealServer, log: Log, said: logging.LogRecord) -> None:
    """The law holds in what is left, work can be finished, and the damaged log is still there."""
    fields = said.__dict__
    kept = Path(fields["copy"]) / server.append_only_file().name
    assert kept.stat().st_size == len(log.data) == fields["kept_bytes"] + fields["lost_bytes"]
    assert kept.read_bytes()[: fields["kept_bytes"]] == log.data[: fields["kept_bytes"]]
    worker = store.worker(lease_s=0.0)
    while claim := worker.claim(0.02):
        worker.commit(claim, b"{}", outcome="ok", timings=TIMINGS)
    for counts in store.run(store.api.fleet.status()).underlyings:
        assert_conserved(counts)
        assert counts.pending == 0


@pytest.mark.promise("T9")
def test_a_damaged_snapshot_is_not_guessed_at(written, kind: str) -> None:
    """What the log begins from has no whole part: the operator hears the command that gives it up."""
    server, _, _ = written
    try:
        with opened(server.embedded.start()) as store:
            store.run(store.api.fleet._link.run("BGREWRITEAOF"))
            until(lambda: not [*server.folder.glob("appendonlydir/*.1.base.rdb")])
        server.embedded.stop()
        (snapshot,) = server.folder.glob("appendonlydir/*.base.rdb")
        data = bytearray(snapshot.read_bytes())
        data[len(data) // 2] ^= 4
        snapshot.write_bytes(data)
        with pytest.raises(ServerNotStarted, match=r"mv (\S*appendonlydir) \1\.damaged"):
            server.embedded.start()
        assert snapshot.read_bytes() == data
        assert len([*server.folder.glob("appendonlydir*")]) == 1, "nothing was changed"
        (server.folder / "appendonlydir").rename(server.folder / "appendonlydir.damaged")
        with opened(server.embedded.start()) as store:
            assert store.run(store.api.surfaces.underlyings()) == []
    finally:
        server.close()


def _read(store: OpenStore) -> dict[str, PublishedSurface | None]:
    async def read(name: str) -> PublishedSurface | None:
        try:
            return await store.api.surfaces.newest(name)
        except StoreUnavailable:
            return None

    async def read_all() -> list[PublishedSurface | None]:
        return list(await asyncio.gather(*map(read, NAMES)))

    return dict(zip(NAMES, store.run(read_all()), strict=True))
