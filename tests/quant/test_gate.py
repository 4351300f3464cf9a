"""The gate's rules, one by one; what becomes of whole bad chains is in test_bad_chains.py."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from app.quant.calibration import NoSmile, SurfaceFit, SurfaceStatus, read_chain
from app.quant.chain import ExpiryQuotes, OptionChain
from app.quant.gate import GateState, judged, widening_since
from app.quant.gate_rules import DEFAULT_RULES
from app.quant.innovations import innovations_of
from app.quant.listed import instruments_of, sample_of
from app.quant.maintenance import MaintainedFit, maintain_surface
from app.quant.models import DEFAULT_MODEL
from app.quant.repeats import digests_of
from app.quant.screening import MAX_AGE_MS
from app.quant.smile import read_smiles
from app.quant.surface import VolSurface
from app.quant.year_fraction import MS_PER_YEAR
from tests.quant.market import maintained_series, moved, recorded_chain, recorded_chains, revalued

AT = 11
Edit = Callable[[OptionChain], OptionChain]


def edited(chain: OptionChain, edit: Callable[[ExpiryQuotes, int], ExpiryQuotes]) -> OptionChain:
    return replace(chain, expiries=tuple(edit(e, i) for i, e in enumerate(chain.expiries)))


def fat_finger(chain: OptionChain) -> OptionChain:
    """One out-of-the-money call of the fourth expiry at three times its price."""

    def edit(e: ExpiryQuotes, i: int) -> ExpiryQuotes:
        rows = np.flatnonzero(e.is_call & (e.strike > 1.02 * e.forward) & (e.bid > 0.0) & (e.ask > 0.0))
        scale = np.ones(len(e))
        scale[rows[: int(i == 3)]] = 3.0
        return replace(e, bid=e.bid * scale, ask=e.ask * scale)

    return edited(chain, edit)


def quarter_shifted(chain: OptionChain) -> OptionChain:
    """A random quarter of the quotes a quarter dearer."""
    rng = np.random.default_rng(8)

    def edit(e: ExpiryQuotes, _: int) -> ExpiryQuotes:
        scale = np.where(rng.random(len(e)) < 0.25, 1.25, 1.0)
        return replace(e, bid=e.bid * scale, ask=e.ask * scale)

    return edited(chain, edit)


def forwards_wrong(chain: OptionChain) -> OptionChain:
    """Every quoted forward 1 % too high."""
    return edited(chain, lambda e, _: replace(e, forward=1.01 * e.forward))


def expiry_missing(chain: OptionChain) -> OptionChain:
    """Without the expiry in the middle."""
    middle = len(chain.expiries) // 2
    return replace(chain, expiries=chain.expiries[:middle] + chain.expiries[middle + 1 :])


def published(before: VolSurface, after: MaintainedFit) -> VolSurface:
    return before if after.fit.status is SurfaceStatus.REJECTED else after.fit.surface


def moves(before: VolSurface, after: VolSurface, chain: OptionChain, origin: VolSurface | None = None) -> np.ndarray:
    """|vol of after - vol of origin| over the half-width of before's bar, at the quotes within two deviations."""
    found = innovations_of(read_smiles(chain).smiles, before)
    sizes = []
    for i, expiry_ms in enumerate(found.expiries):
        rows = (found.slice == i) & (np.abs(found.deviations) <= 2.0)
        stood = next(s for s in before.slices if s.expiry_ms == expiry_ms)
        t_after = stood.t - (after.as_of_ms - before.as_of_ms) / (365 * 86_400_000.0)
        k = found.k[rows]
        stood_vol = origin.vol(k, t_after) if origin else np.sqrt(stood.curve.total_variance(k) / stood.t)
        change = after.vol(k, t_after) - stood_vol
        sizes.append(np.abs(change) / found.half_width[rows])
    return np.concatenate(sizes) / widening_since(before, chain.as_of_ms)


@pytest.mark.parametrize("edit", [fat_finger, quarter_shifted, forwards_wrong])
def test_three_in_a_row_are_not_believed_without_the_market(edit: Edit) -> None:
    series, chains = maintained_series("BTC"), recorded_chains("BTC")
    surface, state = series[AT].fit.surface, series[AT].state
    for chain in chains[AT + 1 : AT + 4]:
        after = maintain_surface(edit(chain), previous=surface, state=state)
        surface, state = published(surface, after), after.state
    truth = series[AT + 3].fit.surface
    assert np.quantile(moves(surface, truth, chains[AT + 3]), 0.95) <= 1.0
    if edit is quarter_shifted:
        assert state.gate.rejected == 3
        assert "unconfirmed" in (after.fit.reason or "")


