import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from app.quant.chain import ExpiryQuotes, FutureQuote, OptionChain, Premium, TradingRules
from app.service.ports import CorruptPayload
from app.store.codec import check_chain, decode_chain, encode_chain, open_document, seal_document
from tests.store.stored import CHAIN, small_chain

INT64 = st.integers(-(2**63), 2**63 - 1)
ANY_FLOAT = st.floats(allow_nan=True, allow_infinity=True, allow_subnormal=True, width=64)


@st.composite
def _quotes(draw: st.DrawFn, expiry_ms: int) -> ExpiryQuotes:
    n = draw(st.integers(0, 6))
    column = arrays(np.float64, n, elements=ANY_FLOAT)
    return ExpiryQuotes(
        expiry_ms,
        strike=draw(arrays(np.float64, n, elements=st.floats(1e-300, 1e300))),
        is_call=draw(arrays(np.bool_, n)),
        bid=draw(column),
        ask=draw(column),
        bid_size=draw(column),
        ask_size=draw(column),
        timestamp_ms=draw(arrays(np.int64, n)),
        forward=draw(column),
    )


@st.composite
def chains(draw: st.DrawFn) -> OptionChain:
    times = sorted(draw(st.sets(INT64, max_size=4)))
    return OptionChain(
        underlying=draw(st.text(max_size=8)),
        venue=draw(st.text(max_size=8)),
        source=draw(st.text(max_size=8)),
        as_of_ms=draw(INT64),
        sequence=draw(INT64),
        premium=draw(st.sampled_from(Premium)),
        expiries=tuple(draw(_quotes(expiry_ms)) for expiry_ms in times),
        futures=tuple(draw(st.lists(st.builds(FutureQuote, INT64, ANY_FLOAT, ANY_FLOAT), max_size=3))),
        rules=draw(st.builds(TradingRules, ANY_FLOAT, ANY_FLOAT, ANY_FLOAT, ANY_FLOAT, ANY_FLOAT)),
        unplaced=draw(st.dictionaries(st.text(max_size=5), st.integers(0, 99), max_size=3)),
    )


def bits(numbers: object) -> bytes:
    """Equal only for the same numbers bit for bit: NaN is NaN, -0.0 is not 0.0."""
    return np.asarray(numbers, dtype=np.float64).tobytes()


def assert_same(one: OptionChain, other: OptionChain) -> None:
    for name in ("underlying", "venue", "source", "as_of_ms", "sequence", "premium"):
        assert getattr(one, name) == getattr(other, name)
    assert dict(one.unplaced) == dict(other.unplaced)
    for field in ("tick", "tick_threshold", "tick_above", "fee", "fee_cap"):
        assert bits(getattr(one.rules, field)) == bits(getattr(other.rules, field))
    assert [f.expiry_ms for f in one.futures] == [f.expiry_ms for f in other.futures]
    assert bits([(f.bid, f.ask) for f in one.futures]) == bits([(f.bid, f.ask) for f in other.futures])
    assert [e.expiry_ms for e in one.expiries] == [e.expiry_ms for e in other.expiries]
    for ours, theirs in zip(one.expiries, other.expiries, strict=True):
        for column in ("strike", "is_call", "bid", "ask", "bid_size", "ask_size", "timestamp_ms", "forward"):
            a, b = getattr(ours, column), getattr(theirs, column)
            assert a.dtype == b.dtype
            assert a.tobytes() == b.tobytes()


@given(chains())
@settings(max_examples=60, deadline=None)
def test_a_chain_comes_back_bit_for_bit(chain: OptionChain) -> None:
    assert_same(decode_chain(encode_chain(chain)), chain)


@given(chains())
@settings(max_examples=20, deadline=None)
def test_the_same_chain_gives_the_same_bytes(chain: OptionChain) -> None:
    assert encode_chain(decode_chain(encode_chain(chain))) == encode_chain(chain)


def test_decoded_columns_are_what_kernels_were_compiled_for() -> None:
    original, decoded = small_chain().expiries[0], decode_chain(CHAIN).expiries[0]
    for column in ("strike", "is_call", "bid", "timestamp_ms"):
        ours, theirs = getattr(decoded, column), getattr(original, column)
        assert ours.dtype == theirs.dtype
        assert ours.flags.c_contiguous
        assert ours.flags.aligned
        assert not ours.flags.writeable


def test_every_flipped_bit_is_noticed() -> None:
    for position in range(len(CHAIN)):
        for bit in range(8):
            damaged = bytearray(CHAIN)
            damaged[position] ^= 1 << bit
            with pytest.raises(CorruptPayload):
                decode_chain(bytes(damaged))


def test_every_truncation_is_noticed() -> None:
    for length in range(len(CHAIN)):
        with pytest.raises(CorruptPayload):
            check_chain(CHAIN[:length])


def test_an_unknown_version_is_named() -> None:
    head = b"SKch" + struct.pack(">H", 2)
    body = CHAIN[10:]
    from_the_future = head + struct.pack(">I", zlib.crc32(body, zlib.crc32(head))) + body
    with pytest.raises(CorruptPayload, match=r"format version 2, this program reads version 1"):
        decode_chain(from_the_future)


def test_a_document_is_not_a_chain() -> None:
    with pytest.raises(CorruptPayload, match="SKsd"):
        decode_chain(seal_document(b"{}"))
    with pytest.raises(CorruptPayload, match="SKch"):
        open_document(CHAIN)


@given(st.binary(max_size=2_000))
def test_a_document_comes_back(document: bytes) -> None:
    assert open_document(seal_document(document)) == document


def test_an_intact_envelope_around_something_else_is_corrupt() -> None:
    nonsense = b"SKch" + seal_document(b"\x90")[4:]
    body = nonsense[10:]
    envelope = nonsense[:6] + struct.pack(">I", zlib.crc32(body, zlib.crc32(nonsense[:6]))) + body
    check_chain(envelope)
    with pytest.raises(CorruptPayload, match="does not hold a chain"):
        decode_chain(envelope)


def test_a_chain_of_a_thousand_quotes_stays_small() -> None:
    n = 1_000
    number = np.random.default_rng(7)
    strike = np.repeat(np.arange(20_000.0, 20_000.0 + n * 250.0, 500.0), 2)
    bid = np.round(number.uniform(0.0, 0.2, n), 4)
    quotes = ExpiryQuotes(
        1,
        strike,
        np.tile([True, False], n // 2),
        bid,
        bid + 0.0005,
        np.round(number.uniform(0, 50, n), 1),
        np.round(number.uniform(0, 50, n), 1),
        np.full(n, 1_785_607_084_000),
        np.full(n, 62_700.25),
    )
    chain = OptionChain("BTC", "deribit", "test", 0, 0, Premium.COIN, (quotes,))
    assert len(encode_chain(chain)) < 24_000
