"""The chains the benchmarks send: recorded ones, in the venue's own bytes."""

import gzip
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

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


def recorded_day(underlying: str) -> Iterator[bytes]:
    """Yield 64 consecutive 5-minute BTC chains of 2023-04-12 under the name ``underlying``."""
    for line in gzip.decompress(RECORDING.read_bytes()).splitlines():
        yield line.replace(b'"BTC-', f'"{underlying}-'.encode())
