"""The parabola a SABR fit starts from, against numpy's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.quant.models.sabr_start import interpolated, tapered_parabola


@given(st.lists(st.floats(-1.0, 1.0), min_size=7, max_size=7), st.floats(0.5, 4.0))
def test_the_parabola_is_the_weighted_least_squares_one(values: list[float], reach: float) -> None:
    z, value = reach * np.linspace(-1.0, 0.8, 7), np.array(values)
    expected = np.polyfit(z, value, 2, w=1.0 / (1.0 + z * z))[::-1]
    np.testing.assert_allclose(tapered_parabola(z, value), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("at", [-2.0, -0.4, -0.1, 0.0, 0.25, 0.3, 1.0])
def test_interpolation_is_linear_and_level_beyond_the_ends(at: float) -> None:
    k, value = np.array([-0.4, -0.1, 0.3]), np.array([0.8, 0.5, 0.6])
    assert interpolated(k, value, at) == pytest.approx(np.interp(at, k, value), rel=1e-12)