def test_old_drift_of_other_expiries_confirms_no_large_jump() -> None:
    """Half an hour later others have left bars of five minutes a little; bars of half an hour they have not."""
    calm, chain = maintained_series("BTC")[AT - 3], recorded_chains("BTC")[AT + 2]
    nearest = (chain.expiries[0].expiry_ms - chain.as_of_ms) / MS_PER_YEAR
    cheap = revalued(chain, lambda vol, t: np.where(np.abs(t - nearest) < 1e-4, 0.75, 1.0) * vol)
    found = maintain_surface(cheap, previous=calm.fit.surface, state=calm.state).fit
    assert found.status is SurfaceStatus.REJECTED
    assert "jump: vol at" in (found.reason or "")
    assert "the mids of other expiries do not confirm it" in (found.reason or "")


def test_a_fat_finger_is_left_out_and_counted() -> None:
    calm, chain = maintained_series("BTC")[AT], recorded_chains("BTC")[AT + 1]
    bad = maintain_surface(fat_finger(chain), previous=calm.fit.surface, state=calm.state).fit
    good = maintain_surface(chain, previous=calm.fit.surface, state=calm.state).fit
    assert bad.status is not SurfaceStatus.REJECTED
    extra = bad.report.quotes_dropped.get("unconfirmed", 0) - good.report.quotes_dropped.get("unconfirmed", 0)
    assert extra == 1
    for report, quotes in zip(bad.report.slices, chain.expiries, strict=True):
        assert report.quotes_used + sum(report.quotes_dropped.values()) == len(quotes)


def test_a_missing_expiry_is_believed_the_third_time() -> None:
    series, chains = maintained_series("BTC"), recorded_chains("BTC")
    surface, state = series[AT].fit.surface, series[AT].state
    for count, chain in enumerate(chains[AT + 1 : AT + 4], start=1):
        after = maintain_surface(expiry_missing(chain), previous=surface, state=state)
        surface, state = published(surface, after), after.state
        assert (after.fit.status is SurfaceStatus.REJECTED) == (count < DEFAULT_RULES.believed_after)
        assert "missing: 1 expiries" in (after.fit.reason or "")
    assert after.fit.status is SurfaceStatus.DEGRADED
    last = expiry_missing(chain)
    sample = sample_of(last, instruments_of(last), last.as_of_ms)
    assert state.gate == GateState(0, after.fit.report.quotes_used, sample)


def test_a_rejected_chain_teaches_nothing() -> None:
    calm, chain = maintained_series("BTC")[AT], recorded_chains("BTC")[AT + 1]
    partial = expiry_missing(chain)
    rejected = maintain_surface(partial, previous=calm.fit.surface, state=calm.state)
    gate = replace(calm.state.gate, rejected=1, told=1, refused=digests_of(partial))
    assert rejected.state == replace(calm.state, gate=gate)


def test_a_feed_that_stopped_has_no_smile() -> None:
    calm, chain = maintained_series("BTC")[AT], recorded_chains("BTC")[AT + 1]
    stopped = edited(chain, lambda e, _: replace(e, timestamp_ms=e.timestamp_ms - MAX_AGE_MS))
    with pytest.raises(NoSmile):
        maintain_surface(stopped, previous=calm.fit.surface, state=calm.state)


@pytest.mark.parametrize("underlying", ["BTC", "ETH"])
def test_a_real_market_is_seldom_held_up(underlying: str) -> None:
    rejected = [m.fit.reason for m in maintained_series(underlying) if m.fit.status is SurfaceStatus.REJECTED]
    assert len(rejected) <= 2, rejected


def with_report(fit: SurfaceFit, **changes: float) -> SurfaceFit:
    return replace(fit, report=replace(fit.report, **changes))  # type: ignore[arg-type]


def test_each_absolute_rule_names_its_number() -> None:
    fit, chain = maintained_series("BTC")[0].fit, recorded_chains("BTC")[0]
    read = read_smiles(chain)
    assert read.rate_curve is not None

    def verdict(changed: SurfaceFit, used_before: int = 0) -> tuple[SurfaceStatus, str]:
        found = judged(changed, read, GateState(0, used_before), None)  # type: ignore[arg-type]
        return found.status, (found.reason or "").partition(":")[0]

    vague = replace(
        fit.surface,
        slices=tuple(
            replace(s, band=replace(s.band, half_width=tuple(0.3 for _ in s.band.half_width)))
            for s in fit.surface.slices
            if s.band
        ),
    )
    thin = replace(fit.certificate, min_butterfly_g=1e-6)
    used = fit.report.quotes_used
    assert verdict(fit, used) == (SurfaceStatus.OK, "")
    assert verdict(with_report(fit, rmse_vol=0.06)) == (SurfaceStatus.DEGRADED, "error")
    assert verdict(with_report(fit, rmse_vol=0.3)) == (SurfaceStatus.REJECTED, "error")
    assert verdict(with_report(fit, rmse_vol=math.nan)) == (SurfaceStatus.REJECTED, "error")
    assert verdict(with_report(fit, inside_spread=math.nan)) == (SurfaceStatus.REJECTED, "inside")
    assert verdict(replace(fit, certificate=replace(thin, min_butterfly_g=math.nan))) == (
        SurfaceStatus.REJECTED,
        "margin",
    )
    assert verdict(with_report(fit, inside_spread=0.7)) == (SurfaceStatus.DEGRADED, "inside")
    assert verdict(with_report(fit, inside_spread=0.2)) == (SurfaceStatus.REJECTED, "inside")
    assert verdict(replace(fit, surface=vague)) == (SurfaceStatus.DEGRADED, "bars")
    assert verdict(replace(fit, certificate=thin)) == (SurfaceStatus.DEGRADED, "margin")
    assert verdict(fit, 3 * used) == (SurfaceStatus.DEGRADED, "quotes")
    assert verdict(fit, 6 * used) == (SurfaceStatus.REJECTED, "quotes")
    assert verdict(replace(fit, status=SurfaceStatus.REJECTED, reason="x")) == (SurfaceStatus.REJECTED, "x")


