import numpy as np
import pytest

from app.quant.models.svi_projection import bounded_linear, curvature, moments, projected_curvature, quote_moments
from tests.quant.models.test_svi_slice import svi


def projected(k: np.ndarray, w: np.ndarray, weight: np.ndarray, m: float, log_sigma: float) -> np.ndarray:
    """Return the residuals, weighted, of the best (a, u, v) without bounds."""
    root, r = np.sqrt(weight), np.hypot(k - m, np.exp(log_sigma))
    basis = np.stack([np.ones(k.shape), 0.5 * (r - k + m), 0.5 * (r + k - m)], axis=1) * root[:, None]
    return np.asarray(root * w - basis @ np.linalg.lstsq(basis, root * w, rcond=None)[0])


@pytest.mark.parametrize(("m", "log_sigma"), [(0.02, -1.9), (-0.1, -1.2), (0.35, -2.5)])
def test_moments_and_curvature_are_those_of_the_projected_problem(m: float, log_sigma: float) -> None:
    k, weight = np.linspace(-0.5, 0.4, 23), np.linspace(1.0, 2.0, 23)
    w = svi(k, 0.01, 0.2, -0.3, 0.03, 0.15) + 2e-4 * np.cos(40.0 * k)
    sums, normal, rhs, linear = np.empty(6), np.empty((3, 3)), np.empty(3), np.empty(3)
    quote_moments(k, w, weight, sums)
    distance = np.empty((2, 23))
    moments(k, w, weight, sums, m, np.exp(log_sigma), distance, normal, rhs)
    misfit = bounded_linear(normal, rhs, sums[5], np.empty(3), linear)
    r = np.hypot(k - m, np.exp(log_sigma))
    basis = np.stack([np.ones(k.shape), 0.5 * (r - k + m), 0.5 * (r + k - m)])
    np.testing.assert_allclose(normal, (basis * weight) @ basis.T, rtol=1e-12)
    np.testing.assert_allclose(rhs, (basis * weight) @ w, rtol=1e-12)

    def half(i: int, j: int) -> float:
        return 0.5 * float(np.sum(projected(k, w, weight, m + 1e-3 * i, log_sigma + 1e-3 * j) ** 2))

    assert misfit == pytest.approx(2.0 * half(0, 0), rel=1e-9)
    gradient = np.array([half(1, 0) - half(-1, 0), half(0, 1) - half(0, -1)]) / 2e-3
    cross = (half(1, 1) - half(1, -1) - half(-1, 1) + half(-1, -1)) / 4e-6
    hessian = np.array(
        [
            [(half(1, 0) - 2.0 * half(0, 0) + half(-1, 0)) / 1e-6, cross],
            [cross, (half(0, 1) - 2.0 * half(0, 0) + half(0, -1)) / 1e-6],
        ]
    )
    vectors = np.linalg.eigh(hessian)
    modulus = vectors[1] * np.abs(vectors[0]) @ vectors[1].T
    sigma, room = np.exp(log_sigma), np.empty((5, 5))
    g1, g2, h11, h12, h22 = projected_curvature(w, weight, distance, sigma, linear, normal, room)
    np.testing.assert_allclose([g1, g2], gradient, rtol=1e-3)
    np.testing.assert_allclose([[h11, h12], [h12, h22]], modulus, rtol=2e-3, atol=2e-3 * np.abs(modulus).max())


def plain_curvature(
    k: np.ndarray, w: np.ndarray, weight: np.ndarray, linear: np.ndarray, m: float, sigma: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the gradient of half the misfit in (a, u, v, m, ln sigma) and its Hessian's last two rows."""
    a, u, v = linear
    c, d, y, s2 = 0.5 * (u + v), 0.5 * (v - u), k - m, sigma * sigma
    r, one = np.hypot(y, sigma), np.ones(k.shape)
    error = weight * (a + d * y + c * r - w)
    by = np.stack([one, 0.5 * (r - y), 0.5 * (r + y), -d - c * y / r, c * s2 / r])
    bend = c * s2 / r**3
    by_m = np.stack([0.0 * one, 0.5 * (1.0 - y / r), -0.5 * (1.0 + y / r), bend, bend * y])
    by_s = np.stack([0.0 * one, 0.5 * s2 / r, 0.5 * s2 / r, bend * y, bend * (r * r + y * y)])
    return by @ error, (by * weight) @ by[3:].T + np.stack([by_m @ error, by_s @ error]).T


@pytest.mark.parametrize(("m", "sigma"), [(0.02, 0.15), (-0.1, 0.3), (0.35, 0.01), (-1.2, 0.4)])
def test_curvature_is_that_of_all_five_parameters(m: float, sigma: float) -> None:
    k, weight = np.linspace(-0.5, 0.4, 23), np.linspace(1.0, 2.0, 23)
    w = svi(k, 0.01, 0.2, -0.3, 0.03, 0.15) + 2e-4 * np.cos(40.0 * k)
    sums, normal, rhs, linear = np.empty(6), np.empty((3, 3)), np.empty(3), np.empty(3)
    distance, hessian = np.empty((2, 23)), np.zeros((5, 5))
    quote_moments(k, w, weight, sums)
    moments(k, w, weight, sums, m, sigma, distance, normal, rhs)
    bounded_linear(normal, rhs, sums[5], np.empty(3), linear)
    gradient = curvature(w, weight, distance, sigma, linear, normal, hessian)
    plain, rows = plain_curvature(k, w, weight, linear, m, sigma)
    np.testing.assert_allclose(gradient, plain[3:], rtol=1e-12, atol=1e-12 * np.abs(plain[3:]).max())
    np.testing.assert_allclose(hessian[3:], np.tril(rows.T, 3), rtol=1e-12, atol=1e-12 * np.abs(rows).max())
