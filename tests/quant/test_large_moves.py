"""A crash of any size passes at once; a chain in another unit or of another underlying that looks like one does not."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from app.quant.arrays import FloatArray
from app.quant.calibration import SurfaceStatus, calibrate_surface
from app.quant.chain import ExpiryQuotes, OptionChain
from app.quant.gate import GateState
from app.quant.listed import SAMPLE, instruments_of, listed_share, sample_of
from app.quant.maintenance import MaintainedFit, maintain_surface
from app.quant.parity_check import ParityCheck
from app.quant.traded_level import traded_share
from tests.quant.market import maintained_series, moved, recorded_chains

AT = 11
HOUR_MS = 3_600_000


def after(chain: OptionChain, underlying: str) -> MaintainedFit:
    before = maintained_series(underlying)[AT]
    return maintain_surface(chain, previous=before.fit.surface, state=before.state)


def now(underlying: str) -> OptionChain:
    return recorded_chains(underlying)[AT + 1]


def by_expiry(chain: OptionChain, edit: Callable[[ExpiryQuotes], ExpiryQuotes]) -> OptionChain:
    return replace(chain, expiries=tuple(edit(e) for e in chain.expiries))


def chosen(e: ExpiryQuotes, rows: np.ndarray) -> ExpiryQuotes:
    columns = ("strike", "is_call", "bid", "ask", "bid_size", "ask_size", "timestamp_ms", "forward")
    return replace(e, **{name: getattr(e, name)[rows] for name in columns})


def wider(chain: OptionChain, times: float) -> OptionChain:
    """Spreads so many times as wide around the same mids; bids that would be negative are gone."""

    def edit(e: ExpiryQuotes) -> ExpiryQuotes:
        mid, half = 0.5 * (e.bid + e.ask), 0.5 * times * (e.ask - e.bid)
        return replace(e, bid=np.maximum(mid - half, 0.0), ask=mid + half)

    return by_expiry(chain, edit)


def calm(vol: FloatArray, _: FloatArray) -> FloatArray:
    return vol


def feared(vol: FloatArray, t: FloatArray) -> FloatArray:
    """85 points up at once, 25 in the long run."""
    return vol + 0.25 + 0.6 * np.exp(-8.0 * t)


def spot_off(chain: OptionChain, scale: float, *, strikes: bool) -> OptionChain:
    """Forwards, futures and perhaps strikes in another unit."""
    futures = tuple(replace(f, bid=scale * f.bid, ask=scale * f.ask) for f in chain.futures)
    edited = by_expiry(
        chain, lambda e: replace(e, forward=scale * e.forward, strike=(scale if strikes else 1.0) * e.strike)
    )
    return replace(edited, futures=futures)


@pytest.mark.parametrize("spreads", [1.0, 5.0])
@pytest.mark.parametrize("edit", [calm, feared])
@pytest.mark.parametrize("scale", [0.85, 0.75, 0.6, 0.5, 1.35])
@pytest.mark.parametrize("underlying", ["BTC", "ETH"])
def test_a_crash_of_any_size_is_published_at_once(
    underlying: str, scale: float, edit: Callable[[FloatArray, FloatArray], FloatArray], spreads: float
) -> None:
    chain = wider(moved(now(underlying), scale, edit), spreads)
    found, alone = after(chain, underlying).fit, calibrate_surface(chain)
    assert found.status is SurfaceStatus.DEGRADED, found.reason
    assert ("level: move of all forwards" in (found.reason or "")) == (abs(np.log(scale)) > 0.25)
    assert found.certificate.arbitrage_free
    assert found.report.inside_spread >= 0.95 * alone.report.inside_spread
    true = {e.expiry_ms: scale * float(np.nanmedian(e.forward)) for e in now(underlying).expiries}
    for s in found.surface.slices:
        assert s.forward == pytest.approx(true[s.expiry_ms], rel=5e-3)


@pytest.mark.parametrize("scale", [0.5, 0.7, 1.4, 100.0])
@pytest.mark.parametrize("underlying", ["BTC", "ETH"])
def test_another_unit_is_not_believed_however_often_it_comes(underlying: str, scale: float) -> None:
    """Everything is scaled exactly, so the chain agrees with itself; its strikes are none that were listed."""
    before, chain = maintained_series(underlying)[AT], spot_off(now(underlying), scale, strikes=True)
    state = before.state
    for _ in range(4):
        found = maintain_surface(chain, previous=before.fit.surface, state=state)
        state = found.state
        assert found.fit.status is SurfaceStatus.REJECTED
        assert "level: move of all forwards" in (found.fit.reason or "")


def test_a_smaller_error_of_the_unit_is_known_by_its_strikes() -> None:
    """Dollars for euros: no level is too far, but what is listed is what nobody listed before. What persists is so."""
    before = maintained_series("ETH")[AT]
    state, statuses = before.state, []
    for chain in recorded_chains("ETH")[AT + 1 : AT + 4]:
        wrong = spot_off(chain, 0.92, strikes=True)
        found = maintain_surface(wrong, previous=before.fit.surface, state=state)
        state = found.state
        statuses.append(found.fit.status)
        assert "listed: share of the instruments of before is 0" in (found.fit.reason or "")
    assert statuses == [SurfaceStatus.REJECTED, SurfaceStatus.REJECTED, SurfaceStatus.DEGRADED]


def test_the_same_chain_sent_again_confirms_nothing() -> None:
    before, chain = maintained_series("ETH")[AT], spot_off(now("ETH"), 0.92, strikes=True)
    state = before.state
    for count in range(1, 6):
        again = replace(chain, as_of_ms=chain.as_of_ms + 1000 * count, sequence=count)
        found = maintain_surface(again, previous=before.fit.surface, state=state)
        assert found.fit.status is SurfaceStatus.REJECTED
        state = found.state
        assert (state.gate.rejected, state.gate.told) == (count, 1)


def test_another_underlying_of_the_same_grid_is_not_believed() -> None:
    """It lists the strikes around its own spot, two thirds of this one's, as a stock of 70 beside one of 100."""
    scale, reach = 0.7, 0.5

    def listed(chain: OptionChain, spot: float) -> OptionChain:
        return by_expiry(chain, lambda e: chosen(e, np.abs(e.strike / (spot * e.forward) - 1.0) <= reach))

    chain = now("BTC")
    first = maintain_surface(listed(recorded_chains("BTC")[AT], 1.0))
    other = listed(moved(chain, scale, calm), 1.0)
    found = maintain_surface(other, previous=first.fit.surface, state=first.state)
    assert found.fit.status is SurfaceStatus.REJECTED
    assert "level: move of all forwards" in (found.fit.reason or "")
    fallen = listed(moved(chain, scale, calm), 1.0 / scale)
    assert maintain_surface(fallen, previous=first.fit.surface, state=first.state).fit.status is SurfaceStatus.DEGRADED


