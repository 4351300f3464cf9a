import json
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.quant.chain import ExpiryQuotes, OptionChain, Premium, TradingRules
from app.quant.errors import InvalidChain
from app.venues.deribit import COIN_RULES, DeribitVenue
from app.venues.deribit_body import DeribitRecord
from app.venues.deribit_listing import DUPLICATE_FUTURE, LONGEST_KEPT, listing_of
from app.venues.deribit_names import FutureName, OptionName, UndatedName, split_name
from tests.venues.bodies import AS_OF, OPTION, deribit, recorded

AUGUST_1 = 1_785_607_084_320  # 2026-08-01T17:58:04.320Z
AUGUST_28 = 1_787_904_000_000  # 2026-08-28T08:00:00Z
SNAPSHOTS = {"BTC": (630, 9), "ETH": (494, 9)}


def parse(body: bytes) -> OptionChain:
    return DeribitVenue().parse(body, received_ms=0)


def refused(body: bytes) -> InvalidChain:
    with pytest.raises(InvalidChain) as caught:
        parse(body)
    return caught.value


def only(body: bytes) -> ExpiryQuotes:
    (quotes,) = parse(body).expiries
    return quotes


def snapshot(underlying: str) -> bytes:
    return recorded(f"deribit_{underlying.lower()}_2023-04-12_5min_line.json.gz")


class TestBookSummaries2026:
    """868 options, 13 expiries, 802 two-sided, 13 dated futures and a perpetual, as counted in the file."""

    chain = parse(recorded("deribit_btc_chain_2026-08-01T175804Z.json.gz"))
    body = json.loads(recorded("deribit_btc_chain_2026-08-01T175804Z.json.gz"))

    def test_counts(self) -> None:
        assert (len(self.chain), len(self.chain.expiries), len(self.chain.futures)) == (868, 13, 13)
        assert dict(self.chain.unplaced) == {}, "a perpetual is not a lost quote"

    def test_head(self) -> None:
        assert (self.chain.underlying, self.chain.venue, self.chain.premium) == ("BTC", "deribit", Premium.COIN)
        assert self.chain.as_of_ms == AUGUST_1
        assert all((quotes.timestamp_ms == AUGUST_1).all() for quotes in self.chain.expiries)

    def test_two_sided_quotes(self) -> None:
        sides = [(~np.isnan(quotes.bid), ~np.isnan(quotes.ask)) for quotes in self.chain.expiries]
        assert sum(int((bid & ask).sum()) for bid, ask in sides) == 802
        assert sum(int((~bid & ask).sum()) for bid, ask in sides) == 66

    def test_names_agree_with_the_instrument_list(self) -> None:
        listed = {record["instrument_name"]: record for record in self.body["instruments"]}
        options = [split_name(record["instrument_name"]) for record in self.body["options"]]
        for record, name in zip(self.body["options"], options, strict=True):
            instrument = listed[record["instrument_name"]]
            assert isinstance(name, OptionName)
            assert name.expiry_ms == instrument["expiration_timestamp"]
            assert name.strike == instrument["strike"]
            assert name.is_call is (instrument["option_type"] == "call")
        for future in self.chain.futures:
            assert future.expiry_ms in {record["expiration_timestamp"] for record in self.body["instruments"]}

    def test_ticks_agree_with_the_instrument_list_and_the_prices(self) -> None:
        ticks = {record["tick_size"] for record in self.body["instruments"] if "strike" in record}
        assert ticks == {self.chain.rules.tick}
        for quotes in self.chain.expiries:
            prices = np.concatenate([quotes.bid, quotes.ask])
            prices = prices[~np.isnan(prices)]
            above = prices >= self.chain.rules.tick_threshold
            steps = prices / np.where(above, self.chain.rules.tick_above, self.chain.rules.tick)
            assert np.abs(steps - np.round(steps)).max() < 1e-6

    def test_a_future(self) -> None:
        (future,) = [quote for quote in self.chain.futures if quote.expiry_ms == AUGUST_28]
        assert (future.bid, future.ask) == (62862.5, 62865.0)


