import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.store.keys import HISTOGRAM_BOUNDS_US, Keys, chain_order

INT64 = st.integers(-(2**63), 2**63 - 1)
NANOSECONDS = 1_785_607_084_000_000_001


@given(st.tuples(INT64, INT64), st.tuples(INT64, INT64))
def test_orders_sort_as_their_numbers_do(one: tuple[int, int], other: tuple[int, int]) -> None:
    assert (chain_order(*one) < chain_order(*other)) == (one < other)
    assert (chain_order(*one) == chain_order(*other)) == (one == other)


def test_sequences_that_are_one_double_are_two_orders() -> None:
    assert float(NANOSECONDS) == float(NANOSECONDS + 1)
    assert chain_order(0, NANOSECONDS) < chain_order(0, NANOSECONDS + 1)


def test_an_integer_beyond_64_bits_is_refused() -> None:
    with pytest.raises(ValueError, match="sequence 9223372036854775808"):
        chain_order(0, 2**63)


def test_an_underlying_lives_in_the_shard_of_its_crc32() -> None:
    keys = Keys("desk", shards=4)
    shard = zlib.crc32(b"ETH") % 4
    assert keys.state("ETH") == f"desk:{{s{shard}}}:state:ETH"
    assert keys.queue(shard) == f"desk:{{s{shard}}}:queue"


def test_braces_in_a_prefix_would_move_the_hash_tag() -> None:
    with pytest.raises(ValueError, match="braces"):
        Keys("{desk}")


def test_no_shards_is_refused() -> None:
    with pytest.raises(ValueError, match="0 shards"):
        Keys(shards=0)


def test_bounds_are_whole_microseconds() -> None:
    assert HISTOGRAM_BOUNDS_US.startswith("1000,2500,5000,")
