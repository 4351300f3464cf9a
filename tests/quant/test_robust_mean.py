import numpy as np
import pytest

from app.quant.robust_mean import believed, newest_median, weighted_mean

NAN = np.nan


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
