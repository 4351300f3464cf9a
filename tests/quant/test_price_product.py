"""Averages of prices inverted many at once against the same one by one in logarithms, ordinary numbers or not."""

import numpy as np
import pytest

from app.quant.log_price import scaled_deviations
from app.quant.price_product import product_deviations

PROBABILITY = np.array([0.2, 0.3, 0.3, 0.2])


@pytest.mark.parametrize("reach", [0.0, 0.5, 5.0, 20.0])
@pytest.mark.parametrize("deviation", [0.01, 0.3, 2.0, 6.0])
def test_a_batch_gives_the_numbers_of_one_by_one(reach: float, deviation: float) -> None:
    rng = np.random.default_rng(5)
    n = 100
    k = rng.uniform(-reach, reach, n)
    factor = np.sort(rng.lognormal(0.0, 0.4, (n, PROBABILITY.size)))
    log_factor = np.log(factor / (factor @ PROBABILITY)[:, np.newaxis])
    deviations = deviation * rng.uniform(1.0, 1.3, log_factor.shape)
    found = product_deviations(k, log_factor, np.log(PROBABILITY), deviations)
    one_by_one = scaled_deviations(k, log_factor, log_factor + np.log(PROBABILITY), deviations)
    np.testing.assert_allclose(found, one_by_one, rtol=2e-12)
    np.testing.assert_array_equal(
        product_deviations(k[:7], log_factor[:7], np.log(PROBABILITY), deviations[:7]), found[:7]
    )
