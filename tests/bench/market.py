"""The chains the benchmarks send: recorded ones, in the venue's own bytes."""

import gzip
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[1] / "data"
CHAIN = gzip.decompress((DATA / "deribit_btc_chain_2026-08-01T175804Z.json.gz").read_bytes())
"""868 BTC options and the futures, 2026-08-01."""
RECORDED_AT = datetime(2026, 8, 1, 17, 58, 4, 320_000, tzinfo=UTC)
RECORDING = Path(__file__).parents[2] / "app" / "feeds" / "recorded" / "deribit_btc_2023-04-12_5min.jsonl.gz"

_AS_OF = re.compile(rb'"as_of": "[^"]*"')
_ticks = count(1)


def next_chain(underlying: str = "BTC") -> bytes:
    """Return the chain of 2026-08-01 for ``underlying``, 10 ms later than the one before."""
    as_of = RECORDED_AT + timedelta(milliseconds=10 * next(_ticks))
    stamped = _AS_OF.sub(f'"as_of": "{as_of.isoformat(timespec="milliseconds")}"'.encode(), CHAIN, count=1)
    return stamped.replace(b'"BTC-', f'"{underlying}-'.encode())


def native_rows() -> bytes:
    """Return the same chain in the native format, later than the one before."""
    return _native(_rows())


def native_columns() -> bytes:
    """Return the same chain in the native format with its quotes as columns, later than the one before."""
    rows = _rows()
    return _native({name: [row[name] for row in rows] for name in rows[0]})


def _native(quotes: object) -> bytes:
    as_of = RECORDED_AT + timedelta(milliseconds=10 * next(_ticks))
    chain = {
        "underlying": "BTC",
        "source": "bench",
        "as_of": as_of.isoformat(timespec="milliseconds"),
        "premium": "coin",
        "quotes": quotes,
    }
    return json.dumps(chain).encode()


@cache
def _rows() -> list[dict[str, Any]]:
    rows = []
    for option in json.loads(CHAIN)["options"]:
        _, day, strike, side = option["instrument_name"].split("-")
        expiry = datetime.strptime(day, "%d%b%y").replace(hour=8, tzinfo=UTC)
        rows.append(
            {
                "expiry": expiry.isoformat(),
                "strike": float(strike),
                "type": side,
                "bid": option["bid_price"],
                "ask": option["ask_price"],
            }
        )
    return rows


def recorded_day(underlying: str) -> Iterator[bytes]:
    """Yield 64 consecutive 5-minute BTC chains of 2023-04-12 under the name ``underlying``."""
    for line in gzip.decompress(RECORDING.read_bytes()).splitlines():
        yield line.replace(b'"BTC-', f'"{underlying}-'.encode())
