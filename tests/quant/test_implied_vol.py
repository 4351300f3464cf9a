import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.special import log_ndtr

from app.quant.black import black_price, otm_price
from app.quant.implied_deviation import GUESS_DENOMINATOR, GUESS_NUMERATOR
from app.quant.implied_vol import IvStatus, implied_vol, otm_deviation
from tests.quant.exact_black import implied_deviation
from tests.reference.derive_coefficients import bachelier_guess

unhurried = settings(deadline=None)
"""The first call compiles."""

REFERENCE = Path(__file__).parents[1] / "reference"
OK = IvStatus.OK


def random_quotes(seed, n, deviations, distances):
    """Return (strike, out-of-the-money price, deviation) at a forward of 100, log-uniform in deviation."""
    rng = np.random.default_rng(seed)
    deviation = np.exp(rng.uniform(*np.log(deviations), n))
    strike = 100.0 * np.exp(deviation * rng.uniform(-distances, distances, n))
    price = 100.0 * otm_price(np.log(strike / 100.0), deviation)
    return strike, price, deviation


@pytest.mark.parametrize(
    ("deviations", "distances", "worst"),
    [((5e-4, 4e-3), 14.0, 1e-14), ((4e-3, 6.0), 14.0, 1e-14), ((0.01, 1.5), 3.0, 1e-14), ((1e-7, 1e-4), 5.0, 1e-14)],
)
def test_against_mpmath(deviations, distances, worst):
    strike, price, deviation = random_quotes(17, 100, deviations, distances)
    implied = implied_vol(price, 100.0, strike, 1.0, strike >= 100.0)
    assert (implied.status == OK).all()
    exact = [implied_deviation(100.0, *point) for point in zip(strike, price, deviation, strict=True)]
    errors = [abs(float(s / e) - 1.0) for s, e in zip(implied.vol, exact, strict=True)]
    assert max(errors) < worst


def test_lets_be_rational_values():
    document = json.loads((REFERENCE / "lets_be_rational.json").read_text())
    is_call, forward, strike, t, vol, price, expected = np.array(document["rows"]).T
    np.testing.assert_allclose(black_price(forward, strike, vol, t, is_call == 1), price, rtol=2e-12, atol=0.0)
    implied = implied_vol(price, forward, strike, t, is_call == 1)
    intrinsic = np.maximum(np.where(is_call == 1, forward - strike, strike - forward), 0.0)
    time_value = price - intrinsic
    assert (implied.status[time_value > 1e-11 * price] == OK).all()
    well_posed = time_value > 1e-3 * price
    assert well_posed.sum() > 150
    np.testing.assert_allclose(implied.vol[well_posed], expected[well_posed], rtol=5e-12)


@unhurried
@given(
    st.floats(1e-3, 1e6),
    st.floats(-8.0, 8.0),
    st.floats(0.05, 4.0),
    st.floats(1e-5, 3.0),
)
def test_out_of_the_money_prices_give_their_vol_back(forward, distance, vol, t):
    strike = forward * math.exp(distance * vol * math.sqrt(t))
    is_call = strike >= forward
    implied = implied_vol(black_price(forward, strike, vol, t, is_call), forward, strike, t, is_call)
    assert implied.status == OK
    # One rounding unit of the price is worth 1 / (d ln price / d ln vol) units of vol, many where it nears its bound.
    s = vol * math.sqrt(t)
    ceiling = 2e-15 + 1e-15 * math.exp(0.5 * max(0.5 * s - abs(distance), 0.0) ** 2)
    assert implied.vol == pytest.approx(vol, rel=8.0 * ceiling)


@unhurried
@given(st.floats(-1.5, 1.5), st.floats(0.2, 2.0))
def test_in_the_money_prices_are_reduced_by_parity(distance, vol):
    strike = 100.0 * math.exp(distance * vol)
    call, put = implied_vol(black_price(100.0, strike, vol, 1.0, [True, False]), 100.0, strike, 1.0, [True, False]).vol
    assert call == pytest.approx(put, rel=1e-12)


