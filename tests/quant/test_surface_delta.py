"""Strikes by delta from the search on a surface, against the generic one and against the delta they were asked for."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.quant.arrays import FloatArray
from app.quant.black import black_greeks, strike_from_delta
from app.quant.interpolation import interpolated_variances
from app.quant.models.base import SliceState
from app.quant.models.svi_curve import SplineResidual, SviCurve
from app.quant.slice_variance import StackedSlices
from app.quant.surface_delta import log_strikes
from tests.quant.published_surfaces import btc_surface, slices_of, ssvi

RESIDUAL = SplineResidual(scale=0.1, spacing=0.5, first=-3, coefficients=(0.01, -0.02, 0.03, 0.01, -0.01, 0.02))
SURFACE = btc_surface()
BENT = [replace(s, curve=replace(s.curve, spline=RESIDUAL)) for s in SURFACE if isinstance(s.curve, SviCurve)]
T = [s.t for s in SURFACE]
TIMES = [1e-4, 0.5 * T[0], T[0], 0.3 * T[0] + 0.7 * T[1], T[3], 0.5 * (T[5] + T[6]), T[-1], 1.3 * T[-1], 4.0 * T[-1]]
DELTAS = np.array([0.001, 0.05, 0.1, 0.25, 0.4, 0.5, 0.6, 0.9, 0.999])


def found(delta: FloatArray, t: FloatArray, states: list[SliceState]) -> FloatArray:
    return log_strikes(delta, t, StackedSlices.of(states))


def vols(k: FloatArray, t: FloatArray, states: list[SliceState]) -> FloatArray:
    return np.sqrt(interpolated_variances(k, t, states)[0] / t)


@pytest.mark.parametrize("states", [SURFACE, BENT], ids=["plain", "with a residual"])
def test_strikes_are_those_of_the_search_for_any_smile(states: list[SliceState]) -> None:
    t, delta = (x.ravel() for x in np.meshgrid(TIMES, np.concatenate([-DELTAS, DELTAS])))
    expected = strike_from_delta(1.0, lambda k: vols(k, t, states), t, delta, delta > 0.0)
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(np.exp(found(delta, t, states)), expected, rtol=1e-12)


@pytest.mark.parametrize("size", [1e-12, 1e-6, 1e-3, 1.0 - 1e-3, 1.0 - 1e-9])
def test_extreme_deltas_have_strikes(size: float) -> None:
    t = np.array(TIMES * 2)
    delta = np.repeat([-size, size], len(TIMES))
    strike = np.exp(found(delta, t, SURFACE))
    got = black_greeks(1.0, strike, vols(np.log(strike), t, SURFACE), t, delta > 0.0).delta
    np.testing.assert_allclose(got, delta, rtol=1e-9)


@settings(deadline=None, max_examples=100)
@given(
    theta=st.floats(1e-4, 0.5),
    growth=st.floats(1.0, 3.0),
    rho=st.floats(-0.9, 0.9),
    share=st.floats(0.05, 3.0),
    size=st.floats(0.01, 0.99),
    put=st.booleans(),
)
def test_a_strike_has_the_delta_asked_for(
    theta: float, growth: float, rho: float, share: float, size: float, put: bool
) -> None:
    phi = 0.8 / np.sqrt(theta)
    states = slices_of(ssvi(theta, rho, phi), ssvi(theta * growth, rho, phi / np.sqrt(growth)))
    t, delta = np.array([share * states[-1].t]), np.array([-size if put else size])
    k = found(delta, t, states)
    got = black_greeks(1.0, np.exp(k), vols(k, t, states), t, not put).delta
    np.testing.assert_allclose(got, delta, rtol=1e-11)


def test_the_order_and_company_of_points_change_nothing() -> None:
    t, delta = np.repeat(TIMES, 4), np.tile([0.25, -0.25, 0.1, 0.25], len(TIMES))
    together = found(delta, t, SURFACE)
    np.testing.assert_array_equal(found(delta[::-1].copy(), t[::-1].copy(), SURFACE)[::-1], together)
    alone = [found(delta[i : i + 1], t[i : i + 1], SURFACE)[0] for i in range(t.size)]
    np.testing.assert_allclose(alone, together, rtol=1e-12)


def test_deltas_that_no_strike_has_are_nan() -> None:
    delta = np.array([0.0, 1.0, -1.0, 1.2, np.nan])
    assert np.isnan(found(delta, np.full(5, T[2]), SURFACE)).all()
    assert found(np.zeros(0), np.zeros(0), SURFACE).shape == (0,)


def test_a_wing_as_steep_as_prices_allow_has_no_small_call_deltas() -> None:
    """With w = 2 k + c, d1 = c / (2 s) stays positive: no call delta is below a half."""
    steep = slices_of(SviCurve(a=0.1, b=1.0, rho=0.999999999, m=0.0, sigma=0.01))
    assert np.isnan(found(np.array([0.1]), np.array([steep[0].t]), steep)).all()
    assert np.isfinite(found(np.array([0.7, -0.1]), np.full(2, steep[0].t), steep)).all()
