import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.quant.models.svi_coordinates import (
    LOG_WIDTH_MAX,
    LOG_WIDTH_MIN,
    SKEW_RATIO_MAX,
    SLOPE_MAX,
    clamp,
    from_raw,
    geometry,
    geometry_jacobian,
    to_raw,
)
from app.quant.models.svi_curve import SviCurve

RAW = st.tuples(
    st.floats(-0.01, 0.2), st.floats(0.01, 0.9), st.floats(-0.95, 0.95), st.floats(-0.5, 0.5), st.floats(0.02, 1.0)
)
POINT = np.array([0.04, -0.05, -1.2, 0.3, 0.22])


@given(RAW)
@settings(deadline=None)
def test_raw_svi_survives_the_round_trip(raw: tuple[float, ...]) -> None:
    x, back = np.empty(5), np.empty(5)
    from_raw(np.array(raw), x)
    to_raw(x, back)
    scale = 1.0 + np.abs(raw[3]) / raw[4]
    np.testing.assert_allclose(back, raw, rtol=1e-11 * scale**3, atol=1e-12 * scale**3)


def test_coordinates_are_level_skew_curvature_and_wings() -> None:
    a, b, rho, m, sigma = -0.041, 0.1331, 0.306, 0.3586, 0.4153
    x = np.empty(5)
    from_raw(np.array([a, b, rho, m, sigma]), x)
    curve = SviCurve(0.05 + a, b, rho, m, sigma)
    w, w1, w2 = curve.derivatives(np.zeros(1))
    np.testing.assert_allclose(x[:3], [w[0] - 0.05, w1[0], np.log(w2[0])], rtol=1e-13)
    np.testing.assert_allclose(x[3:], [b * (1 - rho), b * (1 + rho)], rtol=1e-15)
    # Vogt's smile, maths of Gatheral and Jacquier (2014): w(0) of the raw parameters to 25 digits
    assert x[0] == pytest.approx(0.01742625255515912233556909, rel=1e-14)


def test_the_geometry_jacobian_is_the_derivative() -> None:
    jacobian = np.empty((4, 5))
    geometry_jacobian(POINT, jacobian)
    for p in range(5):
        up, down = POINT.copy(), POINT.copy()
        step = 1e-6 * max(abs(POINT[p]), 0.1)
        up[p] += step
        down[p] -= step
        difference = (np.array(geometry(up)[:4]) - np.array(geometry(down)[:4])) / (2 * step)
        np.testing.assert_allclose(jacobian[:, p], difference, rtol=1e-6, atol=1e-9)


@given(st.tuples(st.floats(1e-6, 2.0), st.floats(-3, 3), st.floats(-9, 9), st.floats(-1, 4), st.floats(-1, 4)))
@settings(deadline=None)
def test_clamping_brings_any_numbers_into_the_domain(numbers: tuple[float, ...]) -> None:
    x = np.array(numbers)
    clamp(x, 5e-4)
    _, sigma, c, d, _ = geometry(x)
    assert 5e-4 <= x[3] <= SLOPE_MAX
    assert 5e-4 <= x[4] <= SLOPE_MAX
    assert abs(x[1] - d) <= SKEW_RATIO_MAX * c * (1 + 1e-12)
    width = np.log(sigma / np.sqrt(x[0]))
    assert LOG_WIDTH_MIN - 1e-9 <= width <= LOG_WIDTH_MAX + 1e-9
