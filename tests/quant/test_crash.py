"""A crash passes in one update, flagged and as near to the quotes as can be; a quiet hour says nothing."""

from collections.abc import Callable

import numpy as np
import pytest

from app.quant.arrays import FloatArray
from app.quant.calibration import SurfaceStatus, calibrate_surface
from app.quant.chain import OptionChain
from app.quant.maintenance import MaintainedFit, maintain_surface
from app.quant.regime import Regime
from tests.quant import market
from tests.quant.market import maintained_series, recorded_chains, retimed

QUIET = 13
"""Chains of the first hour."""
STEP_MS = 300_000


def unchanged(vol: FloatArray, _: FloatArray) -> FloatArray:
    return vol


def dearer(vol: FloatArray, _: FloatArray) -> FloatArray:
    """Every vol 20 points up."""
    return vol + 0.20


def inverted(vol: FloatArray, t: FloatArray) -> FloatArray:
    """The nearest expiries 25 points up, the farthest 5 down."""
    return vol + 0.25 * np.exp(-12.0 * t) - 0.05 * (1.0 - np.exp(-4.0 * t))


def feared(vol: FloatArray, t: FloatArray) -> FloatArray:
    """A bad day and a half ahead: 45 points on the expiry of tomorrow, half of that a day later."""
    return vol + 0.80 * np.exp(-t * 365.0 / 1.5)


def passes(before: MaintainedFit, chain: OptionChain) -> MaintainedFit:
    """What is published of a crash: at once, certified, and as near to the quotes as a fit that knows no before.

    Where the regime is calm the prior still weighs, and within the bands a fit without one is nearer to the mids.
    """
    after = maintain_surface(chain, previous=before.fit.surface, state=before.state)
    alone = calibrate_surface(chain)
    assert after.fit.status is not SurfaceStatus.REJECTED, after.fit.reason
    assert after.fit.certificate.arbitrage_free
    assert after.fit.report.inside_spread >= 0.95 * alone.report.inside_spread
    assert after.fit.report.rmse_vol <= (1.5 if after.regime is Regime.CALM else 1.25) * alone.report.rmse_vol
    return after


@pytest.mark.parametrize(
    ("scale", "edit"),
    [
        (1.0, dearer),
        (1.0, inverted),
        (1.0, feared),
        (0.87, dearer),
        (0.87, unchanged),
        (1.13, dearer),
        (1.13, unchanged),
    ],
)
@pytest.mark.parametrize("underlying", ["BTC", "ETH"])
def test_a_crash_passes_in_one_update(
    underlying: str, scale: float, edit: Callable[[FloatArray, FloatArray], FloatArray]
) -> None:
    before = maintained_series(underlying)[QUIET - 2]
    after = passes(before, market.moved(recorded_chains(underlying)[QUIET - 1], scale, edit))
    assert after.regime is Regime.SHIFT
    assert "times its usual change" in (after.regime_reason or "")
    if edit is dearer:
        at_the_money = (after.fit.nodes - before.fit.nodes)[:, 2]
        assert np.nanmax(np.abs(at_the_money - 0.20)) < 0.02


@pytest.mark.parametrize(
    ("underlying", "first", "then"),
    [("BTC", 11, 56), ("BTC", 56, 11), ("ETH", 19, 46), ("ETH", 46, 19)],
)
def test_hours_of_the_recorded_market_in_five_minutes_pass_in_one_update(
    underlying: str, first: int, then: int
) -> None:
    """The largest moves of the shipped recording, both ways: ETH by 3 %, BTC's nearest expiry by 21 vol points."""
    chains = recorded_chains(underlying, 64)
    before: MaintainedFit | None = None
    for chain in chains[max(first - 11, 0) : first + 1]:
        stood = (before.fit.surface, before.state) if before else (None, None)
        before = maintain_surface(chain, previous=stood[0], state=stood[1])
    assert before is not None
    after = passes(before, retimed(chains[then], chains[first].as_of_ms + STEP_MS))
    # The way back of ETH comes after a morning of such moves: nothing unusual any more.
    assert after.regime is (Regime.CALM if (underlying, first) == ("ETH", 46) else Regime.SHIFT)


@pytest.mark.parametrize("underlying", ["BTC", "ETH"])
def test_a_quiet_hour_says_nothing(underlying: str) -> None:
    for each in maintained_series(underlying)[:QUIET]:
        assert (each.fit.status, each.fit.reason) == (SurfaceStatus.OK, None)
        assert each.regime is Regime.CALM
        assert each.state.monitors.alarms == ()