@pytest.mark.parametrize("underlying", SNAPSHOTS)
class TestSnapshots2023:
    def test_counts(self, underlying: str) -> None:
        chain = parse(snapshot(underlying))
        assert (chain.underlying, len(chain), len(chain.expiries)) == (underlying, *SNAPSHOTS[underlying])
        assert dict(chain.unplaced) == {}

    def test_every_quote_keeps_its_own_time_forward_and_sizes(self, underlying: str) -> None:
        body = json.loads(snapshot(underlying))
        chain = parse(snapshot(underlying))
        assert chain.as_of_ms == body["collected_to_ms"]
        quotes = {
            (split_name(record["instrument_name"]), record["timestamp"], record["underlying_price"])
            for record in body["result"]
        }
        parsed = {
            (OptionName(underlying, e.expiry_ms, e.strike[i], bool(e.is_call[i])), e.timestamp_ms[i], e.forward[i])
            for e in chain.expiries
            for i in range(len(e))
        }
        assert parsed == quotes
        sent = sorted(record["best_ask_amount"] for record in body["result"])
        assert sorted(np.concatenate([e.ask_size for e in chain.expiries]).tolist()) == sent

    def test_sentinels_and_only_they_are_missing(self, underlying: str) -> None:
        records = json.loads(snapshot(underlying))["result"]
        bids = sum(record["best_bid_price"] > 0 and record["bid_iv"] > 0 for record in records)
        asks = sum(0 < record["best_ask_price"] != 1.0 and record["ask_iv"] < 999 for record in records)
        chain = parse(snapshot(underlying))
        assert sum(int((~np.isnan(e.bid)).sum()) for e in chain.expiries) == bids
        assert sum(int((~np.isnan(e.ask)).sum()) for e in chain.expiries) == asks
        assert 0 < bids < len(records)
        assert 0 < asks < len(records)

    def test_no_out_of_the_money_bid_is_lost_to_a_sentinel(self, underlying: str) -> None:
        for record in json.loads(snapshot(underlying))["result"]:
            name = split_name(record["instrument_name"])
            assert isinstance(name, OptionName)
            if record["best_bid_price"] > 0 and record["bid_iv"] == 0:
                assert name.is_call == (name.strike < record["underlying_price"])

    def test_all_envelopes_say_the_same(self, underlying: str) -> None:
        body = json.loads(snapshot(underlying))
        whole = parse(snapshot(underlying))
        bare = parse(json.dumps(body["result"]).encode())
        answer = parse(json.dumps({"jsonrpc": "2.0", "id": 1, "result": body["result"], "usOut": 1}).encode())
        newest = max(record["timestamp"] for record in body["result"])
        assert bare.as_of_ms == answer.as_of_ms == newest <= whole.as_of_ms
        for other in (bare, answer):
            for one, two in zip(whole.expiries, other.expiries, strict=True):
                for column in ("strike", "is_call", "bid", "ask", "bid_size", "ask_size", "timestamp_ms", "forward"):
                    np.testing.assert_array_equal(getattr(one, column), getattr(two, column))


class TestSentinels:
    @pytest.mark.parametrize(
        "fields",
        [
            {"ask_price": None},
            {"ask_price": 0},
            {"ask_price": 1.0},
            {"ask_iv": 999.0},
            {"best_ask_price": 0.0},
            {"best_ask_price": 1, "ask_iv": 619.41},
        ],
    )
    def test_no_ask(self, fields: dict[str, Any]) -> None:
        quotes = only(deribit(OPTION | fields))
        assert np.isnan(quotes.ask).all()
        assert quotes.bid.tolist() == [0.0131]

    @pytest.mark.parametrize("fields", [{"bid_price": None}, {"bid_price": 0}, {"bid_iv": 0}, {"best_bid_price": 0.0}])
    def test_no_bid(self, fields: dict[str, Any]) -> None:
        quotes = only(deribit(OPTION | fields))
        assert np.isnan(quotes.bid).all()
        assert quotes.ask.tolist() == [0.0135]

    def test_prices_around_the_sentinel_are_prices(self) -> None:
        assert only(deribit(OPTION | {"bid_price": 1.0, "ask_price": 1.0005})).ask.tolist() == [1.0005]
        assert only(deribit(OPTION | {"bid_price": 1.0, "ask_price": 1.0005})).bid.tolist() == [1.0]

    def test_one_dollar_is_a_price_in_dollars(self) -> None:
        quotes = only(deribit({"instrument_name": "SOL_USDC-28AUG26-150-C", "bid_price": 0.5, "ask_price": 1.0}))
        assert quotes.ask.tolist() == [1.0]

    def test_crossed_and_negative_prices_pass(self) -> None:
        quotes = only(deribit(OPTION | {"bid_price": 0.02, "ask_price": 0.01}, OPTION | {"bid_price": -0.1}))
        assert quotes.bid.tolist() == [0.02, -0.1]

    def test_a_forward_of_zero_is_none(self) -> None:
        assert np.isnan(only(deribit(OPTION | {"underlying_price": 0})).forward).all()


