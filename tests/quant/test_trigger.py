"""When a surface is moved instead of fitted, that moving keeps its promises, and that it stops when it must."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from app.quant.calibration import SurfaceStatus
from app.quant.chain import OptionChain
from app.quant.gate import STEP_MS
from app.quant.gate_rules import GateRules
from app.quant.maintenance import MaintainedFit, maintain_surface
from app.quant.monitors import Alarm
from app.quant.moved_surface import bar_growth
from app.quant.smile import read_smiles
from app.quant.trigger import LEAST_TIME_LEFT, Carry, Recalibrate
from app.quant.trigger_policy import TriggerPolicy
from app.quant.year_fraction import MS_PER_YEAR
from tests.quant.market import maintained_series, recorded_chains, repriced

SELDOM = TriggerPolicy(after_s=86_400.0, outside=1.0, forward=1.0)
"""Nothing but what forces a fit."""
AT = 11


@cache
def moved(underlying: str) -> MaintainedFit:
    """The surface after an hour, moved to the chain after it."""
    before = maintained_series(underlying)[AT]
    after = recorded_chains(underlying)[AT + 1]
    return maintain_surface(after, previous=before.fit.surface, state=before.state, trigger=SELDOM)


def decided(
    chain: OptionChain,
    before: MaintainedFit | None = None,
    trigger: TriggerPolicy = SELDOM,
    model: str | None = None,
    **state: object,
) -> str:
    """What is done with ``chain`` after the first hour: why it is fitted, or ``carried``."""
    before = before or maintained_series(chain.underlying)[AT]
    changed = replace(before.state, **state)  # type: ignore[arg-type]
    after = maintain_surface(
        chain, previous=before.fit.surface, state=changed, trigger=trigger, model=model or before.fit.surface.model
    )
    assert (after.fit.solution is None) == isinstance(after.decision, Carry)
    return "carried" if isinstance(after.decision, Carry) else after.decision.reason


@pytest.mark.parametrize("underlying", ["BTC", "ETH"])
def test_a_moved_surface_keeps_its_smiles_over_moneyness_and_takes_the_forwards(underlying: str) -> None:
    stood, after = maintained_series(underlying)[AT].fit, moved(underlying).fit
    smiles = read_smiles(recorded_chains(underlying)[AT + 1]).smiles
    assert after.solution is None
    assert after.status is SurfaceStatus.OK
    assert after.certificate == stood.certificate
    assert [s.curve for s in after.surface.slices] == [s.curve for s in stood.surface.slices]
    for s, smile in zip(after.surface.slices, smiles, strict=True):
        assert (s.forward, s.t, s.discount_factor) == (smile.forward, smile.t, smile.discount_factor)
    assert after.surface.rate_curve.spot != stood.surface.rate_curve.spot
    # Fitted to the chain it would be inside nearly everywhere; five minutes old it still is mostly.
    assert after.report.inside_spread > 0.9
    assert after.report.quotes_used == sum(map(len, smiles)) - after.report.quotes_dropped.get("unconfirmed", 0)


@pytest.mark.parametrize("underlying", ["BTC", "ETH"])
def test_bars_grow_with_the_root_of_the_time_since_the_fit_and_follow_the_misses(underlying: str) -> None:
    before, once = maintained_series(underlying)[AT], moved(underlying)
    chain = recorded_chains(underlying)[AT + 2]
    twice = maintain_surface(chain, previous=once.fit.surface, state=once.state, trigger=SELDOM)
    assert twice.fit.solution is None
    assert twice.fitted_ms == once.fitted_ms == before.fit.surface.as_of_ms
    for step in (once, twice):
        growth = np.sqrt(1.0 + (step.fit.surface.as_of_ms - before.fit.surface.as_of_ms) / STEP_MS)
        assert bar_growth(step.fitted_ms, step.fit.surface.as_of_ms) == growth
        for s, fitted in zip(step.fit.surface.slices, before.fit.surface.slices, strict=True):
            assert s.band is not None
            assert fitted.band is not None
            # Each publication rounds to four digits.
            np.testing.assert_allclose(s.band.sd, growth * np.array(fitted.band.sd), rtol=2e-3)
    assert once.state.conformal.seen != before.state.conformal.seen
    assert once.state.conformal == maintained_series(underlying)[AT + 1].state.conformal


def test_every_chain_is_fitted_unless_a_policy_says_otherwise() -> None:
    assert decided(recorded_chains("BTC")[AT + 1], trigger=TriggerPolicy()) == "every chain is fitted"
    assert decided(recorded_chains("BTC")[AT + 1]) == "carried"


@pytest.mark.parametrize(
    ("trigger", "rule"),
    [
        (TriggerPolicy(after_s=200.0), "after"),
        (TriggerPolicy(outside=0.001), "outside"),
        (TriggerPolicy(forward=1e-5), "forward"),
        (TriggerPolicy(after_s=1e4, forward=1e-5), "forward"),
    ],
)
def test_each_condition_asks_for_a_fit_by_itself(trigger: TriggerPolicy, rule: str) -> None:
    assert decided(recorded_chains("BTC")[AT + 1], trigger=trigger).startswith(f"{rule}: ")


@pytest.mark.parametrize(
    "trigger", [TriggerPolicy(after_s=400.0), TriggerPolicy(outside=0.5), TriggerPolicy(forward=0.05)]
)
def test_and_does_not_below_its_number(trigger: TriggerPolicy) -> None:
    assert decided(recorded_chains("BTC")[AT + 1], trigger=trigger) == "carried"


def test_an_expiry_that_left_or_entered_asks_for_a_fit() -> None:
    chain, series = recorded_chains("BTC")[AT + 1], maintained_series("BTC")
    # A nearest expiry that has no time left to be missed leaves without a rejection.
    fewer = replace(chain, expiries=chain.expiries[1:])
    rules = GateRules(matters_s=1e7)
    left = maintain_surface(fewer, previous=series[AT].fit.surface, state=series[AT].state, trigger=SELDOM, rules=rules)
    assert left.decision == Recalibrate("expiries: 0 entered, 1 left")
    assert left.fit.status is SurfaceStatus.OK
    assert decided(recorded_chains("BTC")[AT + 2], left) == "expiries: 1 entered, 0 left"


def test_a_shift_an_alarm_and_a_rejection_ask_for_a_fit() -> None:
    chain, before = recorded_chains("BTC")[AT + 1], maintained_series("BTC")[AT]
    assert decided(repriced(chain, 1.3)).startswith("regime: level moved by")
    rejected = replace(before.state.gate, rejected=2)
    assert decided(chain, gate=rejected) == "gate: 2 chains in a row were rejected"
    alarm = Alarm("cusum", 7.0, "level", 9.6, 9.5, before.fit.surface.as_of_ms)
    assert decided(chain, monitors=replace(before.state.monitors, alarms=(alarm,))).startswith("alarm: cusum")
    earlier = replace(alarm, raised_ms=alarm.raised_ms - 1)
    assert decided(chain, monitors=replace(before.state.monitors, alarms=(earlier,))) == "carried"


def test_another_model_or_an_unknown_fit_asks_for_a_fit() -> None:
    chain, before = recorded_chains("BTC")[AT + 1], maintained_series("BTC")[AT]
    assert decided(chain, model="svi").startswith("model: the surface is of svi_spline")
    assert decided(chain, fitted=None) == "the last fit is not known"
    sabr = maintain_surface(recorded_chains("BTC")[AT], model="sabr")
    assert decided(chain, sabr).startswith("model: curves of sabr depend on the forward")
    assert before.state.fitted is not None


def test_time_run_off_a_slice_asks_for_a_fit() -> None:
    chain, before = recorded_chains("BTC")[AT + 1], maintained_series("BTC")[AT]
    nearest = chain.expiries[0].expiry_ms
    assert before.state.fitted is not None
    left = (nearest - chain.as_of_ms) / MS_PER_YEAR
    long_ago = nearest - int(left / LEAST_TIME_LEFT * MS_PER_YEAR * 1.0001)
    fitted = replace(before.state.fitted, as_of_ms=long_ago)
    assert decided(chain, fitted=fitted).startswith("time: the nearest expiry has 0.99 of its time at the fit")


def test_what_the_gate_finds_in_a_moved_surface_is_fitted_instead() -> None:
    chain, before = recorded_chains("BTC")[AT + 1], maintained_series("BTC")[AT]
    strict = GateRules(degraded_error=0.5 * moved("BTC").fit.report.rmse_vol)
    after = maintain_surface(chain, previous=before.fit.surface, state=before.state, trigger=SELDOM, rules=strict)
    assert after.fit.solution is not None
    assert after.decision.reason.startswith("gate: moved, the surface is degraded: error: RMS vol error")
    assert after.fitted_ms == chain.as_of_ms
