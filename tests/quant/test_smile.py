from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.quant.chain import ExpiryQuotes, FutureQuote, OptionChain, Premium, TradingRules
from app.quant.quote_noise import MODEL_FLOOR
from app.quant.quote_table import CLOCK_TOLERANCE_MS
from app.quant.screening import MAX_AGE_MS
from app.quant.smile import Dropped, ExpiryStatus, read_smiles
from tests.quant.synthetic_chain import AS_OF_MS, STRIKES, Truth, chain, changed, quotes

MONTH = Truth(days=30.0)
PUT_90, CALL_90, PUT_110, CALL_110 = 8, 9, 16, 17
"""Rows of quotes(MONTH): strikes 70, 75, ..., each a put and a call; the forward is 101."""


def only(expiry, **options):
    (smile,) = read_smiles(chain(Premium.COIN, expiry, **options)).smiles
    return smile


@pytest.mark.parametrize("premium", Premium)
def test_a_known_surface_comes_back(premium):
    truths = [Truth(7.0), Truth(30.0, 102.0, 1.0), Truth(180.0, 106.0, 1.0)]
    if premium is Premium.QUOTE:
        truths = [replace(t, discount=np.exp(-0.04 * t.t)) for t in truths]
    futures = tuple(FutureQuote(t.expiry_ms, t.forward, t.forward) for t in truths)
    read = read_smiles(chain(premium, *(quotes(t, premium, spread_vol=1e-4) for t in truths), futures=futures))
    assert read.excluded == ()
    for smile, truth in zip(read.smiles, truths, strict=True):
        assert (smile.expiry_ms, smile.t) == (truth.expiry_ms, truth.t)
        assert smile.forward == pytest.approx(truth.forward, rel=1e-7)
        assert list(smile.strike) == list(STRIKES)
        assert list(smile.is_call) == list(truth.forward < STRIKES)
        assert smile.k == pytest.approx(np.log(STRIKES / truth.forward), abs=1e-7)
        assert smile.mid_vol == pytest.approx(truth.vols(smile.k), abs=1e-5)
        assert smile.bid_vol == pytest.approx(truth.vols(smile.k) - 1e-4, abs=1e-5)
        assert smile.ask_vol == pytest.approx(truth.vols(smile.k) + 1e-4, abs=1e-5)
        assert smile.dropped == {"in_the_money": STRIKES.size}
    assert read.rate_curve.t.tolist() == [t.t for t in truths]
    assert read.rate_curve.forward_at(truths[1].t) == pytest.approx(102.0, rel=1e-7)


def test_each_quote_is_inverted_at_its_own_forward_and_time():
    rows = 2 * STRIKES.size
    ages = np.linspace(140_000, 0, rows).astype(int)
    path = 101.0 * np.exp(0.002 * np.linspace(-1.0, 0.0, rows))
    moving = quotes(MONTH, Premium.COIN, forward=path, timestamp_ms=AS_OF_MS - ages, say_forward=True)
    smile = only(moving)
    own = path[np.searchsorted(moving.strike, smile.strike) + smile.is_call]
    assert smile.k == pytest.approx(np.log(smile.strike / own), abs=1e-12)
    assert smile.mid_vol == pytest.approx(MONTH.vols(smile.k), abs=1e-4)
    assert smile.bid_vol == pytest.approx(MONTH.vols(smile.k) - 0.01, abs=1e-9)
    assert smile.forward == pytest.approx(path[-3], rel=1e-12)


