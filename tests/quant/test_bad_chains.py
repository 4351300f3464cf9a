"""No bad chain moves the published surface beyond its bars, and the true one after it passes as if nothing had been."""

from dataclasses import replace

import numpy as np
import pytest

from app.quant.arrays import FloatArray
from app.quant.calibration import NoSmile, SurfaceStatus
from app.quant.gate_rules import DEFAULT_RULES
from app.quant.maintenance import MaintainedFit, maintain_surface
from tests.quant.bad_chains import EDITS, MARKETS, Market, market
from tests.quant.test_gate import moves

NEVER_BELIEVED = (
    "stale",
    "stale_restamped",
    "stale_third",
    "quarter_up",
    "quarter_down",
    "quarter_scattered",
    "another_underlying",
)
"""What no market confirms however often it comes."""


def sent(m: Market, edit: str | None = None) -> MaintainedFit:
    """What becomes of the market's next chain; one without a smile is like one that is rejected."""
    chain = EDITS[edit](m) if edit else m.now
    try:
        return maintain_surface(chain, previous=m.before.fit.surface, state=m.before.state)
    except NoSmile:
        return replace(m.before, fit=replace(m.before.fit, status=SurfaceStatus.REJECTED))


def moved(m: Market, stands: MaintainedFit) -> FloatArray:
    """By how many bars the surface that stands left the one before; what the true chain moves as well is no move."""
    before, after = m.before.fit.surface, stands.fit.surface
    return np.minimum(moves(before, after, m.now), moves(before, after, m.now, sent(m).fit.surface))


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("name", MARKETS)
def test_one_bad_chain_changes_nothing(name: str, edit: str) -> None:
    m = market(name)
    bad = sent(m, edit)
    then = m.after(bad)
    if bad.fit.status is not SurfaceStatus.REJECTED:
        sizes = moved(m, then.before)
        # All mids of one side of one expiry agree: so do those of a market, now and then, as far as that.
        alike = edit == "one_side_up"
        assert sizes.size > 100
        assert sizes.max() <= (DEFAULT_RULES.large_jump if alike else 1.0), bad.fit.reason
    next_true, undisturbed = sent(then), sent(m.after(sent(m)))
    assert next_true.fit.status is undisturbed.fit.status is SurfaceStatus.OK
    assert next_true.regime == undisturbed.regime
    assert moves(undisturbed.fit.surface, next_true.fit.surface, then.now).max() <= 1.0


@pytest.mark.parametrize("edit", NEVER_BELIEVED)
@pytest.mark.parametrize("name", ["BTC calm", "ETH moving"])
def test_three_in_a_row_are_not_believed_without_a_market(name: str, edit: str) -> None:
    m, origin = market(name), market(name).before.fit.surface
    for _ in range(3):
        bad = sent(m, edit)
        assert bad.fit.status is SurfaceStatus.REJECTED, bad.fit.reason
        m = m.after(bad)
    assert m.before.fit.surface is origin


@pytest.mark.parametrize("edit", ["expiry_missing", "crossed"])
def test_what_persists_is_believed_the_third_time_and_says_so(edit: str) -> None:
    m, verdicts = market("BTC calm"), []
    for _ in range(3):
        bad = sent(m, edit)
        verdicts.append(bad.fit.status)
        m = m.after(bad)
    assert verdicts == [SurfaceStatus.REJECTED, SurfaceStatus.REJECTED, SurfaceStatus.DEGRADED]
    assert (bad.fit.reason or "").partition(":")[0] in ("missing", "vanished")


@pytest.mark.parametrize(
    ("edit", "rule"),
    [
        ("stale_restamped", "repeated"),
        ("quarter_up", "unconfirmed"),
        ("one_side_up", "jump"),
        ("forwards_up", "forward"),
        ("expiry_missing", "missing"),
        ("crossed", "vanished"),
        ("another_underlying", "level"),
    ],
)
def test_each_is_stopped_by_the_rule_that_is_meant_for_it(edit: str, rule: str) -> None:
    reason = sent(market("BTC calm"), edit).fit.reason or ""
    assert reason.startswith(f"{rule}: "), reason
