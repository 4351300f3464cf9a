import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.quant.black import black_greeks, black_price, black_vega, otm_price
from app.quant.errors import InvalidParameters
from tests.quant.exact_black import otm_over_forward

unhurried = settings(deadline=None)
"""The first call compiles."""

REFERENCE = json.loads((Path(__file__).parents[1] / "reference" / "black76.json").read_text())
INPUTS = ("forward", "strike", "vol", "t")
GREEKS = ("delta", "delta_net", "gamma", "vega", "theta", "vanna", "volga")

forwards = st.floats(1e-3, 1e6)
log_moneyness = st.floats(-3.0, 3.0)
vols = st.floats(0.02, 3.0)
times = st.floats(1e-4, 3.0)


@pytest.mark.parametrize("case", REFERENCE["cases"], ids=lambda c: f"{c['forward']}/{c['strike']}")
def test_price_and_greeks_against_mpmath(case):
    inputs = [float(Fraction(case[name])) for name in INPUTS]
    # ln(K/F) as a double moves the price by h^2 rounding units at h standard deviations.
    h = abs(np.log(inputs[1] / inputs[0])) / (inputs[2] * np.sqrt(inputs[3]))
    rel = (10.0 + 2.0 * h * h) * 2.0**-53 + 1e-15
    assert black_price(*inputs, case["is_call"]) == pytest.approx(float(case["price"]), rel=rel)
    assert black_vega(*inputs) == pytest.approx(float(case["vega"]), rel=rel)
    greeks = black_greeks(*inputs, case["is_call"])
    for name in GREEKS:
        assert getattr(greeks, name) == pytest.approx(float(case[name]), rel=rel), name


@pytest.mark.parametrize("case", REFERENCE["normalised"], ids=lambda c: f"{c['x']}/{c['s']}")
def test_otm_price_against_tabulated_values(case):
    k, s = abs(float(case["x"])), float(case["s"])
    expected = float(case["b"])
    # The decimal inputs as doubles move the price by h^2 rounding units; below 1e-307 it has few digits left.
    rel = (20.0 + 2.0 * (k / s) ** 2) * 2.0**-53 if expected > 1e-307 else 1e-2
    assert otm_price(k, s) * np.exp(-0.5 * k) == pytest.approx(expected, rel=rel, abs=0.0)


def test_otm_price_keeps_its_digits_in_the_far_wings():
    rng = np.random.default_rng(5)
    s = 10.0 ** rng.uniform(-7.0, 1.1, 250)
    k = s * rng.uniform(-36.0, 36.0, 250)
    exact = np.array([float(otm_over_forward(*point)) for point in zip(k, s, strict=True)])
    worst = np.max(np.abs(otm_price(k, s) / exact - 1.0))
    assert worst < 1e-14


def test_otm_price_limits():
    np.testing.assert_array_equal(otm_price([0.5, 0.0, -0.5, 1.0], [0.0, 0.0, 0.0, 1e-310]), 0.0)
    np.testing.assert_array_equal(otm_price([0.0, 2.0], [1e308, 1e308]), 1.0)
    assert otm_price(-2.0, 1e308) == np.exp(-2.0)
    assert np.isnan(otm_price([np.nan, 1.0], [1.0, np.nan])).all()


@unhurried
@given(forwards, log_moneyness, vols, times)
def test_put_call_parity_and_bounds(forward, k, vol, t):
    strike = forward * np.exp(k)
    call, put = black_price(forward, strike, vol, t, [True, False])
    scale = max(forward, strike)
    assert call - put == pytest.approx(forward - strike, abs=1e-15 * scale)
    assert max(forward - strike, 0.0) <= call <= forward
    assert max(strike - forward, 0.0) <= put <= strike


@unhurried
@given(forwards, log_moneyness, vols, times, st.booleans())
def test_price_rises_with_vol(forward, k, vol, t, is_call):
    strike = forward * np.exp(k)
    low, high = black_price(forward, strike, [vol, 1.05 * vol], t, is_call)
    assert high >= low


