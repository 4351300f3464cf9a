"""Logarithmic prices against Black's formula and arbitrary precision; inversions back to the deviation."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.quant.black import otm_price
from app.quant.log_price import (
    LARGEST_DEVIATION,
    deviation_between,
    log_price,
    log_share,
    mixed_deviation,
    scaled_deviations,
)


def exact_log_price(k: float, s: float, call: bool) -> float:
    with mpmath.workdps(80):
        x, v = mpmath.mpf(k), mpmath.mpf(s)
        sign = 1 if call else -1
        price = sign * (mpmath.ncdf(sign * (v / 2 - x / v)) - mpmath.exp(x) * mpmath.ncdf(sign * (-v / 2 - x / v)))
        return float(mpmath.log(price))


@pytest.mark.parametrize("k", [-3.0, -0.2, -1e-6, 0.0, 1e-6, 0.2, 3.0])
@pytest.mark.parametrize("s", [0.01, 0.1, 1.0, 4.0])
@pytest.mark.parametrize("call", [True, False])
def test_prices_in_and_out_of_the_money(k: float, s: float, call: bool) -> None:
    assert log_price(k, s, call) == pytest.approx(exact_log_price(k, s, call), rel=2e-14, abs=2e-14)


@given(st.floats(-1.0, 1.0), st.floats(0.05, 3.0))
@settings(deadline=None)
def test_shares_are_those_of_blacks_formula(k: float, s: float) -> None:
    share, _ = log_share(abs(k), s)
    assert math.exp(share + min(k, 0.0)) == pytest.approx(float(otm_price(k, s)), rel=1e-12)


@given(st.floats(0.0, 5.0), st.floats(0.005, 6.0))
@settings(deadline=None)
def test_slopes_are_those_of_differences(x: float, s: float) -> None:
    h = 1e-5 * s
    _, slope = log_share(x, s)
    assert slope == pytest.approx((log_share(x, s + h)[0] - log_share(x, s - h)[0]) / (2 * h), rel=1e-6)


@given(st.floats(0.0, 20.0), st.floats(0.005, 4.0), st.floats(0.05, 1.0), st.floats(1.0, 20.0))
@settings(deadline=None)
def test_inversion_returns_the_deviation(x: float, s: float, below: float, above: float) -> None:
    found = deviation_between(x, log_share(x, s)[0], s * below, s * above)
    assert found == pytest.approx(s, rel=1e-12)


def test_a_mixture_of_one_is_that_one() -> None:
    for k in (-15.0, -0.3, 0.0, 0.3, 15.0):
        assert mixed_deviation(k, 0.1, 0.3, 1.0) == 0.1
        assert mixed_deviation(k, 0.1, 0.3, 0.0) == 0.3
        assert mixed_deviation(k, 0.1, 0.1, 0.4) == 0.1


def test_mixed_deviations_price_the_mixture() -> None:
    rng = np.random.default_rng(1)
    k, weight = rng.normal(0.0, 0.3, 200), rng.uniform(0.0, 1.0, 200)
    first, second = rng.uniform(0.1, 0.5, 200), rng.uniform(0.1, 0.5, 200)
    mixed = np.array([mixed_deviation(*each) for each in zip(k, first, second, weight, strict=True)])
    assert otm_price(k, mixed) == pytest.approx(
        weight * otm_price(k, first) + (1 - weight) * otm_price(k, second), rel=1e-12
    )


def test_scaled_deviations_price_the_product() -> None:
    """S lognormal, X of three values: the average of Black calls and puts at K / X."""
    probability = np.array([0.25, 0.5, 0.25])
    factor = np.array([0.8, 1.0, 1.2])
    k = np.linspace(-0.6, 0.6, 25)
    log_factor = np.tile(np.log(factor), (25, 1))
    deviation = np.full((25, 3), 0.2)
    found = scaled_deviations(k, log_factor, log_factor + np.log(probability), deviation)
    shifted = k[:, np.newaxis] - log_factor
    out = otm_price(shifted, deviation)
    intrinsic = np.where(k[:, np.newaxis] >= 0.0, 1 - np.exp(shifted), np.exp(shifted) - 1)
    prices = (probability * factor * (out + np.maximum(intrinsic, 0.0))).sum(axis=1)
    assert otm_price(k, found) == pytest.approx(prices, rel=1e-12)


def test_a_product_beyond_every_price_ends_the_search() -> None:
    """Rounding puts its price at or above the bound, which no deviation reaches."""
    log_factor = np.array([[-700.0, 30.0]])
    found = scaled_deviations(np.zeros(1), log_factor, np.array([[-0.5, 1e-9]]), np.array([[20.0, 20.0]]))
    assert 16.0 < found[0] <= 2.0 * LARGEST_DEVIATION