@unhurried
@given(st.floats(-8.0, 8.0), st.floats(1e-4, 5.0))
def test_otm_deviation_inverts_otm_price(distance, deviation):
    k = distance * deviation
    implied = otm_deviation(k, otm_price(k, deviation))
    assert implied.status == OK
    ceiling = 2e-15 + 1e-15 * math.exp(0.5 * max(0.5 * deviation - abs(distance), 0.0) ** 2)
    assert implied.deviation == pytest.approx(deviation, rel=8.0 * ceiling)


def test_vol_rises_with_price():
    price = np.linspace(0.001, 30.0, 400)
    assert (np.diff(implied_vol(price, 100.0, 105.0, 0.5, True).vol) > 0.0).all()


@pytest.mark.parametrize(
    ("price", "forward", "strike", "t", "is_call", "status"),
    [
        (10.0, 100.0, 90.0, 1.0, True, IvStatus.NO_TIME_VALUE),
        (0.0, 100.0, 110.0, 1.0, True, IvStatus.NO_TIME_VALUE),
        (0.0, 100.0, 100.0, 1.0, False, IvStatus.NO_TIME_VALUE),
        (np.nextafter(10.0, 0.0), 100.0, 90.0, 1.0, True, IvStatus.BELOW_INTRINSIC),
        (0.0, 100.0, 90.0, 1.0, True, IvStatus.BELOW_INTRINSIC),
        (-1.0, 100.0, 110.0, 1.0, True, IvStatus.BELOW_INTRINSIC),
        (100.0, 100.0, 110.0, 1.0, True, IvStatus.ABOVE_BOUND),
        (100.0, 100.0, 90.0, 1.0, True, IvStatus.ABOVE_BOUND),
        (90.0, 100.0, 90.0, 1.0, False, IvStatus.ABOVE_BOUND),
        (1e6, 100.0, 90.0, 1.0, False, IvStatus.ABOVE_BOUND),
        (np.nextafter(100.0, 0.0), 100.0, 110.0, 1.0, True, IvStatus.NOT_RECOVERABLE),
        (100.0 * (1.0 - 9e-13), 100.0, 110.0, 1.0, True, IvStatus.NOT_RECOVERABLE),
        (100.0 * (1.0 - 2e-12), 100.0, 110.0, 1.0, True, IvStatus.OK),
        (np.nextafter(10.0, 11.0), 100.0, 90.0, 1.0, True, IvStatus.NOT_RECOVERABLE),
        (10.0 * (1.0 + 2e-12), 100.0, 90.0, 1.0, True, IvStatus.OK),
        (1e-310, 100.0, 110.0, 1.0, True, IvStatus.NOT_RECOVERABLE),
        (1e-290, 100.0, 110.0, 1.0, True, IvStatus.OK),
        (np.nan, 100.0, 110.0, 1.0, True, IvStatus.INVALID),
        (np.inf, 100.0, 110.0, 1.0, True, IvStatus.INVALID),
        (5.0, np.nan, 110.0, 1.0, True, IvStatus.INVALID),
        (5.0, 0.0, 110.0, 1.0, True, IvStatus.INVALID),
        (5.0, 100.0, -1.0, 1.0, True, IvStatus.INVALID),
        (5.0, 100.0, np.inf, 1.0, True, IvStatus.INVALID),
        (5.0, 100.0, 110.0, 0.0, True, IvStatus.INVALID),
        (5.0, 100.0, 110.0, np.nan, True, IvStatus.INVALID),
    ],
)
def test_status(price, forward, strike, t, is_call, status):
    implied = implied_vol(price, forward, strike, t, is_call)
    assert IvStatus(implied.status) is status
    assert np.isnan(implied.vol) == (status is not OK)