@unhurried
@given(st.floats(-1.5, 1.5), st.floats(0.2, 1.5), st.floats(0.05, 2.0), st.booleans())
def test_greeks_are_the_derivatives_of_the_price(k, vol, t, is_call):
    forward, strike = 100.0, 100.0 * np.exp(k)
    greeks = black_greeks(forward, strike, vol, t, is_call)

    def price(f=forward, v=vol, time=t):
        return black_price(f, strike, v, time, is_call)

    df, dv, dt = 1e-4 * forward, 1e-4, 1e-4 * t
    assert greeks.delta == pytest.approx((price(f=forward + df) - price(f=forward - df)) / (2 * df), abs=3e-6)
    assert greeks.delta_net == pytest.approx(greeks.delta - price() / forward, abs=1e-14)
    gamma = (price(f=forward + df) - 2 * price() + price(f=forward - df)) / df**2
    assert greeks.gamma == pytest.approx(gamma, abs=1e-6)
    assert greeks.vega == pytest.approx((price(v=vol + dv) - price(v=vol - dv)) / (2 * dv), abs=1e-4)
    assert greeks.theta == pytest.approx(-(price(time=t + dt) - price(time=t - dt)) / (2 * dt), rel=1e-5, abs=1e-5)
    vega_up, vega_down = black_vega(forward, strike, [vol + dv, vol - dv], t)
    assert greeks.volga == pytest.approx((vega_up - vega_down) / (2 * dv), rel=1e-5, abs=1e-3)
    delta_up, delta_down = black_greeks(forward, strike, [vol + dv, vol - dv], t, is_call).delta
    assert greeks.vanna == pytest.approx((delta_up - delta_down) / (2 * dv), rel=1e-5, abs=1e-5)


def test_shapes_broadcast():
    price = black_price(100.0, [[90.0], [110.0]], 0.5, [0.1, 0.2, 0.3], True)
    assert price.shape == (2, 3)
    assert price[1, 2] == black_price(100.0, 110.0, 0.5, 0.3, True)
    assert black_greeks([100.0, 101.0], 100.0, 0.5, 0.1, True).vega.shape == (2,)


def test_no_time_or_no_vol_leaves_intrinsic_value():
    np.testing.assert_array_equal(black_price(100.0, [90.0, 110.0], 0.0, 1.0, [True, True]), [10.0, 0.0])
    np.testing.assert_array_equal(black_price(100.0, [90.0, 110.0], 0.5, 0.0, [False, False]), [0.0, 10.0])


def test_unknown_in_unknown_out():
    price = black_price([100.0, np.nan, 100.0], 100.0, [0.5, 0.5, np.nan], 1.0, True)
    np.testing.assert_array_equal(np.isnan(price), [False, True, True])
    assert np.isnan(black_greeks(100.0, 100.0, np.nan, 1.0, True).gamma)


@pytest.mark.parametrize(
    "inputs", [(-1.0, 1.0, 0.5, 1.0), (1.0, 0.0, 0.5, 1.0), (1.0, 1.0, -0.5, 1.0), (1.0, 1.0, 0.5, np.inf)]
)
def test_outside_the_domain_raises_with_the_values(inputs):
    for evaluate in (
        lambda: black_price(*inputs, True),
        lambda: black_vega(*inputs),
        lambda: black_greeks(*inputs, True),
    ):
        with pytest.raises(InvalidParameters, match=str(inputs[0])):
            evaluate()


def test_greeks_need_time_and_vol():
    with pytest.raises(InvalidParameters, match="positive"):
        black_greeks(100.0, 100.0, 0.0, 1.0, True)


def test_negative_deviation_raises():
    with pytest.raises(InvalidParameters, match=r"-0\.1"):
        otm_price([0.1, 0.1], [0.1, -0.1])
