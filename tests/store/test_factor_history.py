"""Factors over a real store: whoever read before and whoever reads first know the same, whatever was let go since."""

import pytest

from app.quant.market_factors import LEVEL
from app.service.document import VolGrid, encode_document
from app.service.factor_history import PAGE, FactorHistory
from app.store.settlement import Retention
from tests.api.documents import document
from tests.store.stored import AS_OF_MS, TIMINGS, OpenStore, claimed
from tests.store.test_surfaces import damage

KEPT = 3 * PAGE


def publish(store: OpenStore, start: int, count: int) -> None:
    worker = store.worker(retention=Retention(surfaces=KEPT))
    for i in range(start, start + count):
        store.submit(as_of_ms=AS_OF_MS + 1_000 * i)
        grid = VolGrid([30.0], ["ATM"], [[0.5 + 0.001 * i]])
        fitted = encode_document(document("BTC", AS_OF_MS + 1_000 * i, vol_grid=grid))
        worker.commit(claimed(worker), fitted, outcome="ok", timings=TIMINGS)


def levels(store: OpenStore, history: FactorHistory) -> list[float]:
    return store.run(history.of("BTC")).values[:, LEVEL].tolist()


def test_all_readers_know_the_same(store: OpenStore) -> None:
    old = FactorHistory(store.api.surfaces)
    assert levels(store, old) == []
    published = 0
    for count in (5, KEPT - 5, 1, PAGE, PAGE + 1, 2 * KEPT):
        publish(store, published, count)
        published += count
        found = levels(store, old)
        assert found == levels(store, FactorHistory(store.api.surfaces))
        expected = range(max(0, published - KEPT), published)
        assert found == pytest.approx([0.5 + 0.001 * i for i in expected])


def test_a_damaged_surface_is_missing_for_all(valkey_store: OpenStore) -> None:
    store = valkey_store
    old = FactorHistory(store.api.surfaces)
    publish(store, 0, 5)
    levels(store, old)
    publish(store, 5, 4)
    damage(store, store.run(store.api.surfaces.history("BTC", before=None, limit=3))[-1], "document")
    fresh = levels(store, FactorHistory(store.api.surfaces))
    assert fresh == pytest.approx([0.5, 0.501, 0.502, 0.503, 0.504, 0.505, 0.507, 0.508])
    assert levels(store, old) == fresh
