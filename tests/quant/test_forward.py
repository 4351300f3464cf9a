import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.quant.chain import FutureQuote, Premium
from app.quant.forward import MAX_FORWARD_SD, infer_forwards
from app.quant.forward_evidence import JITTER_SD, MOVE_VOL, QUOTED_SD, STALE_SIGMAS, mark_stale
from app.quant.year_fraction import MS_PER_DAY, MS_PER_YEAR
from app.venues import VENUES
from tests.quant.synthetic_chain import AS_OF_MS, STRIKES, Truth, chain, changed, quotes

DATA = Path(__file__).parents[1] / "data"
MONTH = Truth(days=30.0)


def recorded(name):
    return VENUES["deribit"].parse(gzip.decompress((DATA / name).read_bytes()), received_ms=0)


def future(truth, forward=None, half_spread=0.01):
    middle = truth.forward if forward is None else forward
    return FutureQuote(truth.expiry_ms, middle - half_spread, middle + half_spread)


@pytest.mark.parametrize("premium", Premium)
def test_parity_alone_gives_back_the_forward(premium):
    truth = Truth(days=30.0, discount=1.0 if premium is Premium.COIN else 0.997)
    (found,) = infer_forwards(chain(premium, quotes(truth, premium, spread_vol=1e-6)))
    assert found.sources == ("parity",)
    assert found.value == pytest.approx(truth.forward, rel=1e-7)
    assert found.discount_factor == pytest.approx(truth.discount, rel=1e-6)


def test_linear_discount_factors_are_told_apart_and_the_doubtful_one_leans_on_the_others():
    rate = 0.05
    truths = [Truth(days, discount=np.exp(-rate * days / 365)) for days in (20.0, 90.0, 180.0, 360.0)]
    expiries = [quotes(t, Premium.QUOTE, spread_vol=1e-4) for t in truths]
    thin = Truth(100.0, discount=np.exp(-rate * 100 / 365))
    # Three strikes in a row and a wide spread tell a forward, but no slope.
    expiries.insert(2, quotes(thin, Premium.QUOTE, strikes=np.array([99.0, 100.0, 101.0]), spread_vol=0.01))
    truths.insert(2, thin)
    found = infer_forwards(chain(Premium.QUOTE, *expiries))
    assert [f.discount_factor for f in found] == pytest.approx([t.discount for t in truths], abs=3e-4)
    assert [f.value for f in found] == pytest.approx([t.forward for t in truths], rel=1e-4)
    (alone,) = infer_forwards(chain(Premium.QUOTE, expiries[2]))
    assert abs(alone.discount_factor - thin.discount) > abs(found[2].discount_factor - thin.discount)


@pytest.mark.parametrize("premium", Premium)
def test_one_broken_option_moves_the_forward_by_less_than_its_sd(premium):
    whole = quotes(MONTH, premium)
    broken = changed(changed(whole, "bid", 8, whole.bid[8] * 1.3), "ask", 8, whole.ask[8] * 1.3)
    (found,) = infer_forwards(chain(premium, broken))
    assert abs(found.value - MONTH.forward) < found.sd


def test_a_future_is_weighed_by_its_spread():
    tight = infer_forwards(chain(Premium.COIN, quotes(MONTH, Premium.COIN), futures=(future(MONTH, 101.01, 0.002),)))[0]
    wide = infer_forwards(chain(Premium.COIN, quotes(MONTH, Premium.COIN), futures=(future(MONTH, 101.01, 0.5),)))[0]
    assert tight.sources == wide.sources == ("future", "parity")
    assert tight.value == pytest.approx(101.01, abs=0.002)
    assert wide.value == pytest.approx(MONTH.forward, abs=0.002)
    assert tight.sd < wide.sd


def test_a_future_one_percent_off_is_outvoted_by_parity():
    (found,) = infer_forwards(
        chain(Premium.COIN, quotes(MONTH, Premium.COIN), futures=(future(MONTH, MONTH.forward * 1.01),))
    )
    (alone,) = infer_forwards(chain(Premium.COIN, quotes(MONTH, Premium.COIN)))
    assert found.sources == ("parity",)
    assert found.value == alone.value
    assert found.sd > 2.0 * alone.sd


def test_quoted_forwards_one_percent_off_are_outvoted_by_parity():
    truthful = quotes(MONTH, Premium.COIN, say_forward=True)
    wrong = replace(truthful, forward=truthful.forward * 1.01)
    (found,) = infer_forwards(chain(Premium.COIN, wrong))
    assert found.sources == ("parity",)
    assert found.value == pytest.approx(MONTH.forward, abs=found.sd)


def test_parity_one_percent_off_is_outvoted_by_future_and_quotes_together():
    truthful = quotes(MONTH, Premium.COIN, say_forward=True)
    shifted = replace(quotes(Truth(30.0, forward=102.01), Premium.COIN), forward=truthful.forward)
    (found,) = infer_forwards(chain(Premium.COIN, shifted, futures=(future(MONTH),)))
    assert found.sources == ("future", "quoted")
    assert found.value == pytest.approx(MONTH.forward, rel=1e-4)


def test_the_newest_quoted_forward_speaks_and_its_age_is_in_the_sd():
    rows = 2 * STRIKES.size
    ages_ms = np.linspace(100_000, 20_000, rows).astype(int)
    path = 101.0 * (1.0 + 0.001 * np.linspace(0.0, 1.0, rows))
    moving = quotes(MONTH, Premium.COIN, forward=path, timestamp_ms=AS_OF_MS - ages_ms, say_forward=True)
    (found,) = infer_forwards(chain(Premium.COIN, moving))
    assert found.value == pytest.approx(path[-3], rel=1e-12)  # the median of the newest five
    assert found.sources == ("parity", "quoted")
    (fresh,) = infer_forwards(chain(Premium.COIN, replace(moving, timestamp_ms=np.full(rows, AS_OF_MS))))
    assert fresh.sd == pytest.approx(QUOTED_SD * fresh.value, rel=1e-9)
    assert found.sd > 3.0 * fresh.sd


