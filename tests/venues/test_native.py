import json
from typing import Any

import msgspec
import numpy as np
import pytest

from app.quant.chain import MAX_QUOTES, FutureQuote, OptionChain, Premium
from app.quant.errors import InvalidChain
from app.venues.native import NativeChain, NativeVenue
from tests.venues.bodies import CHAIN, QUOTE, native, native_quote, native_surface_quotes

AUGUST_28 = 1_787_904_000_000  # 2026-08-28T08:00:00Z
AUGUST_1 = 1_785_607_084_320  # 2026-08-01T17:58:04.320Z


def parse(body: bytes) -> OptionChain:
    return NativeVenue().parse(body, received_ms=0)


def refused(body: bytes) -> InvalidChain:
    with pytest.raises(InvalidChain) as caught:
        parse(body)
    return caught.value


def test_the_wire_example() -> None:
    chain = parse(NativeVenue().example)
    assert (chain.underlying, chain.source, chain.sequence, chain.premium) == ("BTC", "desk-7", 17, Premium.COIN)
    assert chain.as_of_ms == AUGUST_1
    assert chain.futures == (FutureQuote(AUGUST_28, 62650.0, 62652.5),)
    (quotes,) = chain.expiries
    assert quotes.expiry_ms == AUGUST_28
    assert quotes.timestamp_ms.tolist() == [AUGUST_1 - 420]
    for column, value in [("strike", 60000), ("bid", 0.0131), ("ask", 0.0135), ("bid_size", 12.5), ("ask_size", 4.0)]:
        assert getattr(quotes, column).tolist() == [value]
    assert quotes.forward.tolist() == [62651.2]
    assert quotes.is_call.tolist() == [False]


def test_optional_fields_are_missing_not_zero() -> None:
    chain = parse(native())
    (quotes,) = chain.expiries
    assert (chain.sequence, chain.futures) == (0, ())
    assert np.isnan([quotes.bid_size[0], quotes.ask_size[0], quotes.forward[0]]).all()
    assert quotes.timestamp_ms.tolist() == [AUGUST_1], "a quote without a time is as old as its chain"


@pytest.mark.parametrize("side", ["bid", "ask"])
@pytest.mark.parametrize("nothing", [None, 0, 0.0, -0.0])
def test_null_and_zero_are_no_quote(side: str, nothing: float | None) -> None:
    (quotes,) = parse(native_quote(**{side: nothing})).expiries
    assert np.isnan(getattr(quotes, side)).all()


def test_a_side_left_out_is_no_quote() -> None:
    quote = {key: value for key, value in QUOTE.items() if key != "ask"}
    (quotes,) = parse(native(quotes=[quote])).expiries
    assert np.isnan(quotes.ask).all()


def test_crossed_and_negative_prices_are_for_the_smile_to_count() -> None:
    quotes = [QUOTE | {"bid": 0.02, "ask": 0.01}, QUOTE | {"bid": -0.5}]
    (expiry,) = parse(native(quotes=quotes)).expiries
    assert expiry.bid.tolist() == [0.02, -0.5]


def test_duplicates_are_for_the_smile_to_count() -> None:
    (expiry,) = parse(native(quotes=[QUOTE, QUOTE])).expiries
    assert len(expiry) == 2


def test_quotes_are_grouped_by_expiry_and_keep_their_order() -> None:
    rows = [(AUGUST_28, 3.0), (AUGUST_28 - 1, 2.0), (AUGUST_28, 1.0), (AUGUST_28 - 1, 4.0)]
    chain = parse(native(quotes=[QUOTE | {"expiry": expiry, "strike": strike} for expiry, strike in rows]))
    assert [(e.expiry_ms, e.strike.tolist()) for e in chain.expiries] == [
        (AUGUST_28 - 1, [2.0, 4.0]),
        (AUGUST_28, [3.0, 1.0]),
    ]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2026-08-01T17:58:04.320Z", AUGUST_1),
        ("2026-08-01T17:58:04.320127+00:00", AUGUST_1),
        ("2026-08-01T17:58:04.320999Z", AUGUST_1),
        ("2026-08-01T19:58:04.32+02:00", AUGUST_1),
        ("2026-08-01T12:28:04.320-05:30", AUGUST_1),
        (AUGUST_1, AUGUST_1),
    ],
)
def test_times(written: str | int, expected: int) -> None:
    chain = parse(native(as_of=written, quotes=[QUOTE | {"timestamp": written}]))
    assert chain.as_of_ms == expected
    assert chain.expiries[0].timestamp_ms.tolist() == [expected]


@pytest.mark.parametrize(
    "time",
    [
        "2026-08-01T17:58:04.320",
        "2026-08-01",
        "yesterday",
        "",
        "1785607084320",
        1785607084,
        1785607084320000,
        1785607084320.5,
        -1,
        True,
        "1999-12-31T23:59:59.999Z",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59.999999-23:59",
    ],
)
@pytest.mark.parametrize("place", ["/as_of", "/quotes/0/expiry", "/quotes/0/timestamp", "/futures/0/expiry"])
def test_times_without_offset_or_out_of_range_are_refused(place: str, time: Any) -> None:
    body = json.loads(native(futures=[{"expiry": AUGUST_28, "bid": 1, "ask": 2}]))
    *steps, last = place.strip("/").split("/")
    target = body
    for step in steps:
        target = target[int(step)] if step.isdigit() else target[step]
    target[last] = time
    assert refused(json.dumps(body).encode()).pointer == place


@pytest.mark.parametrize("strike", [0, -1, -0.0, 1e-10, 1e13, None, "60000", True, [1]])
def test_strikes_are_finite_and_positive(strike: Any) -> None:
    error = refused(native_quote(strike=strike))
    assert error.pointer == "/quotes/0/strike"
    assert json.dumps(strike) in str(error), "the message shows the value"


