import numpy as np

from app.quant.median import median, medians

RNG = np.random.default_rng(3)


def test_median_is_numpys():
    for n in range(1, 12):
        values = RNG.normal(size=n)
        assert median(values) == np.median(values)


def test_medians_are_those_of_each_group():
    values, group = RNG.normal(size=60), RNG.integers(0, 9, 60)
    found = medians(values, group, 10)
    assert found[:9].tolist() == [np.median(values[group == g]) for g in range(9)]
    assert np.isnan(found[9])
    assert np.isnan(medians(np.empty(0), np.empty(0, dtype=np.int64), 3)).all()
