import numpy as np
import pytest

from app.quant.models.packed_curve import (
    MAX_COEFFICIENTS,
    add_residual,
    add_residual_derivatives,
    durrleman,
    durrleman_gradient,
    knot_places,
    slice_point,
    spline_basis,
    spline_pieces_by_cell,
    svi_point_jacobian,
)
from app.quant.models.svi_coordinates import from_raw, geometry
from app.quant.models.svi_curve import SplineResidual, SviCurve, residual_derivatives

RAW = np.array([0.01, 0.12, -0.3, 0.05, 0.2])
SPLINE = SplineResidual(0.14, 0.45, -4, (0.01, -0.02, 0.03, 0.0, -0.015, 0.02, 0.01, -0.01, 0.005))
STRIKES = np.sort(np.append(np.linspace(-1.5, 1.5, 301), 0.14 * np.sinh(0.45 * np.arange(-6.0, 7.0))))


def packed(spline: SplineResidual | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x, knots, coefficients = np.empty(5), np.zeros(4), np.zeros(MAX_COEFFICIENTS)
    from_raw(RAW, x)
    if spline is not None:
        knots[:] = spline.scale, spline.spacing, spline.first, len(spline.coefficients)
        coefficients[: len(spline.coefficients)] = spline.coefficients
    return x, knots, coefficients


@pytest.mark.parametrize("spline", [None, SPLINE])
def test_a_packed_slice_is_the_published_curve(spline: SplineResidual | None) -> None:
    x, knots, coefficients = packed(spline)
    kernel = np.array([slice_point(x, geometry(x), knots, coefficients, k) for k in STRIKES])
    published = np.stack(SviCurve(*RAW, spline).derivatives(STRIKES), axis=1)
    np.testing.assert_allclose(kernel[:, :2], published[:, :2], rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(kernel[:, 2], published[:, 2], rtol=1e-11, atol=1e-12)


def test_basis_functions_sum_to_the_residual() -> None:
    _, knots, coefficients = packed(SPLINE)
    pieces = np.empty((3, 4))
    for k in STRIKES:
        first = spline_basis(knots, k, pieces)
        alive = [m for m in range(4) if 0 <= first + m < len(SPLINE.coefficients)]
        kernel = [sum(coefficients[first + m] * pieces[i, m] for m in alive) for i in range(3)]
        expected = [float(d[0]) for d in residual_derivatives(SPLINE, np.array([k]))]
        np.testing.assert_allclose(kernel, expected, rtol=1e-10, atol=1e-12)


def test_places_are_those_of_the_inverse_hyperbolic_sine() -> None:
    _, knots, _ = packed(SPLINE)
    k = np.concatenate([-np.geomspace(1e4, 1e-9, 60), np.zeros(1), np.geomspace(1e-9, 1e4, 60)])
    place = np.empty(k.shape)
    knot_places(knots, k, k.shape[0], place)
    expected = np.arcsinh(k / SPLINE.scale) / SPLINE.spacing - SPLINE.first
    np.testing.assert_allclose(place, expected, rtol=0.0, atol=1e-12)


def test_a_residual_by_cell_is_the_sum_of_its_splines() -> None:
    _, knots, coefficients = packed(SPLINE)
    n, count = STRIKES.shape[0], len(SPLINE.coefficients)
    place, stretch = np.empty(n), np.empty((2, n))
    knot_places(knots, STRIKES, n, place)
    root = np.hypot(STRIKES, SPLINE.scale)
    stretch[0] = 1.0 / (SPLINE.spacing * root)
    stretch[1] = -STRIKES / (SPLINE.spacing * root**3)
    cubics = np.empty((count + 3, 4))
    spline_pieces_by_cell(coefficients, count, cubics)
    w, jet = np.zeros(n), np.zeros((3, n))
    add_residual(cubics, count, 0.3, place, n, w)
    add_residual_derivatives(cubics, count, 0.3, place, stretch, n, *jet)
    expected = 0.3 * np.array(residual_derivatives(SPLINE, STRIKES))
    np.testing.assert_allclose(w, expected[0], rtol=1e-12, atol=1e-14)
    for found, exact in zip(jet, expected, strict=True):
        np.testing.assert_allclose(found, exact, rtol=1e-10, atol=1e-12)


def test_durrleman_of_vogts_smile() -> None:
    """g(0) and the negative minimum, 25 digits computed from the raw parameters of Gatheral and Jacquier (2014)."""
    curve = SviCurve(-0.0410, 0.1331, 0.3060, 0.3586, 0.4153)
    for k, expected in (
        (0.0, 1.038649731281797464192878),
        (0.8792625416220678704889441, -0.03286357345362301149679679),
    ):
        w, w1, w2 = (float(d[0]) for d in curve.derivatives(np.array([k])))
        assert durrleman(k, w, w1, w2) == pytest.approx(expected, rel=1e-12)
    assert durrleman(0.1, -1e-3, 0.1, 0.1) < -1.0


def test_the_gradient_of_durrleman_is_its_derivative() -> None:
    k, w, w1, w2 = 0.3, 0.05, 0.08, 0.4
    on_w, on_w1, on_w2 = durrleman_gradient(k, w, w1)
    h = 1e-6
    assert on_w == pytest.approx((durrleman(k, w + h, w1, w2) - durrleman(k, w - h, w1, w2)) / (2 * h), rel=1e-7)
    assert on_w1 == pytest.approx((durrleman(k, w, w1 + h, w2) - durrleman(k, w, w1 - h, w2)) / (2 * h), rel=1e-7)
    assert on_w2 == pytest.approx((durrleman(k, w, w1, w2 + h) - durrleman(k, w, w1, w2 - h)) / (2 * h), rel=1e-7)


@pytest.mark.parametrize("k", [-0.8, -0.05, 0.0, 0.4])
def test_the_point_jacobian_is_the_derivative(k: float) -> None:
    x, knots, coefficients = packed(None)
    jacobian = np.empty((3, 5))
    svi_point_jacobian(x, k, jacobian)
    for p in range(5):
        h = 1e-6 * max(abs(x[p]), 0.1)
        up, down = x.copy(), x.copy()
        up[p] += h
        down[p] -= h
        upper = np.array(slice_point(up, geometry(up), knots, coefficients, k))
        lower = np.array(slice_point(down, geometry(down), knots, coefficients, k))
        np.testing.assert_allclose(jacobian[:, p], (upper - lower) / (2 * h), rtol=1e-5, atol=1e-8)
