"""Recorded chains: bodies as a venue sent them, one a file (.json) or one a line (.jsonl), gzipped or not."""

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.quant.errors import InvalidChain
from app.venues import VENUES

SHIPPED: Final = tuple(
    Path(__file__).parent / "recorded" / f"deribit_{underlying}_2023-04-12_5min.jsonl.gz"
    for underlying in ("btc", "eth")
)
"""The series that come with the service: 64 snapshots each of all BTC and ETH options, about 5 minutes apart."""


class InvalidRecording(ValueError):
    """A file that is not a recording, with the line that is to blame."""


@dataclass(frozen=True, slots=True)
class RecordedChain:
    """A body as it was recorded, and the time and venue it belongs to."""

    as_of_ms: int
    body: bytes
    venue: str


def read_recorded(path: Path, *, venue: str | None = None) -> Iterator[RecordedChain]:
    """Yield the chains of a recording in the order of the file, one in memory at a time.

    Without ``venue`` the file's name begins with it: ``deribit_btc_2023-04-12_5min.jsonl.gz``. Raises InvalidRecording
    for a name without a venue, a damaged file, an empty one and a body its venue refuses; OSError when unreadable.
    """
    name = path.name.partition("_")[0] if venue is None else venue
    if name not in VENUES:
        raise InvalidRecording(f"{path}: {name!r} is not a venue: its name begins with one of {', '.join(VENUES)}")
    parser = VENUES[name]
    count = 0
    for count, body in enumerate(_bodies(path), start=1):
        try:
            chain = parser.parse(body, received_ms=0)
        except InvalidChain as error:
            raise InvalidRecording(f"{path}, chain {count}: {error}") from error
        yield RecordedChain(as_of_ms=chain.as_of_ms, body=body, venue=parser.name)
    if not count:
        raise InvalidRecording(f"{path}: 0 chains, a recording holds at least one")


def _bodies(path: Path) -> Iterator[bytes]:
    """Yield the bodies of a file, blank lines left out."""
    name = path.name.removesuffix(".gz")
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            if name.endswith(".json"):
                yield file.read()
            elif name.endswith(".jsonl"):
                yield from (line for line in map(bytes.strip, file) if line)
            else:
                raise InvalidRecording(f"{path}: a recording ends in .json or .jsonl, with or without .gz")
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InvalidRecording(f"{path}: damaged gzip data: {error}") from error
