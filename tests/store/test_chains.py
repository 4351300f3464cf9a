"""The chain beside its surface: the one that was fitted, whatever came meanwhile, for as long as both are kept."""

import time

import pytest

from app.service.ports import CorruptPayload, KeptChain
from app.store.codec import encode_chain
from app.store.keys import Keys
from app.store.settlement import Retention
from tests.servers import RealServer
from tests.store.stored import AS_OF_MS, CHAIN, NOTHING_DAMAGED, TIMINGS, OpenStore, claimed, small_chain

KEYS = Keys()


def test_a_surface_is_kept_with_the_chain_and_the_state_it_was_fitted_from(store: OpenStore) -> None:
    store.submit(as_of_ms=AS_OF_MS)
    worker = store.worker()
    first = claimed(worker)
    other = encode_chain(small_chain(sequence=1))
    store.run(store.api.intake.submit("BTC", AS_OF_MS + 1, 0, other))
    worker.commit(first, b"{}", outcome="ok", timings=TIMINGS, state=b"after the first")
    second = claimed(worker)
    worker.fail(second, "no", outcome="rejected", timings=TIMINGS)
    assert store.run(store.api.chains.as_of("BTC", AS_OF_MS + 1)) is None, "a chain that failed has no surface"
    (surface,) = store.run(store.api.surfaces.history("BTC", before=None, limit=9))
    kept = store.run(store.api.chains.of_version("BTC", surface.version))
    assert kept is not None
    assert (kept.as_of_ms, kept.chain, kept.state) == (AS_OF_MS, CHAIN, b"")
    assert store.run(store.api.chains.as_of("BTC", AS_OF_MS)) == kept
    store.submit(as_of_ms=AS_OF_MS + 2)
    worker.commit(claimed(worker), b"{}", outcome="ok", timings=TIMINGS)
    later = store.run(store.api.chains.as_of("BTC", AS_OF_MS + 2))
    assert later is not None
    assert later.state == b"after the first"
    assert store.run(store.api.chains.as_of("BTC", AS_OF_MS + 1)) is None
    assert store.run(store.api.chains.as_of("ETH", AS_OF_MS)) is None


@pytest.mark.parametrize(("chains", "kept"), [(2, 2), (0, 0)])
def test_so_many_chains_are_kept(server: RealServer, store: OpenStore, chains: int, kept: int) -> None:
    for i in range(4):
        store.publish(as_of_ms=AS_OF_MS + i, retention=Retention(chains=chains))
    assert server.run("XLEN", KEYS.chains("BTC")) == kept
    assert server.run("XLEN", KEYS.history("BTC")) == 4


def test_what_is_older_than_allowed_goes_with_the_next_surface(server: RealServer, store: OpenStore) -> None:
    retention = Retention(age_s=0.05)
    for i in range(2):
        store.publish(as_of_ms=AS_OF_MS + i, retention=retention)
    time.sleep(0.06)
    store.publish(as_of_ms=AS_OF_MS + 2, retention=retention)
    assert server.run("XLEN", KEYS.history("BTC")) == server.run("XLEN", KEYS.chains("BTC")) == 1
    assert store.newest_document() == b"{}"


@pytest.mark.parametrize(
    ("by", "field"),
    [("version", b"chain"), ("version", b"state"), ("version", b"as_of"), ("time", b"chain"), ("time", b"state")],
)
def test_a_damaged_chain_is_set_aside_and_counted(server: RealServer, store: OpenStore, by: str, field: bytes) -> None:
    store.publish()
    ((entry, fields),) = server.run("XRANGE", KEYS.chains("BTC"), "-", "+")
    version = int(entry.partition(b"-")[0])
    server.run("DEL", KEYS.chains("BTC"))
    damaged = {b"chain": fields[b"chain"][:-1], b"state": b"?" + fields[b"state"], b"as_of": b"soon"}
    flat = [part for pair in (fields | {field: damaged[field]}).items() for part in pair]
    server.run("XADD", KEYS.chains("BTC"), entry, *flat)

    def read() -> KeptChain | None:
        archive = store.api.chains
        return store.run(archive.of_version("BTC", version) if by == "version" else archive.as_of("BTC", AS_OF_MS))

    with pytest.raises(CorruptPayload):
        read()
    assert read() is None, "it has left the kept chains"
    assert store.run(store.api.fleet.status()).quarantined == NOTHING_DAMAGED | {"kept_chain": 1}
    ((_, found),) = server.run("XRANGE", KEYS.quarantine(0), "-", "+")
    assert (found[b"kind"], found[b"entry"]) == (b"kept_chain", entry)
    assert found[b"payload"] == (fields | damaged if field == b"chain" else fields)[b"chain"]
    assert server.run("XLEN", KEYS.history("BTC")) == 1, "the surface stays"
