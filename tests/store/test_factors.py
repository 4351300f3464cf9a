"""The record of factors: one row a slot, as bars see the surfaces, kept farther back than they are."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.quant.market_factors import MarketFactors
from app.quant.time_bars import bar_ends, last_in_bar
from app.service.correlations import CorrelationQuery, correlations_of
from app.service.factor_history import FactorHistory, published_factors
from app.service.factor_record import SLOT_MS, slot_of
from app.service.ports import CommitOutcome, CorruptPayload
from app.service.surface_factors import NO_FACTORS, FactorSeries, SurfaceFactors
from app.store import factors as factors_module
from app.store.factor_rows import ROW_BYTES, check_row, decode_rows, encode_row
from app.store.keys import Keys
from app.store.settlement import FACTORS_AGE_S, Retention
from app.store.work_queue import RedisWorkQueue
from tests.service.published_factors import published_series
from tests.store.factor_rows import factors_at, rows_for, rows_of
from tests.store.stored import AS_OF_MS, NOTHING_DAMAGED, TIMINGS, OpenStore, claimed

KEYS = Keys()
START_MS = slot_of(AS_OF_MS) * SLOT_MS
"""The end of a slot."""


def commit(store: OpenStore, worker: RedisWorkQueue, factors: SurfaceFactors | None, as_of_ms: int = 0) -> None:
    store.submit(as_of_ms=factors.as_of_ms if factors else as_of_ms)
    worker.commit(claimed(worker), b"{}", outcome="ok", timings=TIMINGS, factors=factors)


def commit_all(store: OpenStore, worker: RedisWorkQueue, series: Sequence[SurfaceFactors]) -> None:
    for each in series:
        commit(store, worker, each)


def a_row_a_slot(count: int) -> list[SurfaceFactors]:
    return [factors_at(START_MS + SLOT_MS * i, i) for i in range(count)]


def recorded(store: OpenStore, known: FactorSeries = NO_FACTORS) -> list[SurfaceFactors]:
    return rows_of(store.run(store.api.factors.recorded("BTC", known)))


def test_of_a_slot_the_last_fitted_surface_is_recorded(store: OpenStore) -> None:
    worker = store.worker()
    second = 1_000
    commit_all(store, worker, a_row_a_slot(1))
    seen = [factors_at(START_MS + second * i, i, moved=i in (5, 6, 13, 14)) for i in range(1, 15)]
    commit_all(store, worker, seen)
    assert recorded(store) == [factors_at(START_MS), seen[3], seen[11], seen[13]], "seconds 4, 12 and 14"
    assert store.run(store.api.fleet._link.run("XLEN", KEYS.factors("BTC"))) == 3, "the newest waits beside the stream"


def test_every_surface_that_is_not_published_leaves_no_row(store: OpenStore) -> None:
    slow, quick = store.worker("slow"), store.worker("quick", lease_s=0.0)
    store.submit()
    late = claimed(slow)
    retaken = claimed(quick)
    lost, kept = factors_at(START_MS, 1), factors_at(START_MS, 2)
    assert slow.commit(late, b"{}", outcome="ok", timings=TIMINGS, factors=lost) is CommitOutcome.FENCED
    assert recorded(store) == []
    for _ in range(2):  # as after a lost reply
        quick.commit(retaken, b"{}", outcome="ok", timings=TIMINGS, factors=kept)
    store.submit(as_of_ms=AS_OF_MS + 1)
    quick.fail(claimed(quick), "no", outcome="rejected", timings=TIMINGS)
    assert recorded(store) == [kept]


def test_reading_on_reads_what_is_new(store: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(factors_module, "PAGE", 4)
    worker, series = store.worker(retention=Retention(factors=15)), a_row_a_slot(40)
    known, done = NO_FACTORS, 0
    for count in (1, 1, 3, 4, 8, 1, 20, 2):
        commit_all(store, worker, series[done : done + count])
        done += count
        found = store.run(store.api.factors.recorded("BTC", known))
        assert found is not None
        assert rows_of(found) == recorded(store) == series[max(0, done - 16) : done], "15, and the one that waits"
        known = found.series
    assert store.run(store.api.factors.recorded("ETH", NO_FACTORS)) is None


def test_a_store_that_went_back_is_read_anew(valkey_store: OpenStore) -> None:
    store, worker = valkey_store, valkey_store.worker()
    commit_all(store, worker, a_row_a_slot(9))
    before = store.run(store.api.factors.recorded("BTC", NO_FACTORS))
    assert before is not None
    store.run(store.api.fleet._link.run("XTRIM", KEYS.factors("BTC"), "MAXLEN", 0))
    assert recorded(store, before.series) == a_row_a_slot(9)[-1:]


def test_rows_older_than_any_window_go(valkey_store: OpenStore) -> None:
    store, worker, series = valkey_store, valkey_store.worker(), a_row_a_slot(3)
    commit_all(store, worker, series[:1])
    link, state = store.api.fleet._link, KEYS.state("BTC")
    newest = int(store.run(link.run("HGET", state, "version")))
    old = newest - round(FACTORS_AGE_S * 1e6)
    store.run(link.run("HSET", state, "factor_version", old))  # as if published so long ago
    commit_all(store, worker, series[1:])
    assert recorded(store) == series[1:]


def test_no_rows_are_kept_where_none_are_wanted(valkey_store: OpenStore) -> None:
    store, series = valkey_store, a_row_a_slot(6)
    commit_all(store, store.worker(), series[:3])
    commit_all(store, store.worker(retention=Retention(factors=0)), series[3:4])
    assert recorded(store) == []
    assert store.run(store.api.fleet._link.run("EXISTS", KEYS.factors("BTC"))) == 0
    commit_all(store, store.worker(), series[4:])
    assert recorded(store) == series[4:]


def test_a_damaged_row_is_set_aside_and_missing(valkey_store: OpenStore) -> None:
    store, worker, series = valkey_store, valkey_store.worker(), a_row_a_slot(5)
    commit_all(store, worker, series)
    link, stream = store.api.fleet._link, KEYS.factors("BTC")
    rows = store.run(link.run("XRANGE", stream, "-", "+"))
    store.run(link.run("DEL", stream))
    for place, (name, fields) in enumerate(rows):
        damaged = fields[b"row"][:9] + b"\xff" + fields[b"row"][10:] if place == 1 else fields[b"row"]
        store.run(link.run("XADD", stream, name, "row", damaged))
    assert recorded(store) == recorded(store) == [series[0], *series[2:]]
    assert store.run(store.api.fleet.status()).quarantined == NOTHING_DAMAGED | {"factors": 1}
    store.run(link.run("HSET", KEYS.state("BTC"), "factor_row", b"damaged"))
    assert recorded(store) == [], "not known up to the newest surface"
    commit(store, worker, factors_at(START_MS + SLOT_MS * 5, 5))
    assert recorded(store) == [series[0], *series[2:4], factors_at(START_MS + SLOT_MS * 5, 5)]


def test_a_damaged_name_costs_the_rows_before_it_and_no_surface(valkey_store: OpenStore) -> None:
    store, worker, series = valkey_store, valkey_store.worker(), a_row_a_slot(6)
    commit_all(store, worker, series[:3])
    store.run(store.api.fleet._link.run("HSET", KEYS.state("BTC"), "factor_version", "17\xff"))
    commit_all(store, worker, series[3:])
    assert recorded(store) == series[3:]
    assert store.counts().fitted == 6


def test_where_the_record_begins_later_kept_surfaces_are_read(valkey_store: OpenStore) -> None:
    """As after an upgrade: the first surfaces left no rows, until the store lets them go."""
    store, series = valkey_store, published_series("BTC", 24)
    worker, history = (
        store.worker(retention=Retention(surfaces=12)),
        FactorHistory(store.api.surfaces, store.api.factors),
    )
    for i, surface in enumerate(series[:20]):
        store.submit(as_of_ms=surface.as_of_ms)
        factors = published_factors(surface) if i >= 5 else None
        worker.commit(claimed(worker), surface.document, outcome="ok", timings=TIMINGS, factors=factors)
        found, fresh = store.run(history.of("BTC")), store.run(FactorHistory(store.api.surfaces).of("BTC"))
        if i < 5 + 11:
            assert found.version.tolist() == fresh.version.tolist()
            assert len(found) == min(i + 1, 12)
        else:
            assert len(found) == i + 1 - 5, "farther back than surfaces are kept"
        assert np.array_equal(found.values[-len(fresh) :], fresh.values, equal_nan=True), (
            "the same numbers, bit for bit"
        )


def test_correlations_are_those_of_the_kept_surfaces(store: OpenStore) -> None:
    """Of the recorded market, read from the record and from the surfaces."""
    found: dict[str, list[FactorSeries]] = {}
    for name in ("BTC", "ETH"):
        worker = store.worker(retention=Retention(surfaces=1))
        for surface in published_series(name):
            store.submit(name, surface.as_of_ms)
            worker.commit(claimed(worker), b"{}", outcome="ok", timings=TIMINGS, factors=published_factors(surface))
        series = published_series(name)
        kept = FactorSeries.of([each.version for each in series], list(map(published_factors, series)))
        found[name] = [store.run(FactorHistory(store.api.surfaces, store.api.factors).of(name)), kept]
    query = CorrelationQuery(720, 5.0, 120.0)
    read, expected = (correlations_of({name: each[i] for name, each in found.items()}, query) for i in (0, 1))
    assert read == expected
    assert read.status == "ok"


@given(
    gaps=st.lists(st.integers(1, 2 * SLOT_MS), min_size=1, max_size=60),
    moved=st.lists(st.booleans(), min_size=60, max_size=60),
    slots=st.integers(1, 4),
)
def test_bars_of_whole_slots_see_the_same_in_rows_as_in_surfaces(
    gaps: list[int], moved: list[bool], slots: int
) -> None:
    times = (START_MS + np.cumsum(gaps)).tolist()
    surfaces = [factors_at(time, i, moved=moved[i]) for i, time in enumerate(times)]
    ends = bar_ends(times[-1], slots * SLOT_MS, 30)

    def in_bars(series: Sequence[SurfaceFactors]) -> list[SurfaceFactors | None]:
        fitted = [each for each in series if not each.moved]
        places = last_in_bar(np.array([each.as_of_ms for each in fitted], np.int64), ends, slots * SLOT_MS)
        return [fitted[place] if place >= 0 else None for place in places.tolist()]

    assert in_bars(rows_for(surfaces)) == in_bars(surfaces)


@given(
    st.lists(
        st.tuples(st.lists(st.floats(), min_size=6, max_size=6), st.booleans(), st.booleans(), st.integers(0, 2**62)),
        min_size=1,
    )
)
def test_rows_come_back_bit_for_bit(given_rows: list[tuple[list[float], bool, bool, int]]) -> None:
    surfaces = [
        SurfaceFactors(as_of_ms, degraded, moved, MarketFactors(tuple(numbers[:5]), numbers[5]))
        for numbers, degraded, moved, as_of_ms in given_rows
    ]
    rows = [encode_row("BTC", each) for each in surfaces]
    for row in rows:
        check_row("BTC", row)
    found, expected = decode_rows(range(len(rows)), rows), FactorSeries.of(range(len(rows)), surfaces)
    for name in FactorSeries.__slots__:
        one, other = getattr(found, name), getattr(expected, name)
        assert one.dtype == other.dtype
        assert np.array_equal(one, other, equal_nan=one.dtype.kind == "f")


def test_a_row_is_its_underlyings_and_whole() -> None:
    row = encode_row("BTC", factors_at(AS_OF_MS))
    assert len(row) == ROW_BYTES == 62
    for place in range(ROW_BYTES):
        with pytest.raises(CorruptPayload, match="CRC-32"):
            check_row("BTC", row[:place] + bytes([row[place] ^ 1]) + row[place + 1 :])
    with pytest.raises(CorruptPayload, match="CRC-32"):
        check_row("ETH", row)
    with pytest.raises(CorruptPayload, match="61 bytes"):
        check_row("BTC", row[:-1])
