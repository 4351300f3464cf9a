"""Who confirms a jump: the mids around it, and of a large one the expiries beside it."""

from dataclasses import replace

import numpy as np
import pytest

from app.quant.chain import OptionChain
from app.quant.gate_rules import DEFAULT_RULES
from app.quant.innovations import innovations_of
from app.quant.lone_expiry import lone_moves
from app.quant.maintenance import maintain_surface
from app.quant.smile import read_smiles
from app.quant.surface import VolSurface
from app.quant.unconfirmed_jump import UnconfirmedJump, worst_jump
from app.quant.year_fraction import MS_PER_YEAR
from tests.quant.market import maintained_series, recorded_chains, revalued

AT = 11


def jump_to(surface: VolSurface, chain: OptionChain, *, half_spread: float | None = None) -> UnconfirmedJump | None:
    """The worst jump to ``surface``, the successor of ETH's in a calm, that nobody in ``chain`` confirms."""
    before = maintained_series("ETH")[AT].fit.surface
    found = innovations_of(read_smiles(chain).smiles, before)
    if half_spread is not None:
        found = replace(found, half_spread=np.full(len(found), half_spread))
    nobody = np.zeros(len(found), dtype=np.bool_)
    lone = lone_moves(found, nobody, 1.0, DEFAULT_RULES.judged_deviations)
    return worst_jump(surface, lone, 1.0, False, DEFAULT_RULES)


def fitted(chain: OptionChain) -> VolSurface:
    before = maintained_series("ETH")[AT]
    return maintain_surface(chain, previous=before.fit.surface, state=before.state).fit.surface


def test_an_event_of_tomorrow_is_confirmed_by_the_expiry_after_it() -> None:
    """Variance before the first expiry is in all, in proportion to 1/t: most expiries are too far to show it."""
    chain = recorded_chains("ETH")[AT + 1]
    first = (chain.expiries[0].expiry_ms - chain.as_of_ms) / MS_PER_YEAR
    event = revalued(chain, lambda vol, t: np.sqrt(vol**2 + 0.15 * first / np.maximum(t, first)))
    surface = fitted(event)
    before = maintained_series("ETH")[AT].fit.surface.slices[0]
    assert before.band is not None
    money = np.zeros(1)
    vols = [np.sqrt(s.curve.total_variance(money)[0] / s.t) for s in (before, surface.slices[0])]
    assert vols[1] - vols[0] > 2.0 * DEFAULT_RULES.large_jump * before.band.half_width_at(money)[0]
    assert jump_to(surface, event) is None


def test_one_expiry_alone_is_not_believed_beyond_a_large_jump() -> None:
    chain = recorded_chains("ETH")[AT + 1]
    at = (chain.expiries[4].expiry_ms - chain.as_of_ms) / MS_PER_YEAR
    dear = revalued(chain, lambda vol, t: np.where(np.abs(t - at) < 1e-4, 1.08, 1.0) * vol)
    found = jump_to(fitted(dear), dear)
    assert found is not None
    assert found.alone
    assert found.rejects
    assert found.t == pytest.approx(at, abs=2e-5)


def test_a_jump_within_the_spread_around_it_is_tolerated_up_to_a_large_one() -> None:
    """A surface 2 bars up where the mids stayed; whether it is a fault or a choice depends on how wide they are."""
    chain = recorded_chains("ETH")[AT + 1]
    dear = revalued(chain, lambda vol, _: 1.02 * vol)
    surface = fitted(dear)
    tight, wide = (jump_to(surface, chain, half_spread=size) for size in (1e-4, 0.2))
    assert tight is not None
    assert wide is not None
    assert not tight.alone
    assert not wide.alone
    assert tight.tolerable == DEFAULT_RULES.rejected_jump
    assert wide.tolerable == DEFAULT_RULES.large_jump
    assert tight.rejects
    assert wide.rejects == (wide.half_widths > DEFAULT_RULES.large_jump)


def test_an_expiry_of_flagged_quotes_alone_confirms_nothing() -> None:
    before = maintained_series("ETH")[AT].fit.surface
    chain = revalued(recorded_chains("ETH")[AT + 1], lambda vol, _: 1.02 * vol)
    found = innovations_of(read_smiles(chain).smiles, before)
    all_of_them = np.ones(len(found), dtype=np.bool_)
    lone = lone_moves(found, all_of_them, 1.0, DEFAULT_RULES.judged_deviations)
    assert lone.loneliest() is None
    jump = worst_jump(fitted(chain), lone, 1.0, True, DEFAULT_RULES)
    assert jump is not None
    assert jump.rejects
    assert not jump.alone
