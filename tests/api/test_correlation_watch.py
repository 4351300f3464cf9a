"""Correlations on /metrics: those of the default request, absent where nothing is known, of a bounded number."""

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.api import correlation_watch
from app.api.correlation_watch import MOST_WATCHED, CorrelationWatch
from app.api.hub import Hub
from app.api.live_surface import Freshness
from app.api.services import ApiServices
from app.metrics import ServiceMetrics
from app.metrics.correlations import BY_PAIR, DECLARED
from app.service.factor_history import FactorHistory
from app.service.ports import StoreUnavailable
from tests.api.conftest import until
from tests.api.memory_store import MemoryStore
from tests.service.published_factors import published_series

pytestmark = pytest.mark.anyio
Samples = dict[tuple[str, ...], float]


def of_correlations(text: str) -> Samples:
    """Every sample of these families, by its name, underlying, other and factor."""
    families = {declared.name for declared in DECLARED}
    return {
        (sample.name, *(sample.labels[label] for label in BY_PAIR if label in sample.labels)): sample.value
        for family in text_string_to_metric_families(text)
        if family.name in families
        for sample in family.samples
    }


class Watched:
    """A watch over what the store has now."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.metrics = ServiceMetrics("1.2.3")
        self.hub = Hub(store, store, freshness=lambda: Freshness(0, 1.0), metrics=self.metrics)
        self.watch = CorrelationWatch(self.hub, FactorHistory(store), self.metrics)

    async def samples(self) -> Samples:
        for kept in self.store.kept.values():
            self.hub._take_in(kept[-1])
        await self.watch.look()
        return self.shown()

    def shown(self) -> Samples:
        return of_correlations(self.metrics.exposition(None, [], (), self.watch.found()).decode())


async def test_metrics_are_those_of_the_default_request(
    services: ApiServices, client: httpx.AsyncClient, store: MemoryStore
) -> None:
    for name in ("BTC", "ETH"):
        store.kept[name] = list(published_series(name))
    both = (await client.get("/v1/correlations", params={"underlyings": "BTC,ETH"})).json()
    found = await Watched(store).samples()
    for factor in ("forward", "level"):
        i, j = both["factors"].index(f"BTC.{factor}"), both["factors"].index(f"ETH.{factor}")
        assert found["volsurf_correlation", "BTC", "ETH", factor] == both["correlation"][i][j]
        assert found["volsurf_correlation_standard_error", "BTC", "ETH", factor] == both["standard_error"][i][j]
    for name in ("BTC", "ETH"):
        told = both["spot_vol"][name]
        assert found["volsurf_spot_vol_correlation", name] == told["correlation"]
        assert found["volsurf_spot_vol_correlation_standard_error", name] == told["correlation_sd"]
        assert found["volsurf_spot_vol_beta", name] == told["beta"]
        assert found.get(("volsurf_skew_stickiness_ratio", name)) == told["ratio"]
        assert found.get(("volsurf_skew_stickiness_ratio_standard_error", name)) == told["ratio_sd"]


async def test_what_is_not_known_is_absent_and_comes_with_the_surfaces(store: MemoryStore) -> None:
    watched, series = Watched(store), {name: published_series(name) for name in ("BTC", "ETH")}
    assert await watched.samples() == {}
    for name, surfaces in series.items():
        store.kept[name] = list(surfaces[:8])
    assert await watched.samples() == {}, "eight surfaces tell nothing"
    store.kept["BTC"] = list(series["BTC"])
    alone = await watched.samples()
    assert ("volsurf_spot_vol_beta", "BTC") in alone
    assert not [sample for sample in alone if "ETH" in sample]
    store.kept["ETH"] = list(series["ETH"])
    assert ("volsurf_correlation", "BTC", "ETH", "level") in await watched.samples()


async def test_without_new_surfaces_nothing_is_worked_out(store: MemoryStore) -> None:
    watched, series = Watched(store), published_series("ETH")
    store.kept["BTC"], store.kept["ETH"] = list(published_series("BTC")), list(series[:-8])
    first = await watched.samples()
    told = watched.watch.found()
    store.away = True
    assert await watched.samples() == first, "the store is not even asked"
    store.away = False
    store.kept["ETH"] = list(series[:-4])
    assert await watched.samples() != first
    alone, other, pair = watched.watch.found()
    assert alone is told[0]
    assert other is not told[1]
    assert pair is not told[2]
    store.away = True
    store.kept["ETH"] = list(series)
    with pytest.raises(StoreUnavailable):
        await watched.samples()
    assert watched.watch.found() == [alone, other, pair], "what was told last stays"


async def test_after_a_defect_nothing_is_told(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(store)
    store.kept["BTC"] = list(published_series("BTC"))
    assert await watched.samples() != {}
    store.publish("BTC")
    watched.hub.loaded = True
    watched.hub._take_in(store.kept["BTC"][-1])
    monkeypatch.setattr(correlation_watch, "correlations_of", lambda *_: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        await watched.watch.run()
    assert watched.shown() == {}


async def test_many_underlyings_make_a_bounded_number_of_series(store: MemoryStore) -> None:
    names = [f"U{i:02}" for i in range(20)]
    for name in names:
        store.kept[name] = list(published_series("BTC"))
    for kept in store.kept.values():
        kept[:] = kept[-30:]
    watched = Watched(store)
    for name in names:
        watched.hub._take_in(store.publish(name))
    found = await watched.samples()
    assert {label for sample in found for label in sample[1:]} <= {*names[:MOST_WATCHED], "forward", "level"}


async def test_a_service_shows_them_by_itself(client: httpx.AsyncClient, store: MemoryStore) -> None:
    for surface in published_series("BTC"):
        store.kept["BTC"].append(surface)
    store.announce(store.kept["BTC"][-1])

    async def shown() -> bool:
        return ("volsurf_spot_vol_beta", "BTC") in of_correlations((await client.get("/metrics")).text)

    await until(shown)
