"""Times on the wire."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.service.iso_time import iso_utc, ms_of


def test_known_instant() -> None:
    assert iso_utc(1_785_607_084_320) == "2026-08-01T17:58:04.320Z"
    assert ms_of("2026-08-01T17:58:04.320Z") == 1_785_607_084_320
    assert ms_of("2026-08-01T19:58:04.320+02:00") == 1_785_607_084_320


@given(st.integers(-2_000_000_000_000, 4_000_000_000_000))
def test_there_and_back(ms: int) -> None:
    assert ms_of(iso_utc(ms)) == ms


def test_microseconds_are_rounded_down() -> None:
    assert ms_of("2026-08-01T17:58:04.320999Z") == 1_785_607_084_320


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(ValueError, match="no UTC offset"):
        ms_of("2026-08-01T17:58:04.320")
