import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_ndtr, ndtri

from app.quant.black import black_greeks, strike_from_delta
from app.quant.delta_strike import log_normal_cdf, normal_quantiles

unhurried = settings(deadline=None)
"""The first call compiles."""

REFERENCE = json.loads((Path(__file__).parents[1] / "reference" / "black76.json").read_text())["strikes"]
FORWARD, T = float(REFERENCE["forward"]), REFERENCE["days"] / 365.0


def flat(k):
    return np.full(k.shape, REFERENCE["vol"])


def skewed(k):
    return np.sqrt(0.3 + 0.1 * (-0.3 * k + np.sqrt(k * k + 0.04)))


def test_strikes_against_mpmath():
    strikes = strike_from_delta(FORWARD, flat, T, [0.25, -0.25], [True, False])
    np.testing.assert_allclose(strikes, [float(REFERENCE["call_25"]), float(REFERENCE["put_25"])], rtol=2e-15)


def test_net_strikes_against_mpmath():
    strikes = strike_from_delta(FORWARD, flat, T, [0.25, -0.25], [True, False], net=True)
    np.testing.assert_allclose(strikes, [float(REFERENCE["call_25_net"]), float(REFERENCE["put_25_net"])], rtol=2e-15)


def test_largest_net_call_delta_bounds_what_can_be_asked():
    largest = float(REFERENCE["largest_net_call_delta"])
    below, above = strike_from_delta(FORWARD, flat, T, [largest - 1e-9, largest + 1e-9], True, net=True)
    peak = float(REFERENCE["largest_net_call_delta_strike"])
    assert peak < below < peak * (1.0 + 1e-3)
    assert np.isnan(above)


@unhurried
@given(st.floats(0.001, 0.999), st.floats(0.003, 2.0), st.booleans(), st.booleans())
def test_strike_has_the_delta_asked_for(delta, t, is_call, net):
    signed = delta if is_call else -delta
    strike = strike_from_delta(FORWARD, skewed, t, signed, is_call, net=net)
    if net and is_call and np.isnan(strike):
        ladder = FORWARD * np.exp(np.linspace(-3.0, 3.0, 2001))
        greeks = black_greeks(FORWARD, ladder, skewed(np.log(ladder / FORWARD)), t, True)
        assert greeks.delta_net.max() < delta
        return
    greeks = black_greeks(FORWARD, strike, skewed(np.log(strike / FORWARD)), t, is_call)
    assert (greeks.delta_net if net else greeks.delta) == pytest.approx(signed, rel=1e-11)


def test_logarithm_of_the_normal_cdf_is_the_plain_one():
    x = np.concatenate([np.linspace(-40.0, 9.0, 400), [-1.25, 0.0, 1.25]])
    np.testing.assert_allclose(log_normal_cdf(x), log_ndtr(x), rtol=1e-12)


def test_net_call_strike_is_the_one_right_of_the_maximum():
    strike = strike_from_delta(FORWARD, skewed, 0.5, 0.45, True, net=True)
    nearby = strike * np.array([0.99, 1.01])
    left, right = black_greeks(FORWARD, nearby, skewed(np.log(nearby / FORWARD)), 0.5, True).delta_net
    assert left > 0.45 > right


def test_deltas_no_strike_has_are_nan():
    asked = [0.0, 1.0, 1.2, -0.3, 0.3, -1.0, np.nan]
    is_call = [True, True, True, True, False, False, True]
    assert np.isnan(strike_from_delta(FORWARD, flat, T, asked, is_call)).all()


def test_net_put_delta_may_exceed_one():
    strike = strike_from_delta(FORWARD, flat, T, -1.5, False, net=True)
    assert black_greeks(FORWARD, strike, 0.6, T, False).delta_net == pytest.approx(-1.5, rel=1e-12)


def test_quantiles_against_scipy():
    tails = np.concatenate([10.0 ** -np.linspace(0.0, 300.0, 200)[1:], np.linspace(0.001, 0.5, 300), [5e-324, 0.0227]])
    for probability in (tails, 1.0 - tails[tails > 1e-12]):
        np.testing.assert_allclose(normal_quantiles(probability), ndtri(probability), rtol=4e-15, atol=2e-15)
    assert normal_quantiles(np.array([[0.5]])).shape == (1, 1)
