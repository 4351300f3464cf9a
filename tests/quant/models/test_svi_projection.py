import numpy as np
import pytest

from app.quant.models.svi_projection import bounded_linear, moments, projected_curvature, quote_moments
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
    moments(k, w, weight, sums, m, np.exp(log_sigma), normal, rhs)
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
    g1, g2, h11, h12, h22 = projected_curvature(k, w, weight, m, np.exp(log_sigma), linear, normal, np.empty((5, 5)))
    np.testing.assert_allclose([g1, g2], gradient, rtol=1e-3)
    np.testing.assert_allclose([[h11, h12], [h12, h22]], modulus, rtol=2e-3, atol=2e-3 * np.abs(modulus).max())
