"""What every venue keeps, whatever its format: runs on each line of VENUES by itself."""

import json
import re

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.quant.chain import MAX_QUOTES, OptionChain
from app.quant.errors import InvalidChain
from app.venues import VENUES
from app.venues.amounts import UNDERLYING_PATTERN
from app.venues.venue import Venue

every_venue = pytest.mark.parametrize("venue", VENUES.values(), ids=VENUES)


def assert_valid(chain: OptionChain) -> None:
    """Check what everything behind the door relies on."""
    assert re.fullmatch(UNDERLYING_PATTERN, chain.underlying)
    assert 0 < len(chain) <= MAX_QUOTES
    for quotes in chain.expiries:
        for name in ("strike", "bid", "ask", "bid_size", "ask_size", "forward"):
            column = getattr(quotes, name)
            assert column.dtype == np.float64
            assert not column.flags.writeable
            assert not np.isinf(column).any()
        assert quotes.is_call.dtype == np.bool_
        assert quotes.timestamp_ms.dtype == np.int64
        assert (quotes.timestamp_ms > 0).all()
        assert (quotes.bid != 0.0).all()
        assert (quotes.ask != 0.0).all()


@every_venue
def test_name_is_its_key(venue: Venue) -> None:
    assert VENUES[venue.name] is venue


def test_an_unknown_venue_is_the_callers_to_handle() -> None:
    assert VENUES.get("atlantis") is None


@every_venue
def test_example_is_a_chain(venue: Venue) -> None:
    chain = venue.parse(venue.example, received_ms=0)
    assert chain.venue == venue.name
    assert_valid(chain)


@every_venue
def test_parsing_reads_no_clock(venue: Venue) -> None:
    early, late = (venue.parse(venue.example, received_ms=ms) for ms in (0, 4_000_000_000_000))
    assert early.as_of_ms == late.as_of_ms


@every_venue
def test_schema_and_decoder_are_one_type(venue: Venue) -> None:
    (schema,), components = msgspec.json.schema_components([venue.schema])
    assert json.loads(json.dumps([schema, components])) == [schema, components], "schema must be JSON: no NaN defaults"
    assert msgspec.json.decode(venue.example, type=venue.schema) is not None


GARBAGE: dict[str, bytes] = {
    "nothing": b"",
    "blank": b"  ",
    "word": b"chain",
    "truncated": b'{"underlying": "BTC", "quo',
    "trailing": b"[] []",
    "null": b"null",
    "number": b"17",
    "string": b'"BTC"',
    "empty list": b"[]",
    "empty object": b"{}",
    "byte order mark": b"\xef\xbb\xbf{}",
    "utf-16": '{"quotes": []}'.encode("utf-16"),
    "bad utf-8 in a value": b'{"result": [], "jsonrpc": "\xff\xfe"}',
    "bad utf-8 in a key": b'{"\xc3\x28": 1}',
    "lone surrogate": b'{"underlying": "\\ud800"}',
    "100,000 arrays": b"[" * 100_000,
    "100,000 objects": b'{"a":' * 100_000,
    "100,000 closed arrays in a field nobody reads": b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "5,000 digits": b'{"as_of": ' + b"9" * 5_000 + b"}",
    "NUL": b"\x00",
    "keys sent twice, native": b'{"quotes": [{"strike": -1}], "quotes": 5}',
    "keys sent twice, native, shorter": b'{"quotes": [{"strike": 1}, {"strike": -1}], "quotes": []}',
    "keys sent twice, deribit": b'{"options": [{"bid_price": "x"}], "options": null}',
    "keys sent twice, deribit, other": b'{"result": [{"bid_price": "x"}], "result": {"a": 1}}',
    "a field with a long name": b'{"' + b"a" * 10_000 + b'": 1}',
    "a long value": b'{"premium": "' + b"a" * 10_000 + b'"}',
    "a long error": b'{"error": {"message": "' + b"a" * 10_000 + b'"}}',
    "a long type": b'{"quotes": [{"type": "' + b"a" * 10_000 + b'"}]}',
    "a long instrument name": b'[{"instrument_name": "' + b"a" * 10_000 + b'"}]',
}


@every_venue
@pytest.mark.parametrize("body", GARBAGE.values(), ids=GARBAGE)
def test_garbage_is_an_invalid_chain(venue: Venue, body: bytes) -> None:
    with pytest.raises(InvalidChain) as caught:
        venue.parse(body, received_ms=0)
    assert str(caught.value)
    assert len(str(caught.value)) < 500, "a message must not echo a whole body"


@every_venue
@given(body=st.binary(max_size=200))
def test_arbitrary_bytes_raise_nothing_else(venue: Venue, body: bytes) -> None:
    with pytest.raises(InvalidChain):
        venue.parse(body, received_ms=0)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@every_venue
@settings(max_examples=300)
@given(data=st.data())
def test_a_body_with_one_value_replaced_is_refused_or_valid(venue: Venue, data: st.DataObject) -> None:
    body = json.loads(venue.example)
    path = data.draw(st.sampled_from(sorted(_paths(body), key=repr)), label="path")
    value = data.draw(json_values, label="value")
    if path:
        target = body
        for step in path[:-1]:
            target = target[step]
        target[path[-1]] = value
    else:
        body = value
    _parse_or_refuse(venue, json.dumps(body).encode())


@every_venue
@settings(max_examples=300)
@given(data=st.data())
def test_a_body_with_bytes_changed_is_refused_or_valid(venue: Venue, data: st.DataObject) -> None:
    body = bytearray(venue.example)
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(body)))
        stop = min(len(body), start + data.draw(st.integers(0, 4)))
        body[start:stop] = data.draw(st.sampled_from([b"", b"9", b"-", b"e9", b"0", b'"', b"]", b"}", b",", b"\xff"]))
    _parse_or_refuse(venue, bytes(body))


def _parse_or_refuse(venue: Venue, body: bytes) -> None:
    try:
        chain = venue.parse(body, received_ms=0)
    except InvalidChain as refused:
        assert refused.pointer == "" or refused.pointer.startswith("/")  # noqa: PT017 - either outcome is right
    else:
        assert_valid(chain)


def _paths(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    found = [path]
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in steps:
        found += _paths(inner, (*path, step))
    return found
