"""A chain written down in the service's own format, which reads back as the same quotes."""

import math
from collections.abc import Iterator
from typing import Any

import msgspec

from app.quant.chain import ExpiryQuotes, OptionChain
from app.service.iso_time import iso_utc


def native_body(chain: OptionChain) -> bytes:
    """Return the body that ``native`` parses to the same quotes, sizes, times, forwards and futures, bit for bit.

    A venue's trading rules and what it sent beside the quotes have no place in the format.
    """
    body = {
        "underlying": chain.underlying,
        "source": chain.source,
        "as_of": iso_utc(chain.as_of_ms),
        "sequence": chain.sequence,
        "premium": chain.premium,
        "futures": [_known(expiry=iso_utc(f.expiry_ms), bid=f.bid, ask=f.ask) for f in chain.futures],
        "quotes": [quote for expiry in chain.expiries for quote in _quotes(expiry)],
    }
    return msgspec.json.encode(body)


def _quotes(quotes: ExpiryQuotes) -> Iterator[dict[str, Any]]:
    expiry = iso_utc(quotes.expiry_ms)
    columns = (quotes.bid, quotes.ask, quotes.bid_size, quotes.ask_size, quotes.forward)
    rows = zip(
        quotes.strike.tolist(),
        quotes.is_call.tolist(),
        quotes.timestamp_ms.tolist(),
        *(column.tolist() for column in columns),
        strict=True,
    )
    for strike, is_call, timestamp_ms, bid, ask, bid_size, ask_size, forward in rows:
        yield _known(
            expiry=expiry,
            strike=strike,
            type="C" if is_call else "P",
            bid=bid,
            ask=ask,
            bid_size=bid_size,
            ask_size=ask_size,
            timestamp=iso_utc(timestamp_ms),
            forward=forward,
        )


def _known(**fields: Any) -> dict[str, Any]:
    return {name: v for name, v in fields.items() if not (isinstance(v, float) and math.isnan(v))}