BROKEN = {
    "no bid": ("bid", CALL_110, 0.0, Dropped.ONE_SIDED),
    "missing ask": ("ask", CALL_110, np.nan, Dropped.ONE_SIDED),
    "infinite ask": ("ask", CALL_110, np.inf, Dropped.NOT_FINITE),
    "infinite forward": ("forward", CALL_110, np.inf, Dropped.NOT_FINITE),
    "number out of this world": ("ask", CALL_110, 1e200, Dropped.NOT_FINITE),
    "negative bid": ("bid", CALL_110, -0.01, Dropped.NEGATIVE),
    "zero forward": ("forward", CALL_110, 0.0, Dropped.NEGATIVE),
    "crossed": ("ask", CALL_110, 0.001, Dropped.CROSSED),
    "ask above the forward": ("ask", CALL_110, 1.0, Dropped.ABOVE_BOUND),
    "old": ("timestamp_ms", CALL_110, AS_OF_MS - MAX_AGE_MS - 1, Dropped.STALE),
    "from the future": ("timestamp_ms", CALL_110, AS_OF_MS + CLOCK_TOLERANCE_MS + 1, Dropped.FUTURE),
    "in the money": ("bid_size", CALL_110, 3.0, None),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_quote_has_its_reason(case):
    column, row, value, reason = BROKEN[case]
    smile = only(changed(quotes(MONTH, Premium.COIN), column, row, value))
    expected = Counter({Dropped.IN_THE_MONEY.value: STRIKES.size})
    if reason is not None:
        expected[reason.value] += 1
    assert smile.dropped == expected
    assert (110.0 in smile.strike) == (reason is None)


def test_both_sides_missing_is_no_quote():
    expiry = changed(changed(quotes(MONTH, Premium.COIN), "bid", CALL_110, 0.0), "ask", CALL_110, np.nan)
    assert only(expiry).dropped["no_quote"] == 1


def test_a_locked_book_is_crossed():
    whole = quotes(MONTH, Premium.COIN)
    assert only(changed(whole, "bid", CALL_110, whole.ask[CALL_110])).dropped["crossed"] == 1


def test_a_premium_below_intrinsic_at_the_quotes_own_forward_says_so():
    whole = quotes(MONTH, Premium.COIN, say_forward=True)
    # A forward may run ahead by 0.1 %: the call at 101.05 is then in the money by more than its bid.
    near = quotes(MONTH, Premium.COIN, strikes=np.array([101.05]), say_forward=True)
    joined = changed(_joined(whole, near), "forward", -1, 101.11)
    smile = only(changed(joined, "bid", -1, 1e-6))
    assert smile.dropped == {"in_the_money": STRIKES.size + 1, "below_intrinsic": 1}


def test_a_forward_that_contradicts_the_others_makes_a_quote_stale():
    whole = quotes(MONTH, Premium.COIN, say_forward=True)
    smile = only(changed(whole, "forward", CALL_110, 101.0 * 1.01))
    assert smile.dropped == {"in_the_money": STRIKES.size, "stale": 1}
    assert smile.forward == pytest.approx(101.0, rel=1e-12)


def _joined(*parts):
    columns = ("strike", "is_call", "bid", "ask", "bid_size", "ask_size", "timestamp_ms", "forward")
    return ExpiryQuotes(parts[0].expiry_ms, *(np.concatenate([getattr(p, c) for p in parts]) for c in columns))


def test_of_duplicates_the_newest_is_kept_and_then_the_tightest():
    whole = quotes(MONTH, Premium.COIN)
    strike = np.array([110.0])
    older = quotes(MONTH, Premium.COIN, strikes=strike, spread_vol=0.002, timestamp_ms=AS_OF_MS - 1_000)
    tighter = quotes(MONTH, Premium.COIN, strikes=strike, spread_vol=0.003)
    smile = only(_joined(older, tighter, whole))
    assert smile.dropped == {"in_the_money": STRIKES.size, "duplicate_strike": 4}
    at = np.flatnonzero(smile.strike == 110.0)
    assert (smile.ask_vol - smile.bid_vol)[at] == pytest.approx([0.006], abs=1e-9)


def test_order_of_quotes_does_not_matter():
    whole = quotes(MONTH, Premium.COIN, say_forward=True)
    turned = np.random.default_rng(7).permutation(len(whole))
    columns = ("strike", "is_call", "bid", "ask", "bid_size", "ask_size", "timestamp_ms", "forward")
    mixed = ExpiryQuotes(whole.expiry_ms, *(getattr(whole, c)[turned] for c in columns))
    for column in ("strike", "k", "bid_vol", "ask_vol", "noise"):
        assert getattr(only(whole), column).tolist() == getattr(only(mixed), column).tolist()


def test_at_the_money_the_tighter_side_is_used():
    truth = Truth(30.0, forward=100.0)
    whole = quotes(truth, Premium.COIN, say_forward=True)
    put, call = np.flatnonzero(whole.strike == 100.0)
    wide_put = changed(whole, "ask", put, whole.ask[put] * 1.05)
    wide_call = changed(whole, "ask", call, whole.ask[call] * 1.05)
    sides = [s.is_call[s.strike == 100.0].tolist() for s in (only(wide_put), only(wide_call))]
    assert sides == [[True], [False]]
    assert only(whole).dropped == {"in_the_money": STRIKES.size}


def test_an_expiry_that_cannot_be_read_says_why():
    expired = replace(quotes(MONTH, Premium.COIN), expiry_ms=AS_OF_MS)
    unknown = replace(quotes(Truth(300.0), Premium.COIN), bid=np.zeros(2 * STRIKES.size))
    few = quotes(MONTH, Premium.COIN, strikes=np.array([90.0, 100.0, 110.0]))
    read = read_smiles(chain(Premium.COIN, expired, few, unknown))
    assert read.smiles == ()
    assert [x.status for x in read.excluded] == [
        ExpiryStatus.EXPIRED,
        ExpiryStatus.TOO_FEW_QUOTES,
        ExpiryStatus.NO_FORWARD,
    ]
    assert "3 usable" in read.excluded[1].reason
    assert "at least 5" in read.excluded[1].reason
    assert read.excluded[1].dropped == {"in_the_money": 3, "expiry_excluded": 3}
    assert read.excluded[2].dropped == {"one_sided": 2 * STRIKES.size}
    assert len(read_smiles(chain(Premium.COIN, few), min_quotes=3).smiles) == 1


def test_an_empty_chain_has_nothing():
    read = read_smiles(chain(Premium.COIN))
    assert (read.smiles, read.excluded, read.rate_curve) == ((), (), None)


def test_arrays_are_read_only():
    smile = only(quotes(MONTH, Premium.COIN))
    for name in ("strike", "is_call", "k", "bid_vol", "ask_vol", "mid_vol", "noise"):
        assert not getattr(smile, name).flags.writeable


def test_the_same_chain_gives_the_same_bytes():
    first, second = (only(quotes(MONTH, Premium.COIN)) for _ in range(2))
    assert all(
        getattr(first, n).tobytes() == getattr(second, n).tobytes() for n in ("k", "bid_vol", "ask_vol", "noise")
    )


NUMBER = st.one_of(
    st.floats(),
    st.sampled_from([0.0, -1.0, np.nan, np.inf, 5e-324, 1e-15, 1e15, 1.0, 100.0]),
    st.floats(1e-4, 0.3),
    st.floats(1e-4, 0.3),
)
STRIKE = st.one_of(st.sampled_from(STRIKES.tolist()), st.sampled_from(STRIKES.tolist()), st.floats(5e-324, 1.7e308))
STAMP = st.one_of(st.just(AS_OF_MS), st.integers(AS_OF_MS - 10**6, AS_OF_MS + 10**4), st.integers(-(2**63), 2**63 - 1))


@st.composite
def garbage(draw):
    """A chain of any numbers its contract admits, on the skeleton of a real one or on none."""
    offsets = draw(st.lists(st.sampled_from([-1, 0, 1, 60_000, 10**8, 10**10]), unique=True, max_size=3))
    premium = draw(st.sampled_from(list(Premium)))
    expiries = []
    for offset in sorted(offsets):
        base = quotes(
            Truth(days=offset / 86_400_000 if offset > 10**6 else 1.0), premium, say_forward=draw(st.booleans())
        )
        base = replace(base, expiry_ms=AS_OF_MS + offset)
        for column, values in (("strike", STRIKE), ("bid", NUMBER), ("ask", NUMBER), ("bid_size", NUMBER)):
            base = _spoiled(draw, base, column, values)
        for column, values in (("ask_size", NUMBER), ("timestamp_ms", STAMP), ("forward", NUMBER)):
            base = _spoiled(draw, base, column, values)
        expiries.append(base)
    futures = tuple(FutureQuote(AS_OF_MS + o, draw(NUMBER), draw(NUMBER)) for o in offsets if draw(st.booleans()))
    rules = TradingRules(tick=0.0001, tick_threshold=0.005, tick_above=0.0005, fee=0.0003, fee_cap=0.125)
    return chain(premium, *expiries, futures=futures, rules=rules)


def _spoiled(draw, expiry, column, values):
    rows = draw(st.lists(st.integers(0, len(expiry) - 1), max_size=6))
    return changed(expiry, column, rows, [draw(values) for _ in rows])


@settings(deadline=None, max_examples=150)
@given(garbage(), st.integers(0, 6))
def test_any_numbers_every_quote_is_used_or_has_one_reason(source: OptionChain, min_quotes: int):
    read = read_smiles(source, min_quotes=min_quotes)
    size = {e.expiry_ms: len(e) for e in source.expiries}
    assert sorted([s.expiry_ms for s in read.smiles] + [x.expiry_ms for x in read.excluded]) == sorted(size)
    for smile in read.smiles:
        assert len(smile) >= min_quotes
        assert len(smile) + sum(smile.dropped.values()) == size[smile.expiry_ms]
        assert np.isfinite([smile.k, smile.bid_vol, smile.ask_vol, smile.noise]).all()
        assert (smile.bid_vol > 0.0).all()
        assert (smile.bid_vol < smile.ask_vol).all()
        assert (np.diff(smile.strike) > 0.0).all()
        assert (smile.noise >= MODEL_FLOOR).all()
        assert 0.0 < smile.forward < np.inf
        assert 0.0 < smile.forward_sd <= 0.01 * smile.forward
    for expiry in read.excluded:
        assert sum(expiry.dropped.values()) == size[expiry.expiry_ms]
        assert expiry.reason
