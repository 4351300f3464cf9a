import numpy as np
import pytest

from app.quant.robust_mean import AGREEMENT_SIGMAS, NEWEST, believed, newest_median, weighted_mean

NAN = np.nan
RNG = np.random.default_rng(7)


def verdict(value, sd, votes=None, slack=None):
    value = np.array([value], dtype=float)
    ones = np.ones(value.shape)
    votes = ones if votes is None else np.array([votes], dtype=float)
    slack = 0.0 * ones if slack is None else np.array([slack], dtype=float)
    return believed(value, np.array([sd], dtype=float), slack, votes)[0].tolist()


def test_those_who_agree_are_all_believed():
    assert verdict([0.0, 1.0, 2.0], [1.0, 1.0, 1.0]) == [True, True, True]


def test_the_majority_wins_over_the_tighter():
    assert verdict([0.0, 0.1, 10.0], [1.0, 1.0, 0.01]) == [True, True, False]


def test_the_tighter_wins_a_tie():
    assert verdict([0.0, 10.0], [1.0, 0.1]) == [False, True]


def test_votes_count():
    assert verdict([0.0, 10.0], [1.0, 0.1], votes=[2, 1]) == [True, False]


def test_slack_forgives_distance():
    assert verdict([0.0, 10.0], [0.1, 0.1], slack=[9.8, 0.0]) == [True, True]


def test_the_silent_are_never_believed():
    assert verdict([NAN, 3.0], [1.0, 1.0]) == [False, True]
    assert verdict([NAN, NAN], [1.0, 1.0]) == [False, False]


def test_weighted_mean_is_by_inverse_variance_and_widens_with_disagreement():
    included = np.array([[True, True, False]])
    mean, sd = weighted_mean(np.array([[1.0, 2.0, 50.0]]), np.array([[1.0, 2.0, 1.0]]), included)
    assert mean[0] == pytest.approx(1.2)
    assert sd[0] == pytest.approx(np.sqrt(0.8))
    mean, sd = weighted_mean(np.array([[0.0, 4.0, 50.0]]), np.ones((1, 3)), included)
    assert (mean[0], sd[0]) == pytest.approx((2.0, np.sqrt(8.0 / 2.0)))


def test_a_mean_of_nothing_is_unknown():
    mean, sd = weighted_mean(np.array([[NAN, 1.0]]), np.ones((1, 2)), np.zeros((1, 2), dtype=bool))
    assert np.isnan(mean[0])
    assert sd[0] == np.inf


def test_newest_median_of_few_and_many():
    group = np.array([0, 0, 0, 0, 0, 0, 0, 2, 2, 2])
    age = np.array([7.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 9.0, 8.0, 0.0])
    value = np.array([99.0, 5.0, 1.0, 3.0, 2.0, 4.0, 98.0, 10.0, 20.0, 77.0])
    has = np.array([True] * 9 + [False])
    newest, newest_age = newest_median(group, 3, age, value, has)
    assert newest[[0, 2]].tolist() == [3.0, 15.0]
    assert newest_age[[0, 2]].tolist() == [1.0, 8.0]
    assert np.isnan([newest[1], newest_age[1]]).all()


def witnesses(rows):
    """Values of which some agree and some are missing, sds, slacks and votes; rows x 4."""
    shape = (rows, 4)
    value = np.where(RNG.random(shape) < 0.2, NAN, RNG.normal(scale=3.0, size=shape) * (RNG.random(shape) < 0.7))
    return value, RNG.uniform(0.1, 1.0, shape), RNG.choice([0.0, 0.3], shape), RNG.choice([1.0, 2.0], shape)


def numpy_believed(value, sd, slack, votes):
    here = ~np.isnan(value)
    centre, variance = np.where(here, value, 0.0), np.where(here, sd, 1.0) ** 2
    apart = np.abs(centre[:, :, None] - centre[:, None, :]) - slack[:, :, None] - slack[:, None, :]
    allowed = AGREEMENT_SIGMAS * np.sqrt(variance[:, :, None] + variance[:, None, :])
    agree = (apart <= allowed) & here[:, :, None] & here[:, None, :]
    support = np.where(agree, votes[:, None, :], 0.0).sum(axis=2)
    precision = np.where(agree, 1.0 / variance[:, None, :], 0.0).sum(axis=2)
    best = np.lexsort((-precision, -support), axis=1)[:, 0]
    return agree[np.arange(value.shape[0]), best]


def numpy_weighted_mean(value, sd, included):
    weight, centre = np.where(included, 1.0 / sd**2, 0.0), np.where(included, value, 0.0)
    total = np.where(included.any(axis=1), weight.sum(axis=1), NAN)
    mean = (weight * centre).sum(axis=1) / total
    chi2 = (weight * (centre - mean[:, None]) ** 2).sum(axis=1) / np.maximum(included.sum(axis=1) - 1, 1)
    return mean, np.where(included.any(axis=1), np.sqrt(np.maximum(1.0, chi2)) / np.sqrt(total), np.inf)


def test_the_kernels_say_what_numpy_says():
    value, sd, slack, votes = witnesses(500)
    winners = believed(value, sd, slack, votes)
    assert 0.3 < winners.mean() < 0.8
    assert (winners == numpy_believed(value, sd, slack, votes)).all()
    for ours, theirs in zip(weighted_mean(value, sd, winners), numpy_weighted_mean(value, sd, winners), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_newest_median_says_what_sorting_says():
    n, groups = 300, 40
    group, age, value = RNG.integers(0, groups - 1, n), RNG.integers(0, 12, n).astype(float), RNG.normal(size=n)
    has = RNG.random(n) < 0.6
    median, newest = newest_median(group, groups, age, value, has)
    for g in range(groups):
        rows = np.flatnonzero(has & (group == g))
        rows = rows[np.argsort(age[rows], kind="stable")][:NEWEST]
        expected = (np.median(value[rows]), age[rows[0]]) if rows.size else (NAN, NAN)
        np.testing.assert_allclose((median[g], newest[g]), expected, rtol=1e-12)
