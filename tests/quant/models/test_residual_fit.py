import numpy as np
import pytest

from app.quant.models.packed_curve import MAX_COEFFICIENTS, knot_place, spline_basis, spline_value
from app.quant.models.residual_fit import SCALE, SPACING, carried_coefficients, residual_knots
from app.quant.models.residual_objective import ridge_share

SVI = np.array([[0.004, -0.01, -1.0, 0.05, 0.04], [0.09, -0.05, -1.5, 0.2, 0.2]])
LOWEST, HIGHEST = np.array([-0.2, -9.0]), np.array([0.15, 30.0])


def test_knots_span_the_quotes_and_widen_where_the_range_is_long() -> None:
    knots = residual_knots(SVI, LOWEST, HIGHEST)
    scale = SCALE * np.sqrt(SVI[:, 0])
    left, right = np.arcsinh(LOWEST / scale), np.arcsinh(HIGHEST / scale)
    spacing = np.maximum(SPACING, (right - left) / (MAX_COEFFICIENTS - 3))
    first = np.floor(left / spacing)
    count = np.ceil(right / spacing) - first + 1.0
    np.testing.assert_allclose(knots, np.stack([scale, spacing, first, count], axis=1), rtol=1e-12)
    assert spacing[0] == SPACING < spacing[1]
    assert count.max() <= MAX_COEFFICIENTS


def test_coefficients_on_a_longer_range_keep_their_places() -> None:
    old_knots = np.array([[0.1, 0.3, -2.0, 5.0], [0.1, 0.3, 0.0, 0.0]])
    old = np.zeros((2, MAX_COEFFICIENTS))
    old[0, :5] = [1.0, -2.0, 3.0, 4.0, 5.0]
    carried = carried_coefficients(np.array([[0.11, 0.3, -4.0, 6.0], [0.1, 0.3, -2.0, 5.0]]), old_knots, old)
    assert carried[0].tolist() == [0.0, 0.0, 1.0, -2.0, 3.0, 4.0] + [0.0] * (MAX_COEFFICIENTS - 6)
    assert not carried[1].any()


def test_coefficients_at_another_spacing_lie_on_the_line_through_the_old_ones() -> None:
    old_knots, knots = np.array([[0.1, 0.3, -6.0, 13.0]]), np.array([[0.1, 0.37, -4.0, 9.0]])
    old = np.zeros((1, MAX_COEFFICIENTS))
    old[0, :13] = np.random.default_rng(1).standard_normal(13)
    expected = np.interp(0.37 * (-4.0 + np.arange(9)), 0.3 * (-6.0 + np.arange(13)), old[0, :13])
    np.testing.assert_allclose(carried_coefficients(knots, old_knots, old)[0, :9], expected, rtol=1e-12)


def test_the_ridge_falls_with_the_distance_from_the_money() -> None:
    scale, spacing, first, count = knots = np.array([0.2, 0.3, -7.0, 16.0])
    for j in range(int(count)):
        k = scale * np.sinh(spacing * (first + j))
        assert ridge_share(knots, j) == pytest.approx(scale / (abs(k) + np.hypot(k, scale)), rel=1e-12)


@pytest.mark.parametrize("k", [-3.0, -0.2, 0.0, 0.07, 0.9, 40.0])
def test_a_spline_is_the_sum_of_its_basis(k: float) -> None:
    knots = np.array([0.2, 0.3, -3.0, 8.0])
    coefficients = np.random.default_rng(2).standard_normal(8)
    basis = np.empty((3, 4))
    first = spline_basis(knots, k, basis)
    alive = [m for m in range(4) if 0 <= first + m < 8]
    b, b1, _ = spline_value(coefficients, 8, knot_place(knots, k))
    slope = 1.0 / (0.3 * np.hypot(k, 0.2))
    assert b == pytest.approx(sum(coefficients[first + m] * basis[0, m] for m in alive), rel=1e-12, abs=1e-14)
    assert b1 * slope == pytest.approx(sum(coefficients[first + m] * basis[1, m] for m in alive), rel=1e-12, abs=1e-13)
