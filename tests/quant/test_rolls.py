"""Expiries that come and go: one that expired leaves, a new listing enters, and neither is held up."""

from dataclasses import replace

from app.quant.calibration import SurfaceStatus
from app.quant.chain import OptionChain
from app.quant.maintenance import MaintainedFit, maintain_surface
from app.quant.trigger import Recalibrate
from app.quant.trigger_policy import TriggerPolicy
from app.service.fit_events import published_events
from app.service.publish import maintained_document
from tests.quant.market import recorded_chains, retimed

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