class TestNames:
    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("BTC-28AUG26-60000-P", OptionName("BTC", AUGUST_28, 60000.0, False)),
            ("ETH-5JAN24-2300-C", OptionName("ETH", 1_704_441_600_000, 2300.0, True)),
            ("XRP_USDC-28AUG26-0d55-P", OptionName("XRP_USDC", AUGUST_28, 0.55, False)),
            ("BTC_USDC-28AUG26-60000-C", OptionName("BTC_USDC", AUGUST_28, 60000.0, True)),
            ("BTC-29FEB24-60000-C", OptionName("BTC", 1_709_193_600_000, 60000.0, True)),
            ("BTC-28AUG26", FutureName("BTC", AUGUST_28)),
            ("ETH_USDC-28AUG26", FutureName("ETH_USDC", AUGUST_28)),
            ("BTC-PERPETUAL", UndatedName("BTC")),
            ("SOL_USDC-PERPETUAL", UndatedName("SOL_USDC")),
            ("BTC_USDC", UndatedName("BTC_USDC")),
        ],
    )
    def test_known(self, name: str, expected: object) -> None:
        assert split_name(name) == expected
        assert type(split_name(name)) is type(expected)

    @pytest.mark.parametrize(
        "name",
        [
            "",
            "BTC",
            "BTC-31FEB26-60000-C",
            "BTC-29FEB23-60000-C",
            "BTC-0AUG26-60000-C",
            "BTC-28AGO26-60000-C",
            "BTC-28aug26-60000-C",
            "BTC-28AUG26-60000",
            "BTC-28AUG26-60000-X",
            "BTC-28AUG26-0-C",
            "BTC-28AUG26-0d0-C",
            "BTC-28AUG26--5-C",
            "BTC-28AUG26-1e5-C",
            "BTC-28AUG26-60000-C\n",
            "BTC-２8AUG26-60000-C",
            "BTC-GHOST-26",
            "BTC-FS-28AUG26_PERP",
            "BTC-CS-28AUG26-60000_65000",
            "BTC-PERPETUAL-1-C",
        ],
    )
    def test_unknown(self, name: str) -> None:
        assert split_name(name) is None


class TestTime:
    def test_in_order(self) -> None:
        record = OPTION | {"timestamp": AUGUST_1 + 1}
        snapshot = {"result": [record], "collected_to_ms": AUGUST_1 + 2, "usOut": (AUGUST_1 + 3) * 1000}
        assert parse(json.dumps(snapshot | {"as_of": AUGUST_1}).encode()).as_of_ms == AUGUST_1
        assert parse(json.dumps(snapshot).encode()).as_of_ms == AUGUST_1 + 2
        del snapshot["collected_to_ms"]
        assert parse(json.dumps(snapshot).encode()).as_of_ms == AUGUST_1 + 1
        snapshot["result"] = [OPTION]
        assert parse(json.dumps(snapshot).encode()).as_of_ms == AUGUST_1 + 3

    def test_book_summaries_carry_creation_timestamp(self) -> None:
        chain = parse(json.dumps([OPTION | {"creation_timestamp": AUGUST_1}, OPTION]).encode())
        assert chain.as_of_ms == AUGUST_1
        assert chain.expiries[0].timestamp_ms.tolist() == [AUGUST_1, AUGUST_1]

    @pytest.mark.parametrize("body", [[OPTION], {"result": [OPTION]}, {"options": [OPTION], "futures": []}])
    def test_a_body_without_time_is_refused(self, body: Any) -> None:
        assert "as_of" in str(refused(json.dumps(body).encode()))

    def test_recorded_samples_without_time_are_refused(self) -> None:
        assert "as_of" in str(refused(recorded("deribit_options.sample.json")))

    def test_us_out_is_in_microseconds(self) -> None:
        error = refused(json.dumps({"result": [OPTION], "usOut": AUGUST_1}).encode())
        assert error.pointer == "/usOut"

    def test_naive_as_of_is_refused(self) -> None:
        assert refused(deribit(OPTION, as_of="2026-08-01T17:58:04.320")).pointer == "/as_of"