def test_an_expiry_without_a_future_lies_between_its_neighbours():
    near, far = Truth(10.0, forward=100.0), Truth(50.0, forward=102.0)
    silent = quotes(Truth(30.0), Premium.COIN)
    silent = replace(silent, ask=np.full(len(silent), np.nan))
    found = infer_forwards(chain(Premium.COIN, silent, futures=(future(near), future(far))))[0]
    assert found.sources == ("interpolated",)
    assert found.value == pytest.approx(np.sqrt(100.0 * 102.0), rel=1e-12)
    assert found.sd > 0.0005 * found.value


def test_a_silent_expiry_lies_between_expiries_known_from_parity():
    silent = replace(quotes(Truth(30.0), Premium.COIN), bid=np.zeros(2 * STRIKES.size))
    near, far = Truth(20.0, forward=100.0), Truth(40.0, forward=102.0)
    found = infer_forwards(chain(Premium.COIN, quotes(near, Premium.COIN), silent, quotes(far, Premium.COIN)))[1]
    assert found.sources == ("interpolated",)
    assert found.value == pytest.approx(np.sqrt(100.0 * 102.0), abs=found.sd)


def test_nothing_known_and_expired_are_none():
    silent = replace(quotes(MONTH, Premium.COIN), bid=np.zeros(2 * STRIKES.size))
    assert infer_forwards(chain(Premium.COIN, silent)) == (None,)
    expired = replace(quotes(MONTH, Premium.COIN, say_forward=True), expiry_ms=AS_OF_MS)
    assert infer_forwards(chain(Premium.COIN, expired)) == (None,)
    assert infer_forwards(chain(Premium.COIN)) == ()


def test_a_far_extrapolation_is_no_knowledge():
    silent = replace(quotes(Truth(300.0), Premium.COIN), bid=np.zeros(2 * STRIKES.size))
    assert MAX_FORWARD_SD < 0.1 * 290 / 365
    assert infer_forwards(chain(Premium.COIN, silent, futures=(future(Truth(10.0)),))) == (None,)


@pytest.mark.parametrize(
    "name", ["deribit_btc_2023-04-12_5min_line.json.gz", "deribit_eth_2023-04-12_5min_line.json.gz"]
)
def test_recorded_parity_agrees_with_the_venues_forward_within_its_sd(name):
    """Deribit says `underlying_price`; without it parity must find it, and say truly how well."""
    told = recorded(name)
    # Parity needs contemporaneous legs: scale every strike to the newest forward instead of hiding the moves.
    scores = []
    for expiry in told.expiries:
        newest = np.median(expiry.forward[np.argsort(expiry.timestamp_ms)[-5:]])
        still = replace(expiry, strike=expiry.strike * newest / expiry.forward, forward=np.full(len(expiry), np.nan))
        paired = changed(still, "strike", slice(None), _common(expiry.strike, still.strike))
        (found,) = infer_forwards(replace(told, expiries=(paired,), as_of_ms=int(expiry.timestamp_ms.max())))
        if found is not None:
            scores.append((found.value - newest) / found.sd)
    assert len(scores) >= 8
    assert np.sqrt(np.mean(np.square(scores))) < 1.5
    assert np.abs(scores).max() < 4.0


def _common(listed, scaled):
    """Give the call and the put of one listed strike the same scaled strike."""
    strikes, place = np.unique(listed, return_inverse=True)
    return (np.bincount(place, scaled) / np.bincount(place, minlength=strikes.size))[place]


def test_recorded_parity_agrees_with_listed_futures_within_its_sd():
    told = recorded("deribit_btc_chain_2026-08-01T175804Z.json.gz")
    middle = {f.expiry_ms: 0.5 * (f.bid + f.ask) for f in told.futures}
    found = infer_forwards(replace(told, futures=()))
    assert len(found) == 13
    for expiry, forward in zip(told.expiries, found, strict=True):
        assert forward.sources == ("parity",)
        assert forward.sd < 5e-4 * forward.value
        assert abs(forward.value - middle[expiry.expiry_ms]) < 3.0 * forward.sd
    for expiry, forward in zip(told.expiries, infer_forwards(told), strict=True):
        assert forward.sources == ("future", "parity")
        assert forward.value == pytest.approx(middle[expiry.expiry_ms], rel=1e-4)
        assert expiry.expiry_ms % MS_PER_DAY == MS_PER_DAY // 3


def test_the_kernel_finds_the_stale_that_numpy_finds():
    rng = np.random.default_rng(5)
    n, expiries = 400, 6
    expiry, age_ms, has = rng.integers(0, expiries, n), rng.uniform(0.0, 6e5, n), rng.random(n) < 0.8
    quoted, newest = rng.uniform(90.0, 110.0, expiries), rng.uniform(0.0, 1e4, expiries)
    forward = np.where(has, quoted[expiry] * np.exp(rng.normal(scale=0.03, size=n)), np.nan)
    stale = np.zeros(n, dtype=np.bool_)
    mark_stale(expiry, age_ms, forward, has, quoted, newest, stale)
    apart = np.abs(age_ms - newest[expiry]) / MS_PER_YEAR
    tolerance = STALE_SIGMAS * np.sqrt(JITTER_SD**2 + MOVE_VOL**2 * apart)
    assert 0.2 < stale.mean() < 0.8
    assert (stale == (has & (np.abs(np.log(forward / quoted[expiry])) > tolerance))).all()
