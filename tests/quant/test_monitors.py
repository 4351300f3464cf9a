"""Monitors against the published recursions, their false alarms and their power, and a quiet recorded market."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.quant.monitors import (
    CUSUM_LIMIT,
    EWMA_LIMIT,
    EWMA_WEIGHT,
    LEAST_STEP_MS,
    PAGE_HINKLEY_LIMIT,
    SERIES,
    STEP_MS,
    WARM_STEPS,
    MonitorState,
    SeriesMonitor,
    calmed,
    cusum,
    expected_move,
    exponential_average,
    monitored,
    page_hinkley,
    stepped,
)
from app.quant.nodes import node_vols
from app.quant.surface import VolSurface
from tests.quant.market import maintained_series

REFERENCE = json.loads((Path(__file__).parents[1] / "reference" / "maintenance.json").read_text())
X = REFERENCE["monitors"]["x"]
STEPS_A_WEEK = 7 * 24 * 12
INFLATION_FIGURES_MS = 1_681_302_600_000
"""2023-04-12T12:30Z, US consumer prices."""


def test_recursions_give_the_references() -> None:
    z = s = rise = mean = 0.0
    ewmas, cusums, rises = [], [], []
    for n, x in enumerate(X, start=1):
        mean += (x - mean) / n
        z, s = exponential_average(z, x, 0.2), cusum(s, x, 0.5)
        rise = page_hinkley(rise, x - mean, 0.05)
        ewmas.append(z)
        cusums.append(s)
        rises.append(rise)
    np.testing.assert_allclose(ewmas, REFERENCE["monitors"]["ewma_lambda_.2"], atol=1e-6)
    np.testing.assert_allclose(cusums, REFERENCE["monitors"]["cusum_k_.5"], atol=1e-12)
    np.testing.assert_allclose(rises, REFERENCE["monitors"]["page_hinkley_delta_.05"], atol=1e-6)


def test_the_expected_move_is_the_slope_times_the_move_of_spot() -> None:
    asked = REFERENCE["skew_stickiness"]
    found = expected_move(asked["skew"], 100.0, 100.0 * np.exp(-0.05)) * asked["ratio"] / 1.2
    assert found == pytest.approx(asked["vol_change"], rel=1e-3)


def run(changes: np.ndarray) -> tuple[SeriesMonitor, list[tuple[int, str]]]:
    monitor, alarms = SeriesMonitor(), []
    for step, change in enumerate(changes.tolist()):
        monitor, raised = stepped(monitor, change)
        alarms += [(step, kind) for kind, _, _ in raised]
    return monitor, alarms


def test_noise_raises_about_the_stated_number_of_alarms() -> None:
    rng = np.random.default_rng(3)
    weeks = 20
    alarms = [a for _ in SERIES for a in run(rng.normal(0.0, 0.002, weeks * STEPS_A_WEEK))[1]]
    # 20 are expected of independent monitors; those of one series often alarm together.
    assert 5 <= len(alarms) <= 40


def test_each_monitor_finds_a_lasting_drift() -> None:
    rng = np.random.default_rng(4)
    quiet = rng.normal(0.0, 0.002, 200)
    _, alarms = run(np.concatenate([quiet, rng.normal(0.003, 0.002, 40)]))
    assert alarms
    assert 200 <= alarms[0][0] <= 215
    for field, kind, limit in (
        ("ewma", "ewma", EWMA_LIMIT * np.sqrt(EWMA_WEIGHT / (2 - EWMA_WEIGHT))),
        ("rise", "cusum", CUSUM_LIMIT),
        ("fall", "cusum", CUSUM_LIMIT),
        ("above", "page_hinkley", PAGE_HINKLEY_LIMIT),
        ("below", "page_hinkley", PAGE_HINKLEY_LIMIT),
    ):
        near = replace(SeriesMonitor(variance=4e-6, steps=100, since=50), **{field: limit * 1.2})
        after, raised = stepped(near, 0.0)
        assert [name for name, _, _ in raised] == [kind], field
        assert after.ewma == after.rise == after.above == 0.0
        assert after.variance > 0.0


def test_one_jump_is_not_a_drift() -> None:
    changes = np.random.default_rng(5).normal(0.0, 0.001, 300)
    changes[150] = 0.5
    assert run(changes)[1] == []


def test_nothing_is_judged_before_the_scale_is_known() -> None:
    monitor, alarms = run(np.full(WARM_STEPS, 0.05))
    assert not alarms
    assert monitor.variance == pytest.approx(0.0025)


def surface_at(ms: int) -> tuple[VolSurface, np.ndarray]:
    fit = maintained_series("BTC")[0].fit
    return replace(fit.surface, as_of_ms=fit.surface.as_of_ms + ms), fit.nodes


def test_samples_are_taken_on_a_clock_of_their_own() -> None:
    first = monitored(MonitorState(), *surface_at(0))
    assert first.sample is not None
    soon = monitored(first, *surface_at(LEAST_STEP_MS - 1))
    assert soon == first
    stepped_once = monitored(first, *surface_at(STEP_MS))
    assert [m.steps for m in stepped_once.monitors].count(1) == sum(2 for tenor in first.sample.tenors if tenor)
    gap = monitored(stepped_once, *surface_at(STEP_MS + 3_600_001))
    assert [m.steps for m in gap.monitors] == [m.steps for m in stepped_once.monitors]
    assert gap.sample != stepped_once.sample


def test_an_alarm_is_held_for_an_hour() -> None:
    nearly = SeriesMonitor(variance=4e-6, steps=100, rise=50.0)
    first = monitored(MonitorState(), *surface_at(0))
    raised = monitored(replace(first, monitors=(nearly,) * len(SERIES)), *surface_at(STEP_MS))
    assert {alarm.monitor for alarm in raised.alarms} == {"cusum"}
    assert monitored(raised, *surface_at(STEP_MS + 1)).alarms == raised.alarms
    assert monitored(raised, *surface_at(STEP_MS + 3_600_000)).alarms == ()
    assert calmed(raised, *surface_at(0)).alarms == raised.alarms


def test_a_recorded_market_drifts_when_inflation_figures_come_out_and_not_before() -> None:
    for underlying in ("BTC", "ETH"):
        fits = maintained_series(underlying)
        before = [f for f in fits if f.fit.surface.as_of_ms < INFLATION_FIGURES_MS]
        assert len(before) > 15
        assert all(f.state.monitors.alarms == () for f in before)
        raised = [alarm for f in fits for alarm in f.state.monitors.alarms]
        assert INFLATION_FIGURES_MS < min(alarm.raised_ms for alarm in raised) < INFLATION_FIGURES_MS + 5_400_000


def test_a_surface_is_not_watched_beyond_its_expiries() -> None:
    """One expiry of half an hour and a large variance: no tenor is watched, and none is extrapolated to."""
    surface = maintained_series("BTC")[1].fit.surface
    first = surface.slices[0]
    alone = replace(surface, slices=(replace(first, t=first.t / 1000.0),))
    assert monitored(MonitorState(), alone, node_vols(alone)).alarms == ()