def test_a_wrong_spot_moves_no_level_that_puts_and_calls_deny() -> None:
    found = after(spot_off(now("BTC"), 0.7, strikes=False), "BTC").fit
    assert found.status is not SurfaceStatus.OK
    if found.status is SurfaceStatus.DEGRADED:
        stood = {s.expiry_ms: s.forward for s in maintained_series("BTC")[AT].fit.surface.slices}
        for s in found.surface.slices:
            assert s.forward == pytest.approx(stood[s.expiry_ms], rel=0.01)


def test_premiums_taken_into_coin_at_a_wrong_spot_are_no_crash() -> None:
    scale = 0.7
    off = by_expiry(
        spot_off(now("BTC"), scale, strikes=False), lambda e: replace(e, bid=e.bid / scale, ask=e.ask / scale)
    )
    assert after(off, "BTC").fit.status is SurfaceStatus.REJECTED


def test_without_puts_and_calls_of_a_strike_a_crash_waits_for_the_root_of_time() -> None:
    """Nobody trades at the new level then; what the venue sends of the forward is one feed's word."""
    fallen = moved(now("BTC"), 0.7, calm)
    alone = by_expiry(fallen, lambda e: chosen(e, np.where(e.is_call, e.strike > e.forward, e.strike < e.forward)))
    found = after(alone, "BTC").fit
    assert found.status is SurfaceStatus.REJECTED
    assert "puts and calls trade there at 0% of the expiries" in (found.reason or "")


