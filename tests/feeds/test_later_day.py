"""A recording played on a later day: the same chain, every expiry as far away as it was."""

import numpy as np

from app.feeds.later_day import days_later
from app.feeds.recording import SHIPPED, read_recorded
from app.quant.year_fraction import MS_PER_DAY
from app.venues import VENUES


def test_only_the_calendar_moves() -> None:
    for path in SHIPPED:
        recorded = next(read_recorded(path))
        moved = days_later(recorded, 30)
        before, after = (VENUES["deribit"].parse(c.body, received_ms=0) for c in (recorded, moved))
        assert moved.as_of_ms == after.as_of_ms == before.as_of_ms + 30 * MS_PER_DAY
        assert len(after) == len(before)
        for old, new in zip(before.expiries, after.expiries, strict=True):
            assert new.expiry_ms == old.expiry_ms + 30 * MS_PER_DAY
            np.testing.assert_array_equal(new.timestamp_ms, old.timestamp_ms + 30 * MS_PER_DAY)
            for name in ("strike", "is_call", "bid", "ask", "forward"):
                np.testing.assert_array_equal(getattr(new, name), getattr(old, name))


def test_no_days_is_the_recording_itself() -> None:
    recorded = next(read_recorded(SHIPPED[0]))
    assert days_later(recorded, 0) is recorded
