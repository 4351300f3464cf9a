"""Reading series at common times: the last value of each bar, nothing older, nothing twice."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.quant.time_bars import bar_ends, last_in_bar, overlap

BAR = 300_000


def test_ends_are_whole_multiples_up_to_the_newest() -> None:
    assert bar_ends(1_000_001, BAR, 3).tolist() == [300_000, 600_000, 900_000]
    assert bar_ends(900_000, BAR, 1).tolist() == [900_000]


@given(st.lists(st.integers(0, 20 * BAR), max_size=40).map(sorted))
def test_a_bar_has_the_last_value_in_it(times: list[int]) -> None:
    ends = bar_ends(20 * BAR, BAR, 12)
    found = last_in_bar(np.array(times, np.int64), ends, BAR).tolist()
    for end, place in zip(ends.tolist(), found, strict=True):
        inside = [i for i, time in enumerate(times) if end - BAR < time <= end]
        assert place == (inside[-1] if inside else -1)
    used = [place for place in found if place >= 0]
    assert len(set(used)) == len(used), "a value serves one bar"


def test_a_gap_breaks_the_chain_of_changes() -> None:
    times = np.array([1, 2, 4, 5], np.int64) * BAR
    ends = bar_ends(5 * BAR, BAR, 5)
    place = last_in_bar(times, ends, BAR)
    values = np.where(place >= 0, np.array([1.0, 2.0, 30.0, 31.0])[place], np.nan)
    changes = np.diff(values)
    assert changes[[0, 3]].tolist() == [1.0, 1.0]
    assert np.isnan(changes[[1, 2]]).all(), "the change over the gap is none"


def test_overlap_is_the_share_of_time_in_common() -> None:
    grid = np.arange(10.0)[:, None] * BAR
    found = overlap(
        np.hstack([grid, grid + 0.3 * BAR, np.where(grid > 5 * BAR, grid, np.nan), np.full((10, 1), np.nan)])
    )
    assert found[0, 1] == pytest.approx(0.7)
    assert found[0, 2] == pytest.approx(1.0)
    assert found[1, 2] == found[2, 1] == pytest.approx(0.7)
    assert np.isnan(found[3]).all()


def test_what_ticks_apart_correlates_by_the_overlap() -> None:
    rng = np.random.default_rng(8)
    walk = np.cumsum(rng.standard_normal(300_000))
    early, late = walk[10::100][:2900], walk[40::100][:2900]
    measured = np.corrcoef(np.diff(early), np.diff(late))[0, 1]
    share = overlap(np.column_stack([np.arange(2900) * 100.0 + 10.0, np.arange(2900) * 100.0 + 40.0]))[0, 1]
    assert measured == pytest.approx(share, abs=0.03)
