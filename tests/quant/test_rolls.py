"""Expiries that come and go: one that expired leaves, a new listing enters, and neither is held up."""

from dataclasses import replace

from app.quant.calibration import SurfaceStatus
from app.quant.chain import OptionChain
from app.quant.forward_moves import LISTED_SHARE
from app.quant.maintenance import MaintainedFit, maintain_surface
from app.quant.trigger import Recalibrate
from app.quant.trigger_policy import TriggerPolicy
from app.service.fit_events import published_events
from app.service.publish import maintained_document
from tests.quant.market import moved, recorded_chains, retimed

SELDOM = TriggerPolicy(after_s=86_400.0)
MINUTE_MS = 60_000


def followed(*chains: OptionChain) -> list[MaintainedFit]:
    fits = [maintain_surface(chains[0])]
    for chain in chains[1:]:
        fits.append(maintain_surface(chain, previous=fits[-1].fit.surface, state=fits[-1].state, trigger=SELDOM))
    return fits


def rolls(before: MaintainedFit, after: MaintainedFit, *chains: OptionChain) -> list[tuple[object, object]]:
    documents = [maintained_document(fit, chain) for fit, chain in zip((before, after), chains, strict=True)]
    events = published_events(documents[0], documents[1])
    return [(event.values["change"], event.values["expiry"]) for event in events if event.kind == "roll"]


def test_an_expiry_that_expired_leaves_the_surface() -> None:
    early, late = recorded_chains("BTC")[:2]
    nearest = early.expiries[0].expiry_ms
    # The chain before 08:00 and the one after it, which still lists what has just expired.
    first, second = retimed(early, nearest - 20 * MINUTE_MS), retimed(late, nearest + 2 * MINUTE_MS)
    before, after = followed(first, second)
    assert before.fit.surface.slices[0].expiry_ms == nearest
    assert [s.expiry_ms for s in after.fit.surface.slices] == [e.expiry_ms for e in second.expiries[1:]]
    assert after.fit.status is SurfaceStatus.OK
    assert after.decision == Recalibrate("expiries: 0 entered, 1 left")
    assert rolls(before, after, first, second) == [("left", "2023-04-13T08:00:00.000Z")]


def test_a_new_listing_enters_the_surface() -> None:
    for place in (0, 2, -1):
        first, second = recorded_chains("ETH")[:2]
        unlisted = first.expiries[place].expiry_ms
        fewer = replace(first, expiries=tuple(e for e in first.expiries if e.expiry_ms != unlisted))
        before, after = followed(fewer, second)
        assert unlisted not in [s.expiry_ms for s in before.fit.surface.slices]
        assert unlisted in [s.expiry_ms for s in after.fit.surface.slices]
        assert after.fit.status is SurfaceStatus.OK
        assert after.decision == Recalibrate("expiries: 1 entered, 0 left")
        assert [change for change, _ in rolls(before, after, fewer, second)] == ["entered"]


def of_expiries(chain: OptionChain, *places: int) -> OptionChain:
    return replace(chain, expiries=tuple(chain.expiries[place] for place in places))


def test_a_feed_of_one_expiry_rolls_to_the_next() -> None:
    """Nothing that was listed before is listed any more: it expired."""
    early, late = recorded_chains("BTC")[:2]
    nearest = early.expiries[0].expiry_ms
    first = of_expiries(retimed(early, nearest - 20 * MINUTE_MS), 0)
    before, after = followed(first, of_expiries(retimed(late, nearest + 2 * MINUTE_MS), 1))
    assert len(before.fit.surface.slices) == len(after.fit.surface.slices) == 1
    assert (after.fit.status, after.fit.reason) == (SurfaceStatus.OK, None)


def test_a_crash_passes_at_once_while_an_expiry_runs_off() -> None:
    early, late = recorded_chains("BTC")[:2]
    nearest = early.expiries[0].expiry_ms
    first = of_expiries(retimed(early, nearest - 3 * MINUTE_MS), 0, 1)
    fallen = moved(of_expiries(retimed(late, nearest + 2 * MINUTE_MS), 1), 0.7, lambda vol, _: vol)
    assert len(fallen) < LISTED_SHARE * len(first)
    _, after = followed(first, fallen)
    assert after.fit.status is SurfaceStatus.DEGRADED
    assert "level: move of all forwards" in (after.fit.reason or "")
