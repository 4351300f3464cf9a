"""A disk that fills up under the store and gets room again. Needs root, for a disk of a few megabytes."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from app.service.ports import CommitOutcome, StoreUnavailable
from app.store.server_program import ServerNotStarted
from tests.faults.figures import law, timing
from tests.servers import RealServer, program_of
from tests.store.stored import AS_OF_MS, TIMINGS, OpenStore, claimed, opened, until

SMALL, LARGE = "3m", "32m"
BULK = np.random.default_rng(1).bytes(100_000)
"""A chain as the intake sees it: bytes that do not compress."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SMALL}", "tmpfs", str(tmp_path)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.decode().strip()}")
    yield tmp_path
    subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def make_room(disk: Path) -> None:
    subprocess.run(["mount", "-o", f"remount,size={LARGE}", str(disk)], check=True)


def fill(store: OpenStore) -> StoreUnavailable:
    """Submit until the store refuses, and return the refusal."""
    for step in range(1_000):
        try:
            store.run(store.api.intake.submit("BTC", AS_OF_MS + step, 0, BULK))
        except StoreUnavailable as refusal:
            return refusal
    raise AssertionError("a disk of 3 MB took 100 MB")


def accepted_again(store: OpenStore) -> bool:
    try:
        store.submit("ETH", AS_OF_MS + 2_000)
    except StoreUnavailable:
        return False
    return True


@pytest.mark.promise("T7")
@pytest.mark.parametrize("kind", ["valkey", "redis"])
def test_a_full_disk_is_told_and_over_once_there_is_room(disk: Path, kind: str) -> None:
    server = RealServer(program_of(kind), folder=disk / "data")
    with opened(server.url) as store:
        store.publish("ETH")
        refusal = fill(store)
        assert "disk" in str(refusal), refusal
        assert refusal.retry_after_s > 1.0
        assert store.newest_document("ETH") == b"{}", "reads go on"
        assert server.embedded.is_alive()
        make_room(disk)
        began = time.monotonic()
        until(lambda: accepted_again(store))
        timing(
            "T7",
            "everysec: from room on the disk to the next accepted chain",
            time.monotonic() - began,
            "s",
            at_most=3.0,
        )
        store.counts("BTC")
        worker = store.worker()
        claim = claimed(worker)
        assert (claim.underlying, worker.claim(1.0)) == ("ETH", None), "the other one is no chain, and is quarantined"
        assert worker.commit(claim, b"[]", outcome="ok", timings=TIMINGS) is CommitOutcome.PUBLISHED
    server.close()


@pytest.mark.promise("T7")
@pytest.mark.parametrize("kind", ["valkey", "redis"])
def test_a_server_that_ends_on_a_full_disk_comes_back_with_all_it_acknowledged(disk: Path, kind: str) -> None:
    server = RealServer(program_of(kind), appendfsync="always", folder=disk / "data")
    with opened(server.url) as store:
        fill(store)
        until(lambda: not server.embedded.is_alive())
        with pytest.raises(StoreUnavailable):
            store.submit("ETH")
        make_room(disk)
        until(lambda: _started(server))
        until(lambda: accepted_again(store))
        acknowledged = store.counts("BTC").received
        claimed(store.worker())
    server.close()
    law("T7", "always: chains kept through the server's end", acknowledged, at_least=10)


def _started(server: RealServer) -> bool:
    try:
        server.start()
    except ServerNotStarted:
        return False
    return True