class TestWhatBelongsToNoExpiry:
    def test_samples(self) -> None:
        options, futures = (json.loads(recorded(f"deribit_{kind}.sample.json")) for kind in ("options", "futures"))
        chain = parse(deribit(*options, futures=futures, as_of="2026-04-01T00:00:00Z"))
        assert (len(chain), len(chain.expiries), len(chain.futures)) == (4, 2, 1)
        assert dict(chain.unplaced) == {"unknown_instrument": 1}, "BTC-GHOST-26"

    def test_unknown_names_and_other_underlyings_are_counted(self) -> None:
        names = ["ETH-28AUG26-3000-C", "BTC_USDC-28AUG26-60000-C", "BTC-31FEB26-60000-C", "BTC-28AUG26-70000-C"]
        futures = [{"instrument_name": name} for name in ("BTC-28AUG26", "BTC-28AUG26", "ETH-28AUG26")]
        chain = parse(deribit(OPTION, *({"instrument_name": name} for name in names), futures=futures))
        assert (chain.underlying, len(chain), len(chain.futures)) == ("BTC", 2, 1)
        assert dict(chain.unplaced) == {"other_underlying": 3, "unknown_instrument": 1, "duplicate_future": 1}

    def test_the_underlying_is_that_of_most_records(self) -> None:
        eth = {"instrument_name": "ETH-28AUG26-3000-C", "bid_price": 0.01}
        assert parse(deribit(OPTION, eth, eth)).underlying == "ETH"
        assert parse(deribit(OPTION, eth)).underlying == "BTC", "the first of equals"

    @pytest.mark.parametrize(
        "body",
        [
            b"[]",
            b'{"result": []}',
            b'{"options": [], "futures": []}',
            deribit({"instrument_name": "BTC-PERPETUAL"}),
            deribit({"instrument_name": "BTC-28AUG26"}),
            deribit({"instrument_name": "GHOST"}, {"instrument_name": "BTC-31FEB26-1-C"}),
        ],
    )
    def test_without_an_option_there_is_no_chain(self, body: bytes) -> None:
        assert "at least one option" in str(refused(body))

    def test_futures_among_the_results(self) -> None:
        future = {"instrument_name": "BTC-28AUG26", "bid_price": 62862.5, "ask_price": None}
        (quote,) = parse(json.dumps({"result": [future, OPTION], "as_of": AS_OF}).encode()).futures
        assert (quote.expiry_ms, quote.bid) == (AUGUST_28, 62862.5)
        assert np.isnan(quote.ask)


class TestErrors:
    @pytest.mark.parametrize(
        ("body", "pointer"),
        [
            (deribit(OPTION, OPTION | {"bid_price": "0.01"}), "/options/1/bid_price"),
            (deribit(OPTION | {"best_bid_amount": -1}), "/options/0/best_bid_amount"),
            (deribit(OPTION | {"underlying_price": -1}), "/options/0/underlying_price"),
            (deribit(OPTION | {"timestamp": 1785607084}), "/options/0/timestamp"),
            (deribit(OPTION, futures=[{"instrument_name": "BTC-28AUG26", "bid_price": -5}]), "/futures/0"),
            (b'[{"bid_price": 1}]', "/0"),
            (b'{"result": "BTC"}', "/result"),
            (b'{"result": [1]}', "/result/0"),
            (b'{"error": {"code": 10028, "message": "too_many_requests"}}', "/error"),
        ],
    )
    def test_pointer(self, body: bytes, pointer: str) -> None:
        assert refused(body).pointer == pointer

    def test_the_venues_own_error_is_shown(self) -> None:
        assert "too_many_requests" in str(refused(b'{"error": {"code": 10028, "message": "too_many_requests"}}'))

    def test_more_quotes_than_a_chain_may_hold(self) -> None:
        assert "20001" in str(refused(deribit(*[OPTION] * 20_001)))

    def test_duplicates_pass(self) -> None:
        assert len(parse(deribit(OPTION, OPTION))) == 2


