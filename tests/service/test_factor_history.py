"""Factors of kept surfaces: read once, then what is new, and always those that the store keeps now."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from app.quant.market_factors import LEVEL
from app.service.document import RecalibrationDocument, VolGrid
from app.service.factor_history import MOST_SURFACES, MOST_UNDERLYINGS, PAGE, FactorHistory
from app.service.ports import CorruptPayload, PublishedSurface, StoreUnavailable
from app.service.surface_factors import FactorSeries
from tests.api.documents import published
from tests.api.memory_store import MemoryStore

pytestmark = pytest.mark.anyio


class CountingStore(MemoryStore):
    def __init__(self) -> None:
        super().__init__()
        self.read = 0
        self.largest = 0

    async def history(self, underlying: str, *, before: int | None, limit: int) -> Sequence[PublishedSurface]:
        return self._counted(await super().history(underlying, before=before, limit=limit))

    async def after(self, underlying: str, version: int, limit: int) -> Sequence[PublishedSurface] | None:
        found = await super().after(underlying, version, limit)
        return None if found is None else self._counted(found)

    def _counted(self, page: Sequence[PublishedSurface]) -> Sequence[PublishedSurface]:
        self.read += len(page)
        self.largest = max(self.largest, len(page))
        return page


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def store() -> CountingStore:
    return CountingStore()


def publish(store: MemoryStore, count: int, underlying: str = "BTC", **changes: Any) -> None:
    for _ in range(count):
        level = 0.5 + 0.001 * len(store.kept[underlying])
        store.publish(underlying, **{"vol_grid": VolGrid([30.0], ["ATM"], [[level]]), **changes})


def known(series: FactorSeries) -> list[tuple[int, float]]:
    return list(zip(series.version.tolist(), series.values[:, LEVEL].tolist(), strict=True))


async def fresh(store: MemoryStore) -> list[tuple[int, float]]:
    return known(await FactorHistory(store).of("BTC"))


async def test_a_second_call_reads_what_is_new(store: CountingStore) -> None:
    history = FactorHistory(store)
    publish(store, 3 * PAGE + 5)
    first = await history.of("BTC")
    assert first.version.tolist() == [s.version for s in store.kept["BTC"]]
    assert first.values[2, LEVEL] == pytest.approx(0.502)
    assert (store.read, store.largest) == (3 * PAGE + 5, PAGE)
    store.read = 0
    assert known(await history.of("BTC")) == known(first)
    assert store.read == 0
    publish(store, PAGE + 2)
    assert known(await history.of("BTC")) == await fresh(store)
    assert store.read == PAGE + 2 + 1 + (4 * PAGE + 7), "the new ones, the oldest once, and the fresh reader's all"


@pytest.mark.parametrize("keep", [60, 31, 30, 2, 1])
async def test_what_the_store_lets_go_is_let_go(store: CountingStore, keep: int) -> None:
    history = FactorHistory(store)
    publish(store, 50)
    await history.of("BTC")
    publish(store, 10)
    store.trim("BTC", keep)
    found = await history.of("BTC")
    assert len(found) == keep
    assert known(found) == await fresh(store)


async def test_two_callers_at_once_read_once(store: CountingStore) -> None:
    history = FactorHistory(store)
    publish(store, 40)
    one, other = await asyncio.gather(history.of("BTC"), history.of("BTC"))
    assert known(one) == known(other)
    assert store.read == 40


async def test_no_more_is_looked_at_and_remembered_than_has_bounds(store: CountingStore) -> None:
    one = published()
    store.kept["BTC"] = [replace(one, version=10 * (i + 1), prev_version=10 * i) for i in range(MOST_SURFACES + 40)]
    history = FactorHistory(store)
    first = await history.of("BTC")
    assert len(first) == MOST_SURFACES
    assert first.version[-1] == store.kept["BTC"][-1].version
    for i in range(MOST_UNDERLYINGS):
        store.kept[f"U{i}"] = [one]
        await history.of(f"U{i}")
    store.read = 0
    await history.of("BTC")
    assert store.read >= MOST_SURFACES, "the one asked longest ago was forgotten"


async def test_moved_and_degraded_surfaces_are_told(store: CountingStore) -> None:
    publish(store, 1, recalibration=RecalibrationDocument("moved", "no need", "2026-08-01T17:58:04.320Z"))
    publish(store, 1, status="degraded", reason="why", recalibration=RecalibrationDocument("fit", "first", ""))
    publish(store, 1)
    series = await FactorHistory(store).of("BTC")
    assert (series.moved.tolist(), series.degraded.tolist()) == ([True, False, False], [False, True, False])


async def test_trouble_is_passed_on_and_leaves_nothing_half_read(store: CountingStore) -> None:
    history = FactorHistory(store)
    publish(store, 3)
    first = await history.of("BTC")
    store.away = True
    with pytest.raises(StoreUnavailable):
        await history.of("BTC")
    store.away = False
    assert known(await history.of("BTC")) == known(first)
    publish(store, 1)
    store.kept["BTC"].append(replace(store.kept["BTC"][-1], version=1_000, document=b"{}"))
    with pytest.raises(CorruptPayload, match="version 1000"):
        await history.of("BTC")