@pytest.mark.parametrize(
    "number", [b"NaN", b"Infinity", b"-Infinity", b"1e400", b"9" * 5000, b"0x1", b"+1", b".5", b"01"]
)
@pytest.mark.parametrize("name", ["bid", "strike", "forward", "bid_size"])
def test_numbers_that_are_not_finite_json_numbers_are_refused(name: str, number: bytes) -> None:
    body = native_quote(**{name: 12345678}).replace(b"12345678", number)
    refused(body)


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"bid": "0.0131"}, "/quotes/0/bid"),
        ({"ask": True}, "/quotes/0/ask"),
        ({"ask": 1e13}, "/quotes/0/ask"),
        ({"bid_size": -1}, "/quotes/0/bid_size"),
        ({"forward": 0}, "/quotes/0/forward"),
        ({"type": "call"}, "/quotes/0/type"),
        ({"type": None}, "/quotes/0/type"),
        ({"vol": 0.5}, "/quotes/0"),
    ],
)
def test_a_wrong_quote_is_pointed_at(changes: dict[str, Any], pointer: str) -> None:
    assert refused(native_quote(**changes)).pointer == pointer


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"underlying": ""}, "/underlying"),
        ({"underlying": "btc"}, "/underlying"),
        ({"underlying": "BTC\n"}, "/underlying"),
        ({"underlying": "BTC:1"}, "/underlying"),
        ({"underlying": "B" * 33}, "/underlying"),
        ({"underlying": "_BTC"}, "/underlying"),
        ({"underlying": "ＢＴＣ"}, "/underlying"),
        ({"source": ""}, "/source"),
        ({"source": "desk\n7"}, "/source"),
        ({"source": "desk 7\n"}, "/source"),
        ({"source": "d" * 65}, "/source"),
        ({"premium": "dollar"}, "/premium"),
        ({"sequence": -1}, "/sequence"),
        ({"sequence": 2**53}, "/sequence"),
        ({"sequence": 1.5}, "/sequence"),
        ({"quotes": []}, "/quotes"),
        ({"quotes": None}, "/quotes"),
        ({"quotes": [QUOTE] * (MAX_QUOTES + 1)}, "/quotes"),
        ({"futures": [{"expiry": AUGUST_28, "bid": -1}]}, "/futures/0/bid"),
        ({"futures": [{"expiry": AUGUST_28, "bid": 1, "ask": 1e-300}]}, "/futures/0/ask"),
        ({"futures": [{"expiry": AUGUST_28}, {"expiry": AUGUST_28}]}, "/futures/1/expiry"),
        ({"futures": [{"expiry": AUGUST_28}] * 1001}, "/futures"),
        ({"as_off": AUGUST_1}, ""),
    ],
)
def test_a_wrong_chain_is_pointed_at(changes: dict[str, Any], pointer: str) -> None:
    assert refused(native(**changes)).pointer == pointer


@pytest.mark.parametrize("name", ["BTC", "SOL_USDC", "SPXW", "BRK.B", "3IINFOTECH", "A-B", "B" * 32])
def test_names_of_underlyings(name: str) -> None:
    assert parse(native(underlying=name)).underlying == name


@pytest.mark.parametrize("field", ["underlying", "source", "as_of", "premium", "quotes"])
def test_required_fields(field: str) -> None:
    body = json.dumps({key: value for key, value in CHAIN.items() if key != field}).encode()
    assert field in str(refused(body))


def test_futures_ascend_and_a_side_may_be_missing() -> None:
    futures = [{"expiry": AUGUST_28, "bid": 5}, {"expiry": AUGUST_28 - 1, "bid": 0, "ask": None}]
    early, late = parse(native(futures=futures)).futures
    assert (early.expiry_ms, late.expiry_ms, late.bid) == (AUGUST_28 - 1, AUGUST_28, 5.0)
    assert np.isnan([early.bid, early.ask, late.ask]).all()


def test_the_largest_chain_is_taken() -> None:
    assert len(parse(native(quotes=[QUOTE] * MAX_QUOTES))) == MAX_QUOTES


def test_linear_premiums() -> None:
    assert parse(native(premium="quote")).premium is Premium.QUOTE


def test_schema_says_the_same_rules() -> None:
    (_,), components = msgspec.json.schema_components([NativeChain])
    chain, quote = components["NativeChain"], components["NativeQuote"]
    assert chain["additionalProperties"] is quote["additionalProperties"] is False
    assert chain["required"] == ["underlying", "source", "as_of", "premium", "quotes"]
    assert (chain["properties"]["quotes"]["minItems"], chain["properties"]["quotes"]["maxItems"]) == (1, MAX_QUOTES)
    assert quote["properties"]["strike"]["minimum"] > 0


@pytest.mark.parametrize(
    ("name", "underlying", "as_of_ms", "quotes", "expiries", "futures"),
    [
        ("surface_quotes_btc_2026-04-27.json.gz", "BTC", 1_777_280_097_694, 403, 12, 12),
        ("surface_quotes_eth_2026-01-31.json.gz", "ETH", 1_769_862_319_499, 429, 7, 7),
    ],
)
def test_recorded_surface_quotes(
    name: str, underlying: str, as_of_ms: int, quotes: int, expiries: int, futures: int
) -> None:
    chain = parse(native_surface_quotes(name))
    assert (chain.underlying, chain.as_of_ms) == (underlying, as_of_ms)
    assert (len(chain), len(chain.expiries), len(chain.futures)) == (quotes, expiries, futures)
    assert {e.expiry_ms % 86_400_000 for e in chain.expiries} == {8 * 3_600_000}, "08:00 UTC"
