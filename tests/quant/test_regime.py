"""A shift of regime: nothing in a quiet hour, everything at once in a crash, and not from a part of the quotes."""

from dataclasses import replace

import numpy as np
import pytest

from app.quant.calibration import SurfaceStatus
from app.quant.maintenance import MaintainedFit, maintain_surface
from app.quant.regime import BAND_WIDENING, FEATURES, FLOORS, Regime
from app.quant.vol_band import DEVIATIONS
from tests.quant.market import SERIES, maintained_series, recorded_chains, repriced

INFLATION_FIGURES_MS = 1_681_302_600_000
"""2023-04-12T12:30Z, US consumer prices."""


def after_crash(underlying: str, scale: float) -> tuple[MaintainedFit, MaintainedFit]:
    """The surface after an hour, and the one of the next recorded chain with every vol scaled."""
    calm = maintained_series(underlying)[11]
    crash = repriced(recorded_chains(underlying)[12], scale)
    return calm, maintain_surface(crash, previous=calm.fit.surface, state=calm.state)


@pytest.mark.parametrize("underlying", ["BTC", "ETH"])
def test_a_quiet_hour_is_calm(underlying: str) -> None:
    assert {m.regime for m in maintained_series(underlying)[:13]} == {Regime.CALM}
    assert all(m.regime_reason is None for m in maintained_series(underlying)[:13])


@pytest.mark.parametrize("underlying", ["BTC", "ETH"])
def test_inflation_figures_shift_the_recorded_market(underlying: str) -> None:
    shifts = [m.fit.surface.as_of_ms for m in maintained_series(underlying) if m.regime is Regime.SHIFT]
    assert shifts
    assert all(abs(at_ms - INFLATION_FIGURES_MS) < 900_000 for at_ms in shifts)


@pytest.mark.parametrize("underlying", ["BTC", "ETH"])
def test_a_crash_passes_in_one_update(underlying: str) -> None:
    calm, crash = after_crash(underlying, 1.3)
    assert crash.regime is Regime.SHIFT
    assert "times its usual change" in (crash.regime_reason or "")
    assert not crash.fit.solution.warm
    alone = maintain_surface(repriced(recorded_chains(underlying)[12], 1.3)).fit
    np.testing.assert_array_equal(crash.fit.nodes, alone.nodes)
    moved = crash.fit.nodes[:3, 2] - calm.fit.nodes[:3, 2]
    assert (moved[np.isfinite(moved)] > 0.05).all()
    assert crash.fit.report.inside_spread > 0.95
    for s in crash.fit.surface.slices:
        assert s.band is not None
        factor = crash.state.conformal.factors(np.zeros(1), s.t)[0]
        assert s.band.half_width[5] == pytest.approx(BAND_WIDENING * DEVIATIONS * factor * s.band.sd[5], rel=2e-3)


def test_after_a_crash_the_new_market_is_calm_again() -> None:
    _, crash = after_crash("BTC", 1.3)
    chain = repriced(recorded_chains("BTC")[13], 1.3)
    next_one = maintain_surface(chain, previous=crash.fit.surface, state=crash.state)
    assert next_one.regime is Regime.CALM
    assert next_one.fit.solution.warm


def test_a_rise_of_the_underlying_by_a_tenth_is_a_shift() -> None:
    calm = maintained_series("ETH")[11]
    chain = recorded_chains("ETH")[12]
    risen = replace(
        chain,
        expiries=tuple(replace(e, forward=e.forward * 1.13, strike=e.strike * 1.13) for e in chain.expiries),
    )
    after = maintain_surface(risen, previous=calm.fit.surface, state=calm.state)
    assert after.regime is Regime.SHIFT
    assert (after.regime_reason or "").startswith("forward moved by 0.12")
    assert np.nanmax(np.abs(after.fit.nodes - calm.fit.nodes)) < 0.03


def test_a_quarter_of_the_quotes_is_no_shift() -> None:
    calm = maintained_series("BTC")[11]
    chain = recorded_chains("BTC")[12]
    rng = np.random.default_rng(6)
    expiries = []
    for e in chain.expiries:
        scale = np.where(rng.random(len(e)) < 0.25, 1.3, 1.0)
        expiries.append(replace(e, bid=e.bid * scale, ask=e.ask * scale))
    after = maintain_surface(replace(chain, expiries=tuple(expiries)), previous=calm.fit.surface, state=calm.state)
    assert after.regime is Regime.CALM


def test_scales_follow_the_market_and_do_not_fall_below_their_floors() -> None:
    series = maintained_series("BTC")
    first, last = series[1].state.regime, series[-1].state.regime
    rejected = sum(each.fit.status is SurfaceStatus.REJECTED for each in series)
    assert first.updates == 1
    assert last.updates == SERIES - 1 - rejected
    assert len(last.squares) == len(FEATURES) == len(FLOORS)
    assert last.log_spread is not None
    assert last.squares != first.squares
