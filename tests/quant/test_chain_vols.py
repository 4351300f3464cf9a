"""Every quote of a chain beside its surface: the same quotes, vols and reasons as the fit used and reported."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from app.quant.chain import ExpiryQuotes, OptionChain
from app.quant.chain_vols import chain_vols, fitted_smiles
from app.quant.dropped import Dropped
from app.quant.maintenance import MaintainedFit, maintain_surface
from app.quant.smile import read_smiles
from tests.quant.market import maintained_series, recorded_chains


def with_expiry(chain: OptionChain, place: int, **columns: np.ndarray) -> OptionChain:
    expiries = list(chain.expiries)
    expiries[place] = replace(expiries[place], **columns)
    return replace(chain, expiries=tuple(expiries))


def with_a_fat_finger(chain: OptionChain) -> OptionChain:
    """One out-of-the-money put of the fifth expiry quoted at twice its price."""
    quotes = chain.expiries[4]
    wrong = (quotes.strike == 26_000.0) & ~quotes.is_call
    assert wrong.sum() == 1
    factor = np.where(wrong, 2.0, 1.0)
    return with_expiry(chain, 4, bid=quotes.bid * factor, ask=quotes.ask * factor)


def check_against_report(chain: OptionChain, maintained: MaintainedFit, smiles: tuple) -> None:
    found = chain_vols(chain, smiles, maintained.fit.surface)
    report = maintained.fit.report
    assert [each.expiry_ms for each in found] == [each.expiry_ms for each in report.slices]
    for each, told, quotes in zip(found, report.slices, chain.expiries, strict=True):
        assert each.used.sum() == told.quotes_used
        assert Counter(quote.reason for quote in each.dropped) == Counter(told.quotes_dropped)
        assert each.used.sum() + len(each.dropped) == len(quotes), "every quote is used or dropped"
        if told.rmse_vol is not None:
            error = (each.model_vol - each.mid_vol)[each.used]
            assert np.sqrt(np.mean(error**2)) == pytest.approx(told.rmse_vol, rel=1e-12)
            assert np.abs(error).max() == pytest.approx(told.max_error_vol, rel=1e-12)


@pytest.mark.parametrize("underlying", ["BTC", "ETH"])
def test_quotes_are_those_the_report_counts(underlying: str) -> None:
    (chain, *_), (first, *_) = recorded_chains(underlying), maintained_series(underlying, 2)
    check_against_report(chain, first, fitted_smiles(chain, first.fit.surface.model, None))


def test_a_quote_that_nobody_confirmed_is_shown_unused() -> None:
    first = maintained_series("BTC", 2)[0]
    chain = with_a_fat_finger(recorded_chains("BTC")[1])
    second = maintain_surface(chain, previous=first.fit.surface, state=first.state)
    assert second.fit.report.quotes_dropped[Dropped.UNCONFIRMED] == 1
    smiles = fitted_smiles(chain, second.fit.surface.model, first.fit.surface)
    check_against_report(chain, second, smiles)
    shown = chain_vols(chain, smiles, second.fit.surface)[4]
    (row,) = np.flatnonzero(shown.strike == 26_000.0)
    assert not shown.used[row]
    assert shown.mid_vol[row] > shown.model_vol[row] + 0.1


def test_the_columns_are_the_smile_and_what_has_one_side() -> None:
    chain, first = recorded_chains("BTC")[0], maintained_series("BTC", 2)[0]
    smiles = fitted_smiles(chain, first.fit.surface.model, None)
    one_sided = 0
    for smile, shown in zip(smiles, chain_vols(chain, smiles, first.fit.surface), strict=True):
        for name in ("strike", "is_call", "k", "bid_vol", "ask_vol", "mid_vol"):
            np.testing.assert_array_equal(getattr(shown, name)[shown.used], getattr(smile, name))
        assert (np.diff(shown.strike) > 0.0).all()
        assert (np.isfinite(shown.bid_vol) | np.isfinite(shown.ask_vol)).all()
        assert (shown.is_call == (shown.k > 0.0))[~shown.used].all(), "out of the money"
        reasons = {(q.strike, q.is_call): q.reason for q in shown.dropped}
        for strike, is_call, bid, ask in zip(
            shown.strike[~shown.used],
            shown.is_call[~shown.used],
            shown.bid_vol[~shown.used],
            shown.ask_vol[~shown.used],
            strict=True,
        ):
            if np.isnan(bid) or np.isnan(ask):
                one_sided += reasons[strike, is_call] == Dropped.ONE_SIDED
    assert one_sided > 10


def test_an_expiry_without_a_curve_has_quotes_and_reasons() -> None:
    """Two live quotes are no smile; an expired expiry has no vol at all."""
    chain, first = recorded_chains("BTC")[0], maintained_series("BTC", 2)[0]
    quotes = chain.expiries[2]
    live = np.isin(quotes.strike, (28_000.0, 29_000.0)) & ~quotes.is_call
    few = with_expiry(chain, 2, bid=np.where(live, quotes.bid, np.nan), ask=np.where(live, quotes.ask, np.nan))
    gone = replace(quotes, expiry_ms=few.as_of_ms - 1)
    few = replace(few, expiries=(gone, *few.expiries))
    read = read_smiles(few)
    assert [e.status.value for e in read.excluded] == ["expired", "too_few_quotes"]
    expired, _, _, thin, *_ = chain_vols(few, read.smiles, without_slice(first, quotes).fit.surface)
    assert (thin.strike.tolist(), thin.used.any()) == ([28_000.0, 29_000.0], False)
    assert np.isnan(thin.model_vol).all()
    assert np.isfinite(thin.mid_vol).all()
    assert Counter(q.reason for q in thin.dropped)[Dropped.EXPIRY_EXCLUDED] == 2
    assert (len(expired.strike), len(expired.dropped), np.isnan(expired.forward)) == (0, len(gone), True)


def without_slice(maintained: MaintainedFit, quotes: ExpiryQuotes) -> MaintainedFit:
    surface = maintained.fit.surface
    kept = tuple(s for s in surface.slices if s.expiry_ms != quotes.expiry_ms)
    return replace(maintained, fit=replace(maintained.fit, surface=replace(surface, slices=kept)))
