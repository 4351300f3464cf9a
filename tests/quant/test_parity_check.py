"""Puts and calls that no forward reconciles: no recorded chain has them, premiums off by a factor do."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from app.quant.calibration import SurfaceStatus
from app.quant.chain import OptionChain
from app.quant.gate_rules import DEFAULT_RULES
from app.quant.maintenance import MaintainedFit, maintain_surface
from app.quant.parity_check import ParityCheck, contradicted_share, judged_expiries
from app.quant.regime import Regime
from app.quant.smile import read_smiles
from tests.quant.market import maintained_series, recorded_chains, repriced


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
    assert after == replace(before, reconciled=before.strikes - 1)


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
