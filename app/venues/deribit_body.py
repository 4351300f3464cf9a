"""The shapes Deribit's public market data come in. Fields the chain does not need are skipped, not refused."""

from typing import Annotated, TypeVar

from msgspec import Meta, Struct

from app.venues.amounts import FuturePrice, Price, Size
from app.venues.times import Instant, Milliseconds

T = TypeVar("T")

Name = Annotated[str, Meta(min_length=1, max_length=64)]
Percent = Annotated[float, Meta(ge=0.0, le=1e6, description="Implied vol in percent; 0 and 999 say there is none.")]
Microseconds = Annotated[int, Meta(ge=0, le=2**63 - 1, description="Microseconds since 1970-01-01 UTC.")]


class DeribitRecord(Struct, gc=False):
    """An instrument of get_book_summary_by_currency (``bid_price``), ticker or get_order_book (``best_bid_price``)."""

    instrument_name: Name
    bid_price: Price | None = None
    ask_price: Price | None = None
    best_bid_price: Price | None = None
    best_ask_price: Price | None = None
    best_bid_amount: Size | None = None
    best_ask_amount: Size | None = None
    bid_iv: Percent | None = None
    ask_iv: Percent | None = None
    underlying_price: FuturePrice | None = None
    index_price: FuturePrice | None = None
    timestamp: Milliseconds | None = None
    creation_timestamp: Milliseconds | None = None


class DeribitError(Struct):
    """What a JSON-RPC answer carries instead of a result."""

    message: str
    code: int | None = None


class DeribitBody(Struct):
    """A JSON-RPC answer, a recorded snapshot (``collected_to_ms``), or option and future records side by side."""

    result: list[DeribitRecord] | DeribitRecord | None = None
    options: list[DeribitRecord] | None = None
    futures: list[DeribitRecord] | None = None
    as_of: Instant | None = None
    collected_to_ms: Milliseconds | None = None
    usOut: Microseconds | None = None  # noqa: N815 - the venue's spelling
    error: DeribitError | None = None


DeribitPayload = list[DeribitRecord] | DeribitBody
"""A whole body, or the bare list of records its ``result`` holds."""


def sections(payload: DeribitPayload) -> dict[str, list[DeribitRecord]]:
    """Return the lists of records of a body by their JSON pointer."""
    if not isinstance(payload, DeribitBody):
        return {"": payload}
    result = [payload.result] if isinstance(payload.result, DeribitRecord) else payload.result
    found = {"/result": result, "/options": payload.options, "/futures": payload.futures}
    return {pointer: records for pointer, records in found.items() if records is not None}


def best_bids(records: list[DeribitRecord]) -> list[float | None]:
    """Return the best bids under either of their names."""
    bids = [record.best_bid_price for record in records]
    return bids if None not in bids else _filled(bids, [record.bid_price for record in records])


def best_asks(records: list[DeribitRecord]) -> list[float | None]:
    """Return the best asks under either of their names."""
    asks = [record.best_ask_price for record in records]
    return asks if None not in asks else _filled(asks, [record.ask_price for record in records])


def times_ms(records: list[DeribitRecord]) -> list[int | None]:
    """Return when the venue made the records, under either of its names."""
    times = [record.timestamp for record in records]
    return times if None not in times else _filled(times, [record.creation_timestamp for record in records])


def _filled(values: list[T | None], others: list[T | None]) -> list[T | None]:
    """Return ``values`` with ``others`` where they are missing."""
    # A body has one shape of record: mostly one of the two names is in none of them.
    if values.count(None) == len(values):
        return others
    return [other if value is None else value for value, other in zip(values, others, strict=True)]