@pytest.mark.parametrize(
    ("k", "price", "status"),
    [
        (0.1, 0.0, IvStatus.NO_TIME_VALUE),
        (0.1, -0.1, IvStatus.BELOW_INTRINSIC),
        (0.1, 1.0, IvStatus.ABOVE_BOUND),
        (-0.1, 0.91, IvStatus.ABOVE_BOUND),
        (0.1, 1.0 - 1e-13, IvStatus.NOT_RECOVERABLE),
        (0.1, 1e-309, IvStatus.NOT_RECOVERABLE),
        (np.inf, 0.1, IvStatus.INVALID),
        (0.1, np.nan, IvStatus.INVALID),
    ],
)
def test_status_of_deviations(k, price, status):
    implied = otm_deviation(k, price)
    assert IvStatus(implied.status) is status
    assert np.isnan(implied.deviation)


def test_any_finite_quote_has_a_vol_or_a_reason():
    rng = np.random.default_rng(23)
    n = 20_000
    forward = 10.0 ** rng.uniform(-300.0, 300.0, n)
    strike = forward * np.exp(rng.normal(0.0, 3.0, n))
    is_call = rng.random(n) < 0.5
    intrinsic = np.maximum(np.where(is_call, forward - strike, strike - forward), 0.0)
    share = rng.random(n) ** rng.choice([1, 10, 100], n)
    implied = implied_vol(intrinsic + share * np.minimum(forward, strike), forward, strike, 0.5, is_call)
    solved = implied.status == OK
    assert 0.2 < solved.mean() < 1.0
    np.testing.assert_array_equal(np.isfinite(implied.vol), solved)
    assert (implied.vol[solved] > 0.0).all()


def test_a_result_depends_on_its_own_quote_alone():
    strike, price, _ = random_quotes(29, 203, (1e-3, 6.0), 10.0)
    batch = implied_vol(price, 100.0, strike, 0.3, strike >= 100.0).vol
    reversed_batch = implied_vol(price[::-1], 100.0, strike[::-1], 0.3, strike[::-1] >= 100.0).vol[::-1]
    alone = [implied_vol(p, 100.0, k, 0.3, k >= 100.0).vol for p, k in zip(price, strike, strict=True)]
    assert batch.tobytes() == reversed_batch.tobytes()
    assert batch.tobytes() == np.array(alone).tobytes()


def test_compiled_solver_agrees_with_a_plain_twin():
    def twin(k, price):
        def excess(s):
            low, high = -abs(k) / s + 0.5 * s, -abs(k) / s - 0.5 * s
            value = log_ndtr(low) + math.log1p(-math.exp(abs(k) + log_ndtr(high) - log_ndtr(low)))
            return min(k, 0.0) + value - math.log(price)

        return brentq(excess, 1e-3, 20.0, xtol=1e-15, rtol=1e-14)

    strike, price, _ = random_quotes(31, 60, (0.05, 3.0), 4.0)
    k = np.log(strike / 100.0)
    deviation = otm_deviation(k, price / 100.0).deviation
    np.testing.assert_allclose(deviation, [twin(*p) for p in zip(k, price / 100.0, strict=True)], rtol=1e-12)


def test_shapes_broadcast_and_differ_loudly():
    assert implied_vol([[5.0], [6.0]], 100.0, [100.0, 101.0, 102.0], 0.5, True).vol.shape == (2, 3)
    assert implied_vol(5.0, 100.0, 100.0, 0.5, True).status.shape == ()
    assert implied_vol([], 100.0, [], 0.5, True).vol.shape == (0,)
    with pytest.raises(ValueError, match="broadcast"):
        implied_vol([1.0, 2.0], 100.0, [1.0, 2.0, 3.0], 0.5, True)


def test_inputs_are_left_as_they_were():
    price = np.array([5.0, 6.0])
    price.setflags(write=False)
    implied_vol(price, 100.0, 100.0, 0.5, True)
    np.testing.assert_array_equal(price, [5.0, 6.0])


def test_stored_guess_is_the_derived_one():
    numerator, denominator = bachelier_guess()
    np.testing.assert_array_equal(GUESS_NUMERATOR, numerator)
    np.testing.assert_array_equal(GUESS_DENOMINATOR, denominator)