class TestRules:
    def test_inverse(self) -> None:
        assert parse(deribit(OPTION)).rules == COIN_RULES
        assert TradingRules(0.0001, 0.005, 0.0005, 0.0003, 0.125) == COIN_RULES

    def test_linear_fees_follow_the_index(self) -> None:
        option = {"instrument_name": "SOL_USDC-28AUG26-150-C", "bid_price": 5.0, "underlying_price": 151.0}
        chain = parse(deribit(option))
        assert (chain.underlying, chain.premium) == ("SOL_USDC", Premium.QUOTE)
        assert chain.rules == TradingRules(fee=0.0005 * 151.0, fee_cap=0.125)
        assert parse(deribit(option | {"index_price": 150.0})).rules.fee == 0.0005 * 150.0
        assert parse(deribit({"instrument_name": "SOL_USDC-28AUG26-150-C"})).rules == TradingRules()


def test_a_listing_is_read_once_but_no_body_fills_the_memory_with_one() -> None:
    names = ("BTC-28AUG26-60000-P", "BTC-28AUG26-60000-C", "BTC-28AUG26")
    listing = listing_of(names)
    assert listing_of((*names,)) is listing
    assert listing_of(names[::-1]).options == (1, 2)
    long = names * (LONGEST_KEPT // 3 + 1)
    assert listing_of(long) is not listing_of(long)
    assert listing_of(long).unplaced == {DUPLICATE_FUTURE: LONGEST_KEPT // 3}


def test_a_single_ticker_is_a_chain_of_one() -> None:
    ticker = OPTION | {"timestamp": AUGUST_1, "best_bid_price": 0.012, "best_ask_price": 0.013, "best_bid_amount": 3}
    quotes = only(json.dumps({"jsonrpc": "2.0", "result": ticker}).encode())
    assert (quotes.bid[0], quotes.ask[0], quotes.bid_size[0]) == (0.012, 0.013, 3.0)


def test_records_take_what_the_venue_adds() -> None:
    record = msgspec.json.decode(b'{"instrument_name": "BTC-PERPETUAL", "new": {"x": [1]}}', type=DeribitRecord)
    assert record.instrument_name == "BTC-PERPETUAL"


REAL = {
    "2026": recorded("deribit_btc_chain_2026-08-01T175804Z.json.gz"),
    "2023": snapshot("ETH"),
}


@pytest.mark.parametrize("body", REAL.values(), ids=REAL)
@settings(max_examples=100)
@given(place=st.floats(0.0, 1.0, exclude_max=True), cut=st.integers(0, 40), put=st.binary(max_size=6))
def test_a_damaged_recording_is_refused_or_a_chain(body: bytes, place: float, cut: int, put: bytes) -> None:
    start = int(place * len(body))
    try:
        chain = parse(body[:start] + put + body[start + cut :])
    except InvalidChain as refusal:
        assert str(refusal)  # noqa: PT017 - either outcome is right
    else:
        assert all((quotes.strike > 0).all() for quotes in chain.expiries)
        assert len(chain) + sum(chain.unplaced.values()) >= 494 - 1


@pytest.mark.parametrize("body", REAL.values(), ids=REAL)
@pytest.mark.parametrize("length", [1, 100, 5_000, -1])
def test_a_recording_cut_short_is_refused(body: bytes, length: int) -> None:
    assert "not JSON" in str(refused(body.rstrip()[:length]))
