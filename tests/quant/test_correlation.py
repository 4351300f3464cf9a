"""Correlations against published numbers and a plain jackknife, and what they promise whatever the data."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.quant.arrays import FloatArray
from app.quant.correlation import (
    LEAST_OBSERVATIONS,
    decaying_weights,
    effective_observations,
    ledoit_wolf,
    sampling_error,
    shrunk_correlation,
    weighted_correlation,
)

REFERENCE = json.loads((Path(__file__).parents[1] / "reference" / "correlation.json").read_text())


def reference_series() -> FloatArray:
    i, j = np.arange(1.0, 41.0)[:, None], np.arange(1.0, 6.0)
    x = np.sin(0.7 * i * j) + 0.5 * np.cos(0.3 * i * j**2) + 0.01 * i
    return np.asarray(x - x.mean(axis=0))


def test_an_exponential_average_gives_the_published_correlation() -> None:
    x, decay = reference_series()[:, :2], REFERENCE["ewma"]["decay"]
    weights = (1.0 - decay) * decay ** np.arange(39.0, -1.0, -1.0)
    weights[0] = decay**39
    assert weighted_correlation(x, weights)[0, 1] == pytest.approx(REFERENCE["ewma"]["correlation"], rel=1e-12)


def test_ledoit_and_wolf_give_the_published_covariance() -> None:
    x, expected = reference_series(), REFERENCE["ledoit_wolf"]
    second = x.T @ x / 40
    target = np.trace(second) / 5 * np.eye(5)
    variance = np.mean((x[:, :, None] * x[:, None, :] - second) ** 2, axis=0) / 40
    share = ledoit_wolf(second, variance, target, np.ones((5, 5), np.bool_))
    assert share == pytest.approx(expected["shrinkage"], rel=1e-12)
    shrunk = (1.0 - share) * second + share * target
    found = [shrunk[0, 0], shrunk[0, 1], shrunk[4, 4]]
    assert found == pytest.approx([expected[name] for name in ("S00", "S01", "S44")], rel=1e-12)


def test_the_weights_are_those_of_the_half_life() -> None:
    weights = decaying_weights(np.arange(600.0), 12.0)
    assert weights.sum() == pytest.approx(1.0, rel=1e-14)
    assert weights[12] / weights[0] == pytest.approx(0.5, rel=1e-14)
    decay = 0.5 ** (1 / 12)
    assert effective_observations(weights) == pytest.approx((1 + decay) / (1 - decay), rel=1e-9)
    assert effective_observations(np.full(7, 1 / 7)) == pytest.approx(7.0)


def test_the_standard_error_is_that_of_leaving_each_out() -> None:
    rng = np.random.default_rng(3)
    x = rng.standard_normal((40, 3)) * rng.standard_t(3.0, (40, 1))
    weights = decaying_weights(np.arange(40.0), 15.0)
    value = weighted_correlation(x, weights)
    squares = np.zeros((3, 3))
    for t in range(40):
        others = np.arange(40) != t
        squares += (weighted_correlation(x[others], weights[others] / weights[others].sum()) - value) ** 2
    normal = (1.0 - value**2) / np.sqrt(effective_observations(weights) - 1.0)
    expected = np.maximum(np.sqrt(squares), normal)
    assert (np.sqrt(squares) > normal).any(), "heavy tails make it less sure than a normal law would"
    assert sampling_error(x, weights, value) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@st.composite
def markets(draw: st.DrawFn) -> tuple[FloatArray, np.ndarray, float]:
    """Changes with a common move, heavy tails, still series, gaps and scales; their factors; a half-life."""
    seed, n, p = draw(st.tuples(st.integers(0, 2**32 - 1), st.integers(2, 60), st.integers(1, 8)))
    rng = np.random.default_rng(seed)
    x = rng.standard_t(3.0, (n, p)) + draw(st.floats(0.0, 5.0)) * rng.standard_normal((n, 1))
    x[:, rng.random(p) < draw(st.sampled_from([0.0, 0.3]))] = 0.0
    x[rng.random((n, p)) < draw(st.sampled_from([0.0, 0.05, 0.5]))] = np.nan
    x *= 10.0 ** rng.integers(-12, 12, p)
    return x, rng.integers(0, 3, p), draw(st.floats(2.0, 500.0))


@given(markets())
def test_it_is_a_correlation_matrix_whatever_the_data(market: tuple[FloatArray, np.ndarray, float]) -> None:
    x, factor, half_life = market
    found = shrunk_correlation(x, np.arange(len(x), dtype=float)[::-1], half_life, factor)
    block = found.value[np.ix_(found.used, found.used)]
    error = found.standard_error[np.ix_(found.used, found.used)]
    assert np.isfinite(block).all()
    assert np.isfinite(error).all()
    assert np.array_equal(np.isnan(found.value), ~(found.used[:, None] & found.used))
    assert (np.diag(block) == 1.0).all()
    assert block == pytest.approx(block.T, abs=1e-14)
    assert (np.abs(block) <= 1.0).all()
    assert (error >= 0.0).all()
    if found.used.any():
        assert np.linalg.eigvalsh(block).min() > -1e-12
        assert found.effective >= LEAST_OBSERVATIONS
        assert found.observations >= found.effective * (1.0 - 1e-12)


@given(markets(), st.randoms(use_true_random=False), st.lists(st.floats(-8.0, 8.0), min_size=8, max_size=8))
def test_neither_scale_nor_order_matters(
    market: tuple[FloatArray, np.ndarray, float], random: st.DataObject, powers: list[float]
) -> None:
    x, factor, half_life = market
    age = np.arange(len(x), dtype=float)[::-1]
    order = list(range(x.shape[1]))
    random.shuffle(order)
    scale = 10.0 ** np.array(powers[: len(order)])
    found = shrunk_correlation(x, age, half_life, factor)
    other = shrunk_correlation((x * scale)[:, order], age, half_life, factor[order])
    for one, same in ((found.value, other.value), (found.standard_error, other.standard_error)):
        assert same == pytest.approx(one[np.ix_(order, order)], rel=1e-6, abs=1e-6, nan_ok=True)


@pytest.mark.parametrize("degrees", [4, None], ids=["heavy tails", "normal"])
@pytest.mark.parametrize("rho", [0.0, 0.5, -0.8, 0.95])
def test_a_correlation_put_in_is_found_within_its_standard_error(rho: float, degrees: int | None) -> None:
    rng = np.random.default_rng(20_230_412)
    age = np.arange(120.0)[::-1]
    misses, naive = [], []
    for _ in range(200):
        z = rng.standard_normal((120, 2))
        z = z if degrees is None else z / np.sqrt(rng.chisquare(degrees, (120, 1)) / degrees)
        x = np.column_stack([z[:, 0], rho * z[:, 0] + np.sqrt(1.0 - rho**2) * z[:, 1]])
        found = shrunk_correlation(x, age, 40.0, np.zeros(2, np.int64))
        misses.append((found.value[0, 1] - rho) / found.standard_error[0, 1])
        naive.append((found.value[0, 1] - rho) / (1.0 - found.value[0, 1] ** 2) * np.sqrt(found.effective - 1.0))
    within, naive_within = (np.mean(np.abs(each) < 2.0) for each in (misses, naive))
    assert within > 0.88
    assert within > naive_within + 0.05 or rho == 0.0 or degrees is None, "a normal law would be too sure"
    assert abs(np.median(misses)) < 0.5, "shrinkage hardly moves what is well known"


def test_a_pair_that_is_known_survives_many_that_are_not() -> None:
    rng = np.random.default_rng(5)
    x = rng.standard_normal((60, 10))
    x[:, 5] = 0.8 * x[:, 0] + 0.6 * x[:, 5]
    found = shrunk_correlation(x, np.zeros(60), 1.0, np.tile(np.arange(5), 2))
    raw = weighted_correlation(x, np.full(60, 1 / 60))
    assert found.shrinkage[0, 5] < 0.05 < 0.3 < found.shrinkage[0, 1]
    assert found.value == pytest.approx((1.0 - found.shrinkage) * raw)


def test_what_is_shrunk_to_nothing_is_not_known_better() -> None:
    x = np.random.default_rng(1).standard_normal((12, 10))
    found = shrunk_correlation(x, np.zeros(12), 1.0, np.tile(np.arange(5), 2))
    assert found.shrinkage[0, 1] == 1.0
    across = (np.arange(10) % 5)[:, None] != np.arange(10) % 5
    assert not np.signbit(found.value[across]).any()
    assert (found.value[across] == 0.0).all()
    raw = weighted_correlation(x, np.full(12, 1 / 12))
    normal = (1.0 - raw**2) / np.sqrt(11.0)
    assert (found.standard_error[across] >= np.hypot(normal, raw)[across] * (1.0 - 1e-12)).all()


def test_one_jump_does_not_make_a_correlation_sure() -> None:
    rng = np.random.default_rng(11)
    x = rng.standard_normal((60, 2))
    x[30] = 40.0
    found = shrunk_correlation(x, np.zeros(60), 1.0, np.zeros(2, np.int64))
    assert weighted_correlation(x, np.full(60, 1 / 60))[0, 1] > 0.9
    assert found.value[0, 1] < 2.0 * found.standard_error[0, 1]


def test_too_little_is_said_so_and_never_zero() -> None:
    few = np.random.default_rng(1).standard_normal((LEAST_OBSERVATIONS - 1, 2))
    for x, half_life in ((few, 1e6), (np.zeros((50, 2)), 1e6), (np.ones((50, 2)), 2.0), (np.zeros((0, 2)), 5.0)):
        found = shrunk_correlation(x, np.arange(len(x), dtype=float), half_life, np.arange(2))
        assert not found.used.any()
        for each in (found.value, found.standard_error, found.shrinkage):
            assert np.isnan(each).all()


def test_a_series_that_stands_still_or_is_hardly_known_costs_only_itself() -> None:
    x = np.random.default_rng(2).standard_normal((60, 4))
    x[:, 1] = 0.0
    x[12:, 2] = np.nan
    x[:15, 0] = np.nan
    found = shrunk_correlation(x, np.zeros(60), 1.0, np.arange(4))
    assert found.used.tolist() == [True, False, False, True], "2 is never known together with 0"
    assert found.observations == 45
    alone = shrunk_correlation(x[:, [0, 3]], np.zeros(60), 1.0, np.arange(2))
    assert found.value[0, 3] == alone.value[0, 1]