def test_the_level_is_known_when_vols_are_too_old_to_compare() -> None:
    before = maintained_series("BTC")[AT].fit.surface
    other = recorded_chains("ETH")[AT + 1]
    chain = replace(now("BTC"), expiries=other.expiries, futures=other.futures, as_of_ms=other.as_of_ms)
    old = replace(before, as_of_ms=before.as_of_ms - 3 * HOUR_MS)
    found = maintain_surface(chain, previous=old, state=maintained_series("BTC")[AT].state).fit
    assert found.status is SurfaceStatus.REJECTED
    assert "level: move of all forwards" in (found.reason or "")


def test_strikes_that_lost_a_side_are_not_asked() -> None:
    """A third of the bids and of the asks is gone, as in the worst minutes: few strikes keep a put and a call."""
    rng = np.random.default_rng(5)

    def edit(e: ExpiryQuotes) -> ExpiryQuotes:
        no_bid, no_ask = rng.random((2, len(e))) < 1 / 3
        return replace(e, bid=np.where(no_bid, np.nan, e.bid), ask=np.where(no_ask, np.nan, e.ask))

    fallen = by_expiry(moved(now("ETH"), 0.7, feared), edit)
    found = after(fallen, "ETH").fit
    assert found.status is SurfaceStatus.DEGRADED
    assert "level: move of all forwards" in (found.reason or "")


def test_an_old_expiry_in_a_crash_is_no_carry() -> None:
    """One expiry as it was before everything else fell: its forward stands apart by all of the move."""
    chain = now("BTC")
    fallen = moved(chain, 0.7, feared)
    mixed = replace(fallen, expiries=tuple(chain.expiries[i] if i == 5 else e for i, e in enumerate(fallen.expiries)))
    found = after(mixed, "BTC").fit
    assert found.status is SurfaceStatus.REJECTED
    assert "forward: one moved by" in (found.reason or "")


def test_a_sample_tells_the_share_that_is_listed() -> None:
    instruments = instruments_of(now("BTC"))
    assert np.unique(instruments).size == instruments.size == len(now("BTC"))
    sample = sample_of(now("BTC"), instruments, 0)
    assert sample == tuple(np.sort(instruments)[:SAMPLE].tolist())
    assert listed_share(instruments, sample) == 1.0
    assert listed_share(instruments[:0], sample) == listed_share(instruments, ()) == 0.0
    rng = np.random.default_rng(3)
    shares = [listed_share(instruments[rng.random(instruments.size) < 0.7], sample) for _ in range(200)]
    assert np.mean(shares) == pytest.approx(0.7, abs=0.02)
    assert listed_share(instruments_of(now("ETH")), sample) < 0.1
    last = now("BTC").expiries[-1]
    few = instruments[-len(last) :]
    assert sample_of(now("BTC"), instruments, last.expiry_ms - 1) == tuple(np.sort(few)[:SAMPLE].tolist())
    assert sample_of(now("BTC"), instruments, last.expiry_ms) == ()
    old = replace(now("BTC"), expiries=(replace(last, expiry_ms=-1),))
    assert not np.isin(instruments_of(old), instruments).any()
    nothing = replace(now("BTC"), expiries=())
    assert GateState().listed == sample_of(nothing, instruments_of(nothing), 0) == ()


def test_expiries_vote_where_their_strikes_refute_the_old_forward() -> None:
    surface = maintained_series("BTC")[AT].fit.surface
    forward = surface.slices[0].forward
    stood = {s.expiry_ms: 1.4 * s.forward for s in surface.slices}

    def share(low: float, high: float, reconciled: int = 5) -> float:
        checks = [
            ParityCheck(s.t, 5, reconciled, low=low * s.forward / forward, high=high * s.forward / forward)
            for s in surface.slices
        ]
        return traded_share(surface, stood, checks)

    assert share(0.99 * forward, 1.01 * forward) == 1.0
    assert share(0.99 * forward, 1.41 * forward) == 0.0
    assert share(1.02 * forward, 1.03 * forward) == 0.0
    assert share(0.99 * forward, 1.01 * forward, 4) == 0.0
    silent = [ParityCheck(s.t, 5, 4) for s in surface.slices[1:]]
    one = ParityCheck(surface.slices[0].t, 5, 5, low=0.99 * forward, high=1.01 * forward)
    assert traded_share(surface, stood, [one, *silent]) == 1.0
    assert share(np.nan, np.nan) == 0.0
    assert traded_share(surface, {}, []) == 0.0
