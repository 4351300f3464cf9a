"""The service's own format: self-describing quotes, for any market that is not a venue of its own.

The contract is ours, so it is strict: a field it does not know is refused at every level (a typing mistake shows at
once), numbers are JSON numbers, times carry an offset. A side that is null, 0 or left out is a side without a quote.
"""

from dataclasses import dataclass
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from app.quant.chain import MAX_QUOTES, FutureQuote, OptionChain, Premium
from app.quant.errors import InvalidChain
from app.venues.amounts import FuturePrice, Price, Size, Source, Strike, Underlying, future_price
from app.venues.body import decode_body
from app.venues.columns import QuoteColumns, call_column, float_column, price_column
from app.venues.times import Instant, instant_ms, instants_ms, instants_or_ms

MAX_FUTURES: Final = 1_000
"""Futures a body may hold; no market lists a tenth as many expiries."""
MAX_SEQUENCE: Final = 2**53 - 1
"""Largest integer every JSON reader keeps exactly (RFC 8259, section 6)."""


class NativeQuote(Struct, forbid_unknown_fields=True, gc=False):
    """Bid and ask of one option."""

    expiry: Instant
    strike: Strike
    type: Literal["C", "P"]
    bid: Price | None = None
    ask: Price | None = None
    bid_size: Size | None = None
    ask_size: Size | None = None
    timestamp: Instant | None = None
    forward: Strike | None = None


class NativeFuture(Struct, forbid_unknown_fields=True, gc=False):
    """Bid and ask of the future of one expiry."""

    expiry: Instant
    bid: FuturePrice | None = None
    ask: FuturePrice | None = None


class NativeChain(Struct, forbid_unknown_fields=True):
    """A chain: quotes of one underlying at one time, premiums in one unit."""

    underlying: Underlying
    source: Source
    as_of: Instant
    premium: Premium
    quotes: Annotated[list[NativeQuote], Meta(min_length=1, max_length=MAX_QUOTES)]
    sequence: Annotated[int, Meta(ge=0, le=MAX_SEQUENCE)] = 0
    futures: Annotated[list[NativeFuture], Meta(max_length=MAX_FUTURES)] = msgspec.field(default_factory=list)


_DECODER: Final = msgspec.json.Decoder(NativeChain)


def _columns(quotes: list[NativeQuote], as_of_ms: int) -> QuoteColumns:
    """Return the rows as columns; a quote without its own timestamp is as old as the chain."""
    return QuoteColumns(
        expiry_ms=instants_ms([quote.expiry for quote in quotes], lambda row: f"/quotes/{row}/expiry"),
        strike=float_column([quote.strike for quote in quotes]),
        is_call=call_column([quote.type for quote in quotes]),
        bid=price_column([quote.bid for quote in quotes]),
        ask=price_column([quote.ask for quote in quotes]),
        bid_size=float_column([quote.bid_size for quote in quotes]),
        ask_size=float_column([quote.ask_size for quote in quotes]),
        timestamp_ms=instants_or_ms(
            [quote.timestamp for quote in quotes], as_of_ms, lambda row: f"/quotes/{row}/timestamp"
        ),
        forward=float_column([quote.forward for quote in quotes]),
    )


def futures_by_expiry(futures: list[NativeFuture]) -> tuple[FutureQuote, ...]:
    """Return the futures by expiry, at most one each."""
    quotes: dict[int, FutureQuote] = {}
    for row, future in enumerate(futures):
        pointer = f"/futures/{row}/expiry"
        expiry_ms = instant_ms(future.expiry, pointer)
        if expiry_ms in quotes:
            raise InvalidChain(f"{pointer} is {expiry_ms} ms again: one future for each expiry", pointer)
        bid, ask = future_price(future.bid, f"/futures/{row}/bid"), future_price(future.ask, f"/futures/{row}/ask")
        quotes[expiry_ms] = FutureQuote(expiry_ms, bid, ask)
    return tuple(quotes[expiry_ms] for expiry_ms in sorted(quotes))


@dataclass(frozen=True, slots=True)
class NativeVenue:
    """The venue ``native``: one JSON object, one row a quote."""

    name: str = "native"
    schema: type[NativeChain] = NativeChain
    example: bytes = (
        b'{"underlying": "BTC", "source": "desk-7", "as_of": "2026-08-01T17:58:04.320Z", "sequence": 17,'
        b' "premium": "coin",'
        b' "futures": [{"expiry": "2026-08-28T08:00:00Z", "bid": 62650.0, "ask": 62652.5}],'
        b' "quotes": [{"expiry": "2026-08-28T08:00:00Z", "strike": 60000, "type": "P",'
        b' "bid": 0.0131, "ask": 0.0135, "bid_size": 12.5, "ask_size": 4.0,'
        b' "timestamp": "2026-08-01T17:58:03.900Z", "forward": 62651.2}]}'
    )

    def parse(self, body: bytes, *, received_ms: int) -> OptionChain:  # noqa: ARG002 - the body must say its time
        """Return the chain in ``body``. Raises InvalidChain."""
        decoded = decode_body(_DECODER, body)
        as_of_ms = instant_ms(decoded.as_of, "/as_of")
        return OptionChain(
            underlying=decoded.underlying,
            venue=self.name,
            source=decoded.source,
            as_of_ms=as_of_ms,
            sequence=decoded.sequence,
            premium=decoded.premium,
            expiries=_columns(decoded.quotes, as_of_ms).by_expiry(),
            futures=futures_by_expiry(decoded.futures),
        )
