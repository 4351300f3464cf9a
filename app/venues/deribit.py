"""Deribit's public market data, unchanged: book summaries, tickers and order books, as answered or as recorded.

Sentinels. A price of null or 0 says nobody quotes that side; so do ``bid_iv`` 0 (the bid is below intrinsic value) and
``ask_iv`` 999, and in coin an ask of exactly 1.0. Percent vols serve for nothing else: vols are computed from prices.

Time. ``as_of`` is, in this order: the body's ``as_of``, ``collected_to_ms`` of a recorded snapshot, the newest record's
``timestamp`` (``creation_timestamp`` in book summaries), ``usOut`` of the JSON-RPC envelope. A body without any of them
is refused: stamping it with the time of arrival would make an old recording look new.

One body is one chain: the underlying most option records belong to. Option records of others, and names the venue does
not have, are counted in ``unplaced``; perpetuals and spot pairs, which no expiry can use, are passed over.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np

from app.quant.arrays import FloatArray
from app.quant.chain import FutureQuote, OptionChain, Premium, TradingRules
from app.quant.errors import InvalidChain
from app.venues.amounts import MIN_STRIKE, future_price
from app.venues.body import decode_body, shortened
from app.venues.columns import QuoteColumns, float_column, price_column
from app.venues.deribit_body import (
    DeribitBody,
    DeribitPayload,
    DeribitRecord,
    best_asks,
    best_bids,
    sections,
    times_ms,
)
from app.venues.deribit_listing import Listing, listing_of
from app.venues.deribit_names import premium_of
from app.venues.times import instant_ms, milliseconds_or

NO_ASK_PRICE_COIN: Final = 1.0
"""The ask shown in coin when nobody offers: a call is never worth more than the coin it is on."""
NO_BID_IV: Final = 0.0
NO_ASK_IV: Final = 999.0
"""The venue's percent vols for a side that has none."""

COIN_RULES: Final = TradingRules(tick=0.0001, tick_threshold=0.005, tick_above=0.0005, fee=0.0003, fee_cap=0.125)
"""Inverse options, in coin. The tick widens from 0.005 on; a side costs 0.0003, at most 12.5 % of the premium."""
LINEAR_FEE_RATE: Final = 0.0005
"""Taker fee of linear options as a share of the index."""
LINEAR_FEE_CAP: Final = 0.125
"""Its cap as a share of the premium."""

_DECODER: Final[msgspec.json.Decoder[DeribitPayload]] = msgspec.json.Decoder(DeribitPayload)


def _as_of_ms(payload: DeribitPayload, stamps: list[int | None]) -> int:
    """Return the chain's time by the order in the module's docstring."""
    body = payload if isinstance(payload, DeribitBody) else DeribitBody()
    if body.as_of is not None:
        return instant_ms(body.as_of, "/as_of")
    if body.collected_to_ms is not None:
        return body.collected_to_ms
    newest = max((stamp for stamp in stamps if stamp is not None), default=None)
    if newest is not None:
        return newest
    if body.usOut is not None:
        return instant_ms(body.usOut // 1000, "/usOut")
    raise InvalidChain(
        "no time in the body: it needs as_of, collected_to_ms, usOut, or a timestamp or creation_timestamp in records"
    )


def _futures(
    listing: Listing, records: list[DeribitRecord], found: Mapping[str, list[DeribitRecord]]
) -> tuple[FutureQuote, ...]:
    """Return the dated futures of the listing by expiry.

    ``records`` are those of all lists together, ``found`` the lists by their pointers.
    """
    dated = [records[row] for row in listing.futures.values()]
    quotes = []
    for (expiry_ms, row), bid, ask in zip(listing.futures.items(), best_bids(dated), best_asks(dated), strict=True):
        pointer = _pointer(row, found)
        quotes.append(FutureQuote(expiry_ms, future_price(bid, pointer), future_price(ask, pointer)))
    return tuple(quotes)


def _pointer(row: int, found: Mapping[str, list[DeribitRecord]]) -> str:
    """Return where a row of all lists together stands in the body."""
    for pointer, records in found.items():
        if row < len(records):
            return f"{pointer}/{row}"
        row -= len(records)
    raise IndexError(row)


def _columns(
    listing: Listing, records: list[DeribitRecord], stamps: list[int | None], as_of_ms: int, premium: Premium
) -> QuoteColumns:
    """Return the option records as columns, sentinels as NaN; a record without a time is as old as the chain."""
    bid = price_column(best_bids(records))
    ask = price_column(best_asks(records))
    bid[float_column([record.bid_iv for record in records]) == NO_BID_IV] = np.nan
    ask[float_column([record.ask_iv for record in records]) >= NO_ASK_IV] = np.nan
    if premium is Premium.COIN:
        ask[ask == NO_ASK_PRICE_COIN] = np.nan
    forward = float_column([record.underlying_price for record in records])
    forward[forward < MIN_STRIKE] = np.nan
    return QuoteColumns(
        expiry_ms=listing.expiry_ms,
        strike=listing.strike,
        is_call=listing.is_call,
        bid=bid,
        ask=ask,
        bid_size=float_column([record.best_bid_amount for record in records]),
        ask_size=float_column([record.best_ask_amount for record in records]),
        timestamp_ms=milliseconds_or(stamps, as_of_ms),
        forward=forward,
    )


def _rules(premium: Premium, records: list[DeribitRecord], forward: FloatArray) -> TradingRules:
    """Return the tick and fee schedule. The tick of linear options differs by underlying and is left unknown (0)."""
    if premium is Premium.COIN:
        return COIN_RULES
    known = [record.index_price for record in records if record.index_price] or forward[np.isfinite(forward)].tolist()
    if not known:
        return TradingRules()
    return TradingRules(fee=LINEAR_FEE_RATE * known[0], fee_cap=LINEAR_FEE_CAP)


@dataclass(frozen=True, slots=True)
class DeribitVenue:
    """The venue ``deribit``: inverse options in coin, linear ones in USDC."""

    name: str = "deribit"
    schema: Any = DeribitPayload
    example: bytes = (
        b'{"as_of": "2026-08-01T17:58:04.320Z",'
        b' "futures": [{"instrument_name": "BTC-28AUG26", "bid_price": 62862.5, "ask_price": 62865.0}],'
        b' "options": [{"instrument_name": "BTC-28AUG26-60000-P", "bid_price": 0.0131, "ask_price": 0.0135}]}'
    )

    def parse(self, body: bytes, *, received_ms: int) -> OptionChain:  # noqa: ARG002 - the body must say its time
        """Return the chain in ``body``. Raises InvalidChain."""
        payload = decode_body(_DECODER, body)
        if isinstance(payload, DeribitBody) and payload.error is not None:
            raise InvalidChain(
                f"the venue answered with error {payload.error.code}: {shortened(payload.error.message)}", "/error"
            )
        found = sections(payload)
        records = [record for section in found.values() for record in section]
        listing = listing_of(tuple([record.instrument_name for record in records]))
        options = [records[row] for row in listing.options]
        premium = premium_of(listing.underlying)
        stamps = times_ms(options)
        as_of_ms = _as_of_ms(payload, stamps)
        columns = _columns(listing, options, stamps, as_of_ms, premium)
        return OptionChain(
            underlying=listing.underlying,
            venue=self.name,
            source=self.name,
            as_of_ms=as_of_ms,
            sequence=0,
            premium=premium,
            expiries=columns.by_expiry(),
            futures=_futures(listing, records, found),
            rules=_rules(premium, options, columns.forward),
            unplaced=dict(listing.unplaced),
        )
