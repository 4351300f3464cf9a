"""Zeros of increasing functions, some near, some far, some not there."""

import numpy as np

from app.quant.arrays import FloatArray, IntArray
from app.quant.rising_root import rising_roots


def test_roots_are_found_each_by_its_own_steps() -> None:
    target = np.array([1e-9, 0.3, 1.0, 7.0, 50.0])
    asked: list[int] = []

    def excess(x: FloatArray, rows: IntArray) -> FloatArray:
        asked.append(rows.size)
        return np.asarray(x**3 + 0.1 * x - target[rows])

    x = rising_roots(excess, np.full(5, 0.5), largest=100.0)
    np.testing.assert_allclose(x**3 + 0.1 * x, target, rtol=1e-13)
    assert asked == sorted(asked, reverse=True)
    assert asked[-1] < 5


def test_a_root_met_exactly_is_kept() -> None:
    assert rising_roots(lambda x, _: x - 2.0, np.array([2.0, 1.0]), largest=10.0).tolist() == [2.0, 2.0]


def test_a_root_beyond_the_largest_is_nan() -> None:
    x = rising_roots(lambda x, rows: np.arctan(x) - np.array([2.0, 1.0])[rows], np.array([1.0, 1.0]), largest=30.0)
    assert np.isnan(x[0])
    assert abs(x[1] - np.tan(1.0)) < 1e-14
    assert rising_roots(lambda x, _: x, np.zeros(0), largest=1.0).shape == (0,)
