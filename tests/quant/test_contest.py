"""When a challenger is better, and when that is enough to take over."""

import numpy as np
import pytest

from app.quant.contest import LEADING_FOR, LEAST_GAIN, LEAST_SCORES, Contest, Verdict
from app.quant.scoring import WINDOW, MeanScore

SPOTLESS = MeanScore(n=WINDOW, arbitrage_free=1.0)


def contest(gain: float, n: int, seed: int = 3) -> Contest:
    """A challenger that is better by ``gain`` nats a quote, give or take."""
    found = Contest()
    for noise in np.random.default_rng(seed).standard_normal(n).tolist():
        found = found.after(-gain + 0.05 * noise)
    return found


def test_the_verdict_follows_the_test() -> None:
    assert contest(0.1, 100).verdict() is Verdict.BETTER
    assert contest(-0.1, 100).verdict() is Verdict.WORSE
    assert contest(0.0, 100).verdict() is Verdict.NO_DIFFERENCE
    assert Contest().verdict() is Verdict.NO_DIFFERENCE


def test_the_window_is_bounded() -> None:
    assert len(contest(0.1, WINDOW + 20).differentials) == WINDOW


def test_it_is_won_only_after_leading_for_a_while() -> None:
    assert not contest(0.1, LEAST_SCORES + LEADING_FOR - 2).is_won(SPOTLESS)
    assert contest(0.1, LEAST_SCORES + LEADING_FOR - 1).is_won(SPOTLESS)


@pytest.mark.parametrize("gain", [0.0, -0.1, LEAST_GAIN / 2])
def test_a_gain_that_does_not_matter_wins_nothing(gain: float) -> None:
    assert not contest(gain, WINDOW).is_won(SPOTLESS)


def test_a_small_gain_may_be_sure_and_still_not_matter() -> None:
    found = Contest()
    for noise in np.random.default_rng(4).standard_normal(WINDOW).tolist():
        found = found.after(-0.6 * LEAST_GAIN + 0.001 * noise)
    assert found.verdict() is Verdict.BETTER
    assert not found.is_won(SPOTLESS)


def test_one_surface_with_arbitrage_is_one_too_many() -> None:
    assert not contest(0.1, WINDOW).is_won(MeanScore(n=WINDOW, arbitrage_free=0.999))


def test_a_lead_is_lost_at_once() -> None:
    leader = contest(0.1, WINDOW)
    assert leader.leading > LEADING_FOR
    assert leader.after(200.0).leading == 0


def test_equals_hardly_ever_take_over() -> None:
    """Tested with every chain for three windows: the lead and the gain hold back what chance alone would promote."""
    won = 0
    for seed in range(20):
        found = Contest()
        for noise in np.random.default_rng(seed).standard_normal(2 * WINDOW).tolist():
            found = found.after(0.05 * noise)
            if found.is_won(SPOTLESS):
                won += 1
                break
    assert won <= 1
