"""The test against published p-values, a plain twin, and its own promise: under equal models it rejects nominally."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from app.quant.arrays import FloatArray
from app.quant.diebold_mariano import LEAST_DIFFERENTIALS, diebold_mariano, usual_lags

REFERENCE = json.loads((Path(__file__).parents[1] / "reference" / "diebold_mariano.json").read_text())
SERIES = 1_000


def plain(d: list[float], lags: int) -> tuple[float, float]:
    """The textbook, one sum at a time."""
    n, mean = len(d), sum(d) / len(d)

    def gamma(j: int) -> float:
        return sum((d[t] - mean) * (d[t - j] - mean) for t in range(j, n)) / n

    variance = gamma(0) + sum(2.0 * (1.0 - j / (lags + 1)) * gamma(j) for j in range(1, lags + 1))
    h = lags + 1
    statistic = mean / math.sqrt(variance / n) * math.sqrt((n + 1 - 2 * h + h * (h - 1) / n) / n)
    return statistic, float(2.0 * stats.t.sf(abs(statistic), n - 1))


@pytest.mark.parametrize(("loss", "published"), [(np.square, "p_value_squared"), (np.abs, "p_value_absolute")])
def test_published_p_values_are_met(loss, published) -> None:
    one, other = np.array(REFERENCE["errors_ets"]), np.array(REFERENCE["errors_arima"])
    found = diebold_mariano(loss(one) - loss(other), lags=0)
    assert found is not None
    assert found.p_value == pytest.approx(REFERENCE[published], abs=6e-5)


@given(
    st.lists(st.floats(-10.0, 10.0), min_size=LEAST_DIFFERENTIALS, max_size=60).filter(lambda d: np.std(d) > 1e-3),
    st.integers(0, 5),
)
def test_it_is_the_textbook(differentials: list[float], lags: int) -> None:
    found = diebold_mariano(np.array(differentials), lags=lags)
    if found is None:
        return
    statistic, p_value = plain(differentials, lags)
    assert found.statistic == pytest.approx(statistic, rel=1e-9, abs=1e-12)
    assert found.p_value == pytest.approx(p_value, rel=1e-9, abs=1e-12)
    turned = diebold_mariano(-np.array(differentials), lags=lags)
    assert turned is not None
    assert turned.statistic == -found.statistic


def correlated(rng: np.random.Generator, n: int, correlation: float) -> FloatArray:
    noise = rng.standard_normal((SERIES, n + 50))
    for t in range(1, n + 50):
        noise[:, t] += correlation * noise[:, t - 1]
    return noise[:, 50:]


@pytest.mark.parametrize("correlation", [0.0, 0.3])
def test_equal_models_are_told_apart_about_as_often_as_stated(correlation: float) -> None:
    series = correlated(np.random.default_rng(20_230_412), 256, correlation)
    tests = [diebold_mariano(each) for each in series]
    rejected = np.mean([test is not None and test.p_value < 0.05 for test in tests])
    assert 0.03 < rejected < 0.09
    naive = np.mean([test is not None and test.p_value < 0.05 for test in (diebold_mariano(d, lags=0) for d in series)])
    assert naive > rejected + 0.03 or correlation == 0.0, "without lags, correlated losses look like a difference"


def test_a_real_difference_is_found() -> None:
    series = 0.3 + correlated(np.random.default_rng(7), 256, 0.3)[:100]
    assert np.mean([test is not None and test.p_value < 0.05 for test in map(diebold_mariano, series)]) > 0.8


def test_nothing_is_said_of_too_few_or_of_what_is_not_random() -> None:
    assert diebold_mariano(np.arange(LEAST_DIFFERENTIALS - 1.0)) is None
    assert diebold_mariano(np.full(50, 0.25)) is None
    same = diebold_mariano(np.zeros(50))
    assert same is not None
    assert (same.statistic, same.p_value) == (0.0, 1.0)


def test_lags_grow_slowly() -> None:
    assert [usual_lags(n) for n in (8, 100, 256)] == [2, 4, 4]
