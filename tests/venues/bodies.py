"""Bodies the venue tests share: real recordings in tests/data and small ones made by hand."""

import gzip
import json
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[1] / "data"

QUOTE: dict[str, Any] = {"expiry": 1787904000000, "strike": 60000, "type": "P", "bid": 0.0131, "ask": 0.0135}
CHAIN: dict[str, Any] = {
    "underlying": "BTC",
    "source": "desk-7",
    "as_of": 1785607084320,
    "premium": "coin",
    "quotes": [QUOTE],
}
OPTION: dict[str, Any] = {"instrument_name": "BTC-28AUG26-60000-P", "bid_price": 0.0131, "ask_price": 0.0135}
AS_OF = "2026-08-01T17:58:04.320Z"


def recorded(name: str) -> bytes:
    """Return a file of tests/data, decompressed."""
    data = (DATA / name).read_bytes()
    return gzip.decompress(data) if name.endswith(".gz") else data


def native(**changes: Any) -> bytes:
    """Return a native chain of one quote with some fields changed."""
    return json.dumps(CHAIN | changes).encode()


def native_quote(**changes: Any) -> bytes:
    """Return a native chain whose one quote is changed."""
    return native(quotes=[QUOTE | changes])


def deribit(*records: dict[str, Any], **fields: Any) -> bytes:
    """Return option records side by side with other fields of the object form."""
    return json.dumps({"as_of": AS_OF, "options": list(records), **fields}).encode()


def native_surface_quotes(name: str) -> bytes:
    """Return a file of out-of-the-money quotes (numbers as strings, maturities in ISO-8601) as a native chain."""
    source = json.loads(recorded(name))

    def sides(quote: dict[str, str]) -> dict[str, Any]:
        return {"expiry": quote["maturity"], "bid": float(quote["bid"]), "ask": float(quote["ask"])}

    kinds = {kind: [q for q in source["inputs"] if q["security_type"] == kind] for kind in ("option", "forward")}
    return native(
        underlying=source["asset"].upper(),
        as_of=source["ref_date"],
        futures=[sides(quote) for quote in kinds["forward"]],
        quotes=[
            sides(quote) | {"strike": float(quote["strike"]), "type": quote["option_type"][0].upper()}
            for quote in kinds["option"]
        ],
    )
