"""Mixtures inverted many at once against the same one by one in logarithms, wherever prices are ordinary and not."""

import numpy as np
import pytest

from app.quant.arrays import FloatArray, IntArray
from app.quant.interpolation import Position, fill_shares
from app.quant.log_price import at_the_money_price, mixed_deviation
from app.quant.price_mixture import mixed_variances

MATURITIES = np.array([0.1, 0.2, 0.4])
THETA = np.array([0.02, 0.03, 0.09])


def together(k: FloatArray, t: FloatArray, earlier: IntArray, near: FloatArray, far: FloatArray) -> FloatArray:
    share = np.empty(k.size)
    fill_shares(t, np.full(k.size, Position.BETWEEN, dtype=np.int8), earlier + 1, MATURITIES, THETA, share)
    return mixed_variances(k, share, near, far)


def one_by_one(k: FloatArray, t: FloatArray, earlier: IntArray, near: FloatArray, far: FloatArray) -> FloatArray:
    mixed = []
    for x, maturity, i, first, second in zip(k, t, earlier, near, far, strict=True):
        elapsed = (maturity - MATURITIES[i]) / (MATURITIES[i + 1] - MATURITIES[i])
        start, end = at_the_money_price(THETA[i]), at_the_money_price(THETA[i + 1])
        alpha = (end - at_the_money_price(THETA[i] + elapsed * (THETA[i + 1] - THETA[i]))) / (end - start)
        mixed.append(mixed_deviation(x, np.sqrt(first), np.sqrt(second), alpha) ** 2)
    return np.array(mixed)


@pytest.mark.parametrize("reach", [0.0, 0.5, 3.0, 20.0])
def test_a_batch_gives_the_numbers_of_one_by_one(reach: float) -> None:
    rng = np.random.default_rng(11)
    n = 400
    k, earlier = rng.uniform(-reach, reach, n), rng.integers(0, 2, n)
    t = MATURITIES[earlier] + rng.random(n) * (MATURITIES[earlier + 1] - MATURITIES[earlier])
    near = THETA[earlier] * np.exp(rng.uniform(0.0, 2.0, n)) + 0.4 * np.abs(k)
    far = near * np.exp(rng.choice([0.0, 1e-9, 0.1, 1.0], n))
    found = together(k, t, earlier, near, far)
    np.testing.assert_allclose(found, one_by_one(k, t, earlier, near, far), rtol=2e-14)
    assert (found >= near * (1.0 - 2e-14)).all()
    assert (found <= far * (1.0 + 2e-14)).all()


@pytest.mark.parametrize("variance", [1e-8, 1e-4, 4.0, 30.0, 99.0])
def test_at_the_money_and_near_the_bound(variance: float) -> None:
    """Where prices are all of the forward the rounding of the price hides the variance, for both alike."""
    k, t, earlier = np.array([0.0, 1e-12, -1e-12]), np.full(3, 0.3), np.full(3, 1)
    near, far = np.full(3, variance), np.full(3, 1.5 * variance)
    found = together(k, t, earlier, near, far)
    np.testing.assert_allclose(found, one_by_one(k, t, earlier, near, far), rtol=1e-12)
