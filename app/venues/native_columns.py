"""The native format with columns instead of rows: little more than half the bytes."""

from dataclasses import dataclass
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from app.quant.chain import MAX_QUOTES, OptionChain, Premium
from app.quant.errors import InvalidChain
from app.venues.amounts import Price, Size, Source, Strike, Underlying
from app.venues.body import decode_body
from app.venues.columns import QuoteColumns, call_column, float_column, price_column
from app.venues.native import MAX_FUTURES, MAX_SEQUENCE, NativeFuture, futures_by_expiry
from app.venues.times import Instant, instant_ms, instants_ms, instants_or_ms

COLUMNS_MEDIA_TYPE: Final = "application/vnd.smilekeeper.columns+json"


class NativeQuoteColumns(Struct, forbid_unknown_fields=True):
    """Quotes as columns of one length; a column left out is null in every row."""

    expiry: Annotated[list[Instant], Meta(min_length=1, max_length=MAX_QUOTES)]
    strike: list[Strike]
    type: list[Literal["C", "P"]]
    bid: list[Price | None] | None = None
    ask: list[Price | None] | None = None
    bid_size: list[Size | None] | None = None
    ask_size: list[Size | None] | None = None
    timestamp: list[Instant | None] | None = None
    forward: list[Strike | None] | None = None


class NativeColumnsChain(Struct, forbid_unknown_fields=True):
    """A chain in the native format, its quotes as columns."""

    underlying: Underlying
    source: Source
    as_of: Instant
    premium: Premium
    quotes: NativeQuoteColumns
    sequence: Annotated[int, Meta(ge=0, le=MAX_SEQUENCE)] = 0
    futures: Annotated[list[NativeFuture], Meta(max_length=MAX_FUTURES)] = msgspec.field(default_factory=list)


_DECODER: Final = msgspec.json.Decoder(NativeColumnsChain)


@dataclass(frozen=True, slots=True)
class NativeColumnsVenue:
    """The venue ``native`` for bodies of COLUMNS_MEDIA_TYPE."""

    name: str = "native"
    schema: type[NativeColumnsChain] = NativeColumnsChain
    example: bytes = (
        b'{"underlying": "BTC", "source": "desk-7", "as_of": "2026-08-01T17:58:04.320Z", "premium": "coin",'
        b' "quotes": {"expiry": ["2026-08-28T08:00:00Z", "2026-08-28T08:00:00Z"], "strike": [60000, 65000],'
        b' "type": ["P", "C"], "bid": [0.0131, null], "ask": [0.0135, 0.021]}}'
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


def _columns(quotes: NativeQuoteColumns, as_of_ms: int) -> QuoteColumns:
    n = len(quotes.expiry)
    for name in quotes.__struct_fields__:
        column = getattr(quotes, name)
        if column is not None and len(column) != n:
            pointer = f"/quotes/{name}"
            raise InvalidChain(f"{pointer} has {len(column)} rows, /quotes/expiry has {n}: they must agree", pointer)
    nothing = [None] * n
    return QuoteColumns(
        expiry_ms=instants_ms(quotes.expiry, lambda row: f"/quotes/expiry/{row}"),
        strike=float_column(quotes.strike),
        is_call=call_column(quotes.type),
        bid=price_column(quotes.bid or nothing),
        ask=price_column(quotes.ask or nothing),
        bid_size=float_column(quotes.bid_size or nothing),
        ask_size=float_column(quotes.ask_size or nothing),
        timestamp_ms=instants_or_ms(quotes.timestamp or nothing, as_of_ms, lambda row: f"/quotes/timestamp/{row}"),
        forward=float_column(quotes.forward or nothing),
    )