def test_what_degraded_a_fit_already_is_told_beside_what_the_gate_finds() -> None:
    maintained = maintain_surface(recorded_chain("deribit_btc_chain_2026-08-01T175804Z.json.gz"), model="sabr")
    assert maintained.fit.status is SurfaceStatus.DEGRADED
    assert str(maintained.fit.reason).startswith("model sabr has arbitrage: ")
    assert "; inside: share of quotes inside is 0.66" in str(maintained.fit.reason)


def test_puts_and_calls_too_few_to_be_believed_are_heard() -> None:
    """Of 4,945 expiries of a recorded day none had them overruled; one whose prices stand a strike off has."""
    fit, read = maintained_series("BTC")[AT].fit, read_chain(recorded_chains("BTC")[AT], DEFAULT_MODEL)
    assert not [check for check in read.parity if check.overruled > 0.0]
    first, *others = read.parity
    told = judged(fit, replace(read, parity=(replace(first, overruled=0.008), *others)), GateState(), None)
    assert (fit.status, told.status) == (SurfaceStatus.OK, SurfaceStatus.DEGRADED)
    assert (told.reason or "").startswith(f"forward: puts and calls of {first.t * 365.0:.1f} days have another than")


@pytest.mark.parametrize(
    ("name", "underlying", "expiries"),
    [
        ("deribit_btc_chain_2026-08-01T175804Z.json.gz", "BTC", 13),
        ("surface_quotes_btc_2026-04-27.json.gz", "BTC", 12),
        ("surface_quotes_eth_2026-01-31.json.gz", "ETH", 7),
    ],
)
def test_markets_of_other_years_are_published(name: str, underlying: str, expiries: int) -> None:
    first = maintain_surface(recorded_chain(name))
    assert (first.fit.surface.underlying, len(first.fit.surface.slices)) == (underlying, expiries)
    assert (first.fit.status, first.fit.reason) == (SurfaceStatus.OK, None)


@pytest.mark.parametrize("underlying", ["BTC", "ETH"])
def test_a_forward_feed_that_stands_still_is_told(underlying: str) -> None:
    """Puts and calls outvote it, so the surface is right; whoever trades on the feed's forwards is not."""
    before, chain = maintained_series(underlying)[AT], recorded_chains(underlying)[AT + 1]
    market = moved(chain, 0.97, lambda vol, _: vol)
    frozen = replace(
        market,
        expiries=tuple(replace(e, forward=b.forward) for e, b in zip(market.expiries, chain.expiries, strict=True)),
        futures=chain.futures,
    )
    for previous, state in ((None, None), (before.fit.surface, before.state)):
        fit = maintain_surface(frozen, previous=previous, state=state).fit
        assert fit.status is SurfaceStatus.DEGRADED
        assert "of the expiries puts and calls outvote what the venue sent, off by a factor of up to 1.03" in (
            fit.reason or ""
        )
        true = {s.expiry_ms: s.forward for s in maintain_surface(market).fit.surface.slices}
        assert {s.expiry_ms: s.forward for s in fit.surface.slices} == pytest.approx(true, rel=2e-3)


def test_a_chain_in_another_unit_than_its_forwards_is_told() -> None:
    """Nothing else can tell it where no surface stands: inverse premiums have no unit of their own."""
    chain = edited(
        recorded_chain("deribit_btc_chain_2026-08-01T175804Z.json.gz"), lambda e, _: replace(e, strike=1e-3 * e.strike)
    )
    fit = maintain_surface(chain).fit
    assert fit.status is SurfaceStatus.DEGRADED
    assert (
        fit.reason
        == "forward: at 100% of the expiries puts and calls outvote what the venue sent, off by a factor of up to 1000"
    )
