"""What travels with a surface: committed with it, left by a failed chain, handed to the next claim."""

import pytest

from app.service.ports import CommitOutcome, CorruptPayload
from app.store.codec import open_state, seal_state
from app.store.keys import Keys
from tests.store.stored import AS_OF_MS, TIMINGS, OpenStore, claimed

KEYS = Keys()


def test_a_surface_and_its_state_are_one_commit(store: OpenStore) -> None:
    worker = store.worker()
    store.submit()
    first = claimed(worker)
    assert first.state == b""
    worker.commit(first, b"{}", outcome="ok", timings=TIMINGS, state=b"\x00learned\xff")
    surface = store.run(store.api.surfaces.newest("BTC"))
    assert surface is not None
    assert surface.state == b"\x00learned\xff"
    store.submit(as_of_ms=AS_OF_MS + 1)
    second = claimed(worker)
    assert second.previous == surface
    assert second.state == surface.state


def test_a_failed_chain_may_leave_a_state_for_the_next(store: OpenStore) -> None:
    worker = store.worker()
    store.submit()
    worker.commit(claimed(worker), b"{}", outcome="ok", timings=TIMINGS, state=b"of the surface")
    for i, left in enumerate((b"one rejection", b"", b"two rejections"), start=1):
        store.submit(as_of_ms=AS_OF_MS + i)
        worker.fail(claimed(worker), "no", outcome="rejected", timings=TIMINGS, state=left)
    store.submit(as_of_ms=AS_OF_MS + 10)
    claim = claimed(worker)
    assert claim.state == b"two rejections"
    assert claim.previous is not None
    assert claim.previous.state == b"of the surface"
    assert worker.commit(claim, b"{}", outcome="ok", timings=TIMINGS, state=b"new") is CommitOutcome.PUBLISHED
    store.submit(as_of_ms=AS_OF_MS + 11)
    assert claimed(worker).state == b"new"


def test_a_damaged_left_state_is_nobodys(store: OpenStore) -> None:
    worker = store.worker()
    store.submit()
    worker.commit(claimed(worker), b"{}", outcome="ok", timings=TIMINGS, state=b"of the surface")
    store.run(store.api.fleet._link.run("HSET", KEYS.state("BTC"), "maintenance", b"SKst damaged"))
    store.submit(as_of_ms=AS_OF_MS + 1)
    assert claimed(worker).state == b"of the surface"


def test_a_state_comes_back_from_its_envelope() -> None:
    sealed = seal_state(bytes(range(256)))
    assert open_state(sealed) == bytes(range(256))
    with pytest.raises(CorruptPayload, match="CRC-32"):
        open_state(sealed[:-1] + bytes([sealed[-1] ^ 1]))
