import numpy as np
import pytest

from app.quant.black import black_price
from app.quant.chain import Premium, TradingRules
from app.quant.implied_vol import implied_vol
from app.quant.quote_noise import MODEL_FLOOR, depth_multiplier, quote_noise, tick_size, trading_fee
from app.quant.year_fraction import MS_PER_YEAR

DERIBIT = TradingRules(tick=0.0001, tick_threshold=0.005, tick_above=0.0005, fee=0.0003, fee_cap=0.125)
VOL, FORWARD, T = 0.75, 50_000.0, 30 / 365


def noise(strike=60_000.0, is_call=True, premium=Premium.COIN, half_spread=0.0, **changes):
    quote = {"forward_sd": 0.0, "tick": 0.0, "age_ms": 0.0, "depth_factor": 1.0} | changes
    return quote_noise(
        forward=np.array([FORWARD]),
        strike=np.array([strike]),
        t=np.array([T]),
        is_call=np.array([is_call]),
        bid_vol=np.array([VOL - half_spread]),
        ask_vol=np.array([VOL + half_spread]),
        premium=premium,
        **{name: np.array([value]) for name, value in quote.items()},
    )[0]


def test_without_any_error_the_floor_remains():
    assert noise() == pytest.approx(MODEL_FLOOR)


def test_parts_add_in_squares():
    parts = [{"half_spread": 0.01}, {"tick": 5.0}, {"forward_sd": 20.0}, {"age_ms": 60_000.0}]
    everything = {name: value for part in parts for name, value in part.items()}
    single = sum(noise(**part) ** 2 - MODEL_FLOOR**2 for part in parts)
    assert noise(**everything) ** 2 == pytest.approx(single + MODEL_FLOOR**2, rel=1e-12)


def test_a_spread_is_two_sds_to_either_side_and_depth_scales_it():
    assert np.sqrt(noise(half_spread=0.02) ** 2 - MODEL_FLOOR**2) == pytest.approx(0.01)
    assert np.sqrt(noise(half_spread=0.02, depth_factor=3.0) ** 2 - MODEL_FLOOR**2) == pytest.approx(0.03)


def test_half_a_tick_in_vol():
    """F=50000, K=60000, 30 days, 75 %: half a tick of 0.0001 coin is 0.0575 vol points, sqrt(3) sds of a uniform."""
    rounding = np.sqrt(noise(tick=0.0001 * FORWARD) ** 2 - MODEL_FLOOR**2)
    assert rounding * np.sqrt(3.0) == pytest.approx(0.000575, abs=5e-7)


@pytest.mark.parametrize("premium", Premium)
@pytest.mark.parametrize(("strike", "is_call"), [(60_000.0, True), (40_000.0, False)])
def test_forward_error_is_the_slope_of_the_implied_vol(premium, strike, is_call):
    step = 1.0
    price = black_price(FORWARD, strike, VOL, T, is_call)

    def vol_at(forward):
        premium_kept = price * forward / FORWARD if premium is Premium.COIN else price
        arguments = (np.atleast_1d(x) for x in (premium_kept, forward, strike, T, is_call))
        return implied_vol(*arguments).vol[0]

    slope = (vol_at(FORWARD + step) - vol_at(FORWARD - step)) / (2.0 * step)
    moved = np.sqrt(noise(strike, is_call, premium, forward_sd=100.0) ** 2 - MODEL_FLOOR**2)
    assert moved == pytest.approx(abs(slope) * 100.0, rel=1e-5)


def test_age_grows_with_its_root():
    aged = [np.sqrt(noise(age_ms=age) ** 2 - MODEL_FLOOR**2) for age in (60_000.0, 240_000.0)]
    assert aged[1] == pytest.approx(2.0 * aged[0], rel=1e-9)
    assert aged[0] == pytest.approx(VOL * np.sqrt(60_000.0 / MS_PER_YEAR), rel=1e-9)
    assert noise(age_ms=-3_000.0) == noise()


def test_tick_and_fee_schedules():
    premium = np.array([0.0002, 0.0049, 0.005, 0.1])
    assert tick_size(premium, DERIBIT).tolist() == [0.0001, 0.0001, 0.0005, 0.0005]
    assert trading_fee(premium, DERIBIT) == pytest.approx([0.000025, 0.0003, 0.0003, 0.0003])
    assert tick_size(premium, TradingRules()).tolist() == [0.0] * 4


def test_depth_is_relative_to_the_median_and_unknown_depth_is_neutral():
    factor = depth_multiplier(np.array([10.0, 1.0, 100.0, np.nan, 0.0]), np.array([20.0, 50.0, 100.0, 5.0, 5.0]))
    assert factor[0] == pytest.approx(1.0)
    assert factor[1] > 1.0 > factor[2]
    assert factor[3:].tolist() == [1.0, 1.0]
    assert factor[1] == pytest.approx(2.0 / (1.0 + np.sqrt(0.1)))
    assert depth_multiplier(np.full(2, np.nan), np.ones(2)).tolist() == [1.0, 1.0]
