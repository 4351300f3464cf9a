"""Columns of times: what they say does not depend on the rows beside them."""

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from app.venues.times import instants_ms, milliseconds_or

_MOMENTS = st.datetimes(
    datetime(2000, 1, 2), datetime(2199, 12, 30), timezones=st.sampled_from([UTC, timezone(timedelta(hours=9))])
)
_FEW = st.lists(_MOMENTS | st.integers(946_684_800_000, 7_258_118_400_000), min_size=1, max_size=3)


@given(few=_FEW, data=st.data())
def test_each_time_is_its_own_millisecond_however_often_and_in_whatever_order_it_comes(
    few: list[datetime | int], data: st.DataObject
) -> None:
    instants = data.draw(st.lists(st.sampled_from(few), min_size=1, max_size=12))
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    alone = [at if isinstance(at, int) else (at - epoch) // timedelta(milliseconds=1) for at in instants]
    assert instants_ms(instants, str).tolist() == alone


def test_a_missing_time_is_the_one_of_the_chain_in_mixed_and_in_empty_columns() -> None:
    assert milliseconds_or([None, 5, None], 7).tolist() == [7, 5, 7]
    assert milliseconds_or([None, None], 7).tolist() == [7, 7]
