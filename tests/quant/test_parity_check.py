"""Puts and calls that no forward reconciles: no recorded chain has them, premiums off by a factor do."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from app.quant.calibration import SurfaceStatus
from app.quant.chain import OptionChain, Premium
from app.quant.gate_rules import DEFAULT_RULES
from app.quant.maintenance import MaintainedFit, maintain_surface
from app.quant.parity_check import (
    FACTOR_SD_FLOOR,
    SURE_SDS,
    ParityCheck,
    contradicted_share,
    judged_expiries,
    premiums_off,
)
from app.quant.rate_curve import RATE_PRIOR_SD
from app.quant.regime import Regime
from app.quant.smile import read_smiles
from tests.quant.market import maintained_series, recorded_chains, repriced
from tests.quant.synthetic_chain import Truth, quotes
from tests.quant.synthetic_chain import chain as synthetic_chain


def scaled(chain: OptionChain, scale: float, only: Callable[[int], bool] = lambda _: True) -> OptionChain:
    expiries = [
        replace(e, bid=scale * e.bid, ask=scale * e.ask) if only(i) else e for i, e in enumerate(chain.expiries)
    ]
    return replace(chain, expiries=tuple(expiries))


def followed(underlying: str, at: int, chain: OptionChain) -> MaintainedFit:
    before = maintained_series(underlying)[at - 1]
    return maintain_surface(chain, previous=before.fit.surface, state=before.state)


def test_a_strike_alone_is_not_judged() -> None:
    few, half, whole = ParityCheck(0.1, 1, 0), ParityCheck(0.2, 10, 5), ParityCheck(0.3, 30, 30)
    assert judged_expiries([few, half, whole]) == (half, whole)
    assert half.contradicted == 0.5
    assert contradicted_share([half, whole]) == 5 / 40


def test_few_strikes_of_many_expiries_tell_together() -> None:
    lone, two, three = ParityCheck(0.1, 1, 0), ParityCheck(0.2, 2, 0), ParityCheck(0.3, 3, 2)
    assert contradicted_share([lone, two, three]) == 3 / 5
    assert contradicted_share([lone, two, two]) == contradicted_share([]) == 0.0


@pytest.mark.parametrize("underlying", ["BTC", "ETH"])
def test_no_strike_of_a_recorded_day_contradicts_its_expiry(underlying: str) -> None:
    for chain in recorded_chains(underlying):
        checks = read_smiles(chain).parity
        assert len(checks) == len(chain.expiries)
        judged = judged_expiries(checks)
        assert sum(check.strikes for check in judged) >= 20
        assert contradicted_share(checks) == contradicted_share(read_smiles(repriced(chain, 0.9)).parity) == 0.0


def test_a_strike_off_by_more_than_its_spread_is_counted() -> None:
    chain = recorded_chains("BTC")[5]
    at, quotes = next((i, e) for i, e in enumerate(chain.expiries) if read_smiles(chain).parity[i].strikes > 8)
    told = (quotes.bid > 0.0) & (quotes.ask > 0.0)
    both = np.intersect1d(quotes.strike[told & quotes.is_call], quotes.strike[told & ~quotes.is_call])
    scale = np.where((quotes.strike == both[0]) & quotes.is_call, 0.8, 1.0)
    wrong = replace(quotes, bid=scale * quotes.bid, ask=scale * quotes.ask)
    edited = replace(chain, expiries=(*chain.expiries[:at], wrong, *chain.expiries[at + 1 :]))
    before, after = (read_smiles(c).parity[at] for c in (chain, edited))
    assert (after.strikes, after.reconciled) == (before.strikes, before.strikes - 1)
    assert after.slope != before.slope


@pytest.mark.parametrize("scale", [0.9, 1.1])
@pytest.mark.parametrize("underlying", ["BTC", "ETH"])
def test_premiums_off_by_a_factor_are_no_move_of_the_market(underlying: str, scale: float) -> None:
    """Their vols move alike at all expiries, as in a shift; a true move of the vols leaves parity as it is."""
    at = 12
    wrong = followed(underlying, at, scaled(recorded_chains(underlying)[at], scale))
    assert wrong.regime is Regime.SHIFT
    assert wrong.fit.status is SurfaceStatus.REJECTED
    assert "parity: share of strikes whose put and call contradict is" in (wrong.fit.reason or "")
    true = followed(underlying, at, repriced(recorded_chains(underlying)[at], scale))
    assert true.regime is Regime.SHIFT
    assert true.fit.status is SurfaceStatus.OK, true.fit.reason


def test_one_expiry_off_is_said_while_the_regime_shifts() -> None:
    """Nearer expiries move more, so one that is off in their direction is no lone one; its puts and calls tell."""
    at, off = 17, 2
    chain = recorded_chains("ETH")[at]
    found = followed("ETH", at, scaled(chain, 0.7, lambda i: i == off))
    assert found.fit.status is not SurfaceStatus.OK
    days = (chain.expiries[off].expiry_ms - chain.as_of_ms) / 86_400_000
    assert f"strikes of {days:.1f} days put and call contradict" in (found.fit.reason or "")
    assert followed("ETH", at, chain).fit.status is SurfaceStatus.OK
    assert read_smiles(chain).parity[off].contradicted <= DEFAULT_RULES.degraded_parity


def sloped(t: float, slope: float, sd: float, rate_sd: float = 0.0) -> ParityCheck:
    return ParityCheck(t, 10, 10, slope, sd * slope, rate_sd)


def test_one_factor_of_all_premiums_is_their_weighted_mean_less_what_is_granted() -> None:
    checks = [sloped(0.1, 0.9, 0.02), sloped(0.5, 0.88, 0.01), sloped(0.9, 0.91, 0.03), ParityCheck(1.0, 1, 1)]
    weight = 1.0 / (np.array([0.02, 0.01, 0.03]) ** 2 + FACTOR_SD_FLOOR**2)
    mean = np.average(np.log([0.9, 0.88, 0.91]), weights=weight)
    assert premiums_off(checks) == pytest.approx(abs(mean) - SURE_SDS / np.sqrt(weight.sum()), rel=1e-12)
    assert premiums_off([sloped(0.1, 0.9, 0.05)]) == premiums_off([ParityCheck(0.1, 5, 5)]) == premiums_off([]) == 0.0


def test_a_rate_is_no_factor_of_premiums_that_it_discounts() -> None:
    t = np.array([0.02, 0.1, 0.5, 1.0, 2.0])
    true = [sloped(x, np.exp(-0.05 * x), 1e-3, RATE_PRIOR_SD) for x in t.tolist()]
    wrong = [sloped(c.t, 1.1 * c.slope, 1e-3, RATE_PRIOR_SD) for c in true]
    assert premiums_off(true) == 0.0
    design = np.column_stack([np.ones(5), t])
    weight = np.full(5, 1.0 / (1e-6 + FACTOR_SD_FLOOR**2))
    normal = design.T @ (weight[:, None] * design) + np.diag([0.0, RATE_PRIOR_SD**-2])
    solved = np.linalg.solve(normal, design.T @ (weight * np.log([c.slope for c in wrong])))
    granted = SURE_SDS * np.sqrt(np.linalg.inv(normal)[0, 0])
    assert premiums_off(wrong) == pytest.approx(solved[0] - granted, rel=1e-9)
    assert [c.off > 0.0 for c in wrong] == [True, True, False, False, False]
    assert not any(c.off for c in true)


def test_one_expiry_that_is_off_leaves_the_others_in_doubt_only_itself() -> None:
    checks = [sloped(0.1, 1.0, 0.005), sloped(0.2, 0.8, 0.005), sloped(0.3, 1.0, 0.005)]
    assert premiums_off(checks) == 0.0
    assert [check.off > 0.0 for check in checks] == [False, True, False]


@pytest.mark.parametrize("underlying", ["BTC", "ETH"])
def test_premiums_of_a_recorded_day_are_what_puts_and_calls_say(underlying: str) -> None:
    for chain in recorded_chains(underlying):
        checks = read_smiles(chain).parity
        assert sum(check.sloped for check in checks) >= 6
        assert premiums_off(checks) == max(check.off for check in checks) == 0.0


def test_a_factor_that_the_spread_of_each_strike_hides_is_found_over_all() -> None:
    """Five per cent on every premium contradicts at few strikes and is no move of the vols."""
    at = 12
    chain = recorded_chains("ETH")[at]
    wrong = scaled(chain, 1.05)
    assert contradicted_share(read_smiles(wrong).parity) < DEFAULT_RULES.rejected_parity
    found = followed("ETH", at, wrong)
    assert found.fit.status is SurfaceStatus.REJECTED
    assert "premiums: ln of the factor by which puts and calls have them off is" in (found.fit.reason or "")
    one = maintain_surface(scaled(chain, 0.9, lambda i: i == 6)).fit
    assert one.status is SurfaceStatus.DEGRADED
    assert "are off by a factor of 0.9" in (one.reason or "")


def test_a_linear_chain_is_judged_as_well() -> None:
    truths = [Truth(days, discount=math.exp(-0.06 * days / 365.0)) for days in (7.0, 30.0, 90.0, 360.0)]
    chain = synthetic_chain(Premium.QUOTE, *(quotes(truth, Premium.QUOTE) for truth in truths))
    assert premiums_off(read_smiles(chain).parity) == 0.0
    assert premiums_off(read_smiles(scaled(chain, 1.1)).parity) > DEFAULT_RULES.rejected_factor
