"""Chains and documents as the store keeps them: an envelope that notices damage around compressed bytes.

An envelope is 4 bytes of magic, the format's version (u16), the CRC-32 of magic, version and body (u32), all
big-endian, and the body compressed by zstandard. A chain's body is msgpack with one float64 column a field over all
expiries, so that every number comes back bit for bit, NaN included.
"""

import struct
import threading
import zlib
from typing import Any, Final

import msgspec
import numpy as np
import zstandard

from app.quant.chain import ExpiryQuotes, FutureQuote, OptionChain, Premium, TradingRules
from app.quant.errors import InvalidChain
from app.service.ports import CorruptPayload

CHAIN_MAGIC: Final = b"SKch"
CHAIN_VERSION: Final = 1
DOCUMENT_MAGIC: Final = b"SKsd"
DOCUMENT_VERSION: Final = 1
STATE_MAGIC: Final = b"SKst"
STATE_VERSION: Final = 1
SCORES_MAGIC: Final = b"SKsc"
SCORES_VERSION: Final = 1

_LEVEL: Final = 1
"""zstandard's fastest usual level: 24 kB for 64 kB of quote columns, in a fraction of a millisecond."""

_HEAD: Final = struct.Struct(">4sH")
_CHECKSUM: Final = struct.Struct(">I")
_BODY_AT: Final = _HEAD.size + _CHECKSUM.size

_COLUMNS: Final[dict[str, str]] = {
    "strike": "<f8",
    "is_call": "?",
    "bid": "<f8",
    "ask": "<f8",
    "bid_size": "<f8",
    "ask_size": "<f8",
    "timestamp_ms": "<i8",
    "forward": "<f8",
}
"""Columns of a chain in stored order, and how their numbers are stored."""


class _ChainRecord(msgspec.Struct, array_like=True, frozen=True):
    underlying: str
    venue: str
    source: str
    as_of_ms: int
    sequence: int
    premium: Premium
    expiries: list[tuple[int, int]]
    """Expiry in ms and its number of quotes."""
    columns: list[bytes]
    futures: list[tuple[int, float, float]]
    rules: tuple[float, float, float, float, float]
    unplaced: dict[str, int]


class _Zstandard(threading.local):
    """zstandard with its working memory kept: to make that anew took as long as the work. A thread has its own."""

    def __init__(self) -> None:
        self.compress = zstandard.ZstdCompressor(level=_LEVEL).compress
        self.decompress = zstandard.ZstdDecompressor().decompress


_zstandard: Final = _Zstandard()

_encode_record = msgspec.msgpack.Encoder().encode
_decode_record = msgspec.msgpack.Decoder(_ChainRecord).decode


def encode_chain(chain: OptionChain) -> bytes:
    """Return the chain's bytes; :func:`decode_chain` gives back an equal chain."""
    rules = chain.rules
    record = _ChainRecord(
        underlying=chain.underlying,
        venue=chain.venue,
        source=chain.source,
        as_of_ms=chain.as_of_ms,
        sequence=chain.sequence,
        premium=chain.premium,
        expiries=[(expiry.expiry_ms, len(expiry)) for expiry in chain.expiries],
        columns=[_joined(chain, name, dtype) for name, dtype in _COLUMNS.items()],
        futures=[(future.expiry_ms, future.bid, future.ask) for future in chain.futures],
        rules=(rules.tick, rules.tick_threshold, rules.tick_above, rules.fee, rules.fee_cap),
        unplaced=dict(chain.unplaced),
    )
    return _enveloped(CHAIN_MAGIC, CHAIN_VERSION, _encode_record(record))


def decode_chain(data: bytes) -> OptionChain:
    """Return the chain that was encoded, its arrays read-only. Raises CorruptPayload."""
    body = _opened(CHAIN_MAGIC, CHAIN_VERSION, data)
    try:
        record = _decode_record(body)
        columns = {
            name: np.frombuffer(column, dtype)
            for (name, dtype), column in zip(_COLUMNS.items(), record.columns, strict=True)
        }
        return OptionChain(
            underlying=record.underlying,
            venue=record.venue,
            source=record.source,
            as_of_ms=record.as_of_ms,
            sequence=record.sequence,
            premium=record.premium,
            expiries=_split(record.expiries, columns),
            futures=tuple(FutureQuote(*future) for future in record.futures),
            rules=TradingRules(*record.rules),
            unplaced=record.unplaced,
        )
    except (msgspec.MsgspecError, InvalidChain, ValueError) as error:
        raise CorruptPayload(f"chain payload does not hold a chain: {error}") from error


def seal_document(document: bytes) -> bytes:
    """Return a published document's bytes in their envelope."""
    return _enveloped(DOCUMENT_MAGIC, DOCUMENT_VERSION, document)


def open_document(data: bytes) -> bytes:
    """Return the document that was sealed. Raises CorruptPayload."""
    return _opened(DOCUMENT_MAGIC, DOCUMENT_VERSION, data)


def seal_state(state: bytes) -> bytes:
    """Return the bytes that travel with a surface in their envelope."""
    return _enveloped(STATE_MAGIC, STATE_VERSION, state)


def open_state(data: bytes) -> bytes:
    """Return the state that was sealed. Raises CorruptPayload."""
    return _opened(STATE_MAGIC, STATE_VERSION, data)


def seal_scores(scores: bytes) -> bytes:
    """Return a board or a report of scores in its envelope."""
    return _enveloped(SCORES_MAGIC, SCORES_VERSION, scores)


def open_scores(data: bytes) -> bytes:
    """Return the board or report that was sealed. Raises CorruptPayload."""
    return _opened(SCORES_MAGIC, SCORES_VERSION, data)


def check_chain(data: bytes) -> None:
    """Raise CorruptPayload unless ``data`` is an undamaged envelope of a chain; the body is not decoded."""
    _checked(CHAIN_MAGIC, CHAIN_VERSION, data)


def _joined(chain: OptionChain, name: str, dtype: str) -> bytes:
    arrays = [getattr(expiry, name) for expiry in chain.expiries]
    return np.concatenate(arrays).astype(dtype, copy=False).tobytes() if arrays else b""


def _split(expiries: list[tuple[int, int]], columns: dict[str, np.ndarray[Any, Any]]) -> tuple[ExpiryQuotes, ...]:
    count = sum(n for _, n in expiries)
    for name, column in columns.items():
        if len(column) != count:
            raise InvalidChain(f"column {name} holds {len(column)} numbers, the expiries have {count} quotes")
    quotes = []
    start = 0
    for expiry_ms, n in expiries:
        place = slice(start, start + n)
        quotes.append(ExpiryQuotes(expiry_ms, **{name: column[place] for name, column in columns.items()}))
        start += n
    return tuple(quotes)


def _enveloped(magic: bytes, version: int, body: bytes) -> bytes:
    head = _HEAD.pack(magic, version)
    compressed = _zstandard.compress(body)
    return head + _CHECKSUM.pack(zlib.crc32(compressed, zlib.crc32(head))) + compressed


def _opened(magic: bytes, version: int, data: bytes) -> bytes:
    compressed = _checked(magic, version, data)
    try:
        return _zstandard.decompress(compressed)
    except zstandard.ZstdError as error:
        raise CorruptPayload(f"payload cannot be decompressed: {error}") from error


def _checked(magic: bytes, version: int, data: bytes) -> memoryview:
    if len(data) < _BODY_AT:
        raise CorruptPayload(f"payload of {len(data)} bytes: an envelope has at least {_BODY_AT}")
    found_magic, found_version = _HEAD.unpack_from(data)
    if found_magic != magic:
        raise CorruptPayload(f"payload begins with {found_magic!r}, expected {magic!r}")
    if found_version != version:
        raise CorruptPayload(f"payload has format version {found_version}, this program reads version {version}")
    (stored,) = _CHECKSUM.unpack_from(data, _HEAD.size)
    view = memoryview(data)
    found = zlib.crc32(view[_BODY_AT:], zlib.crc32(view[: _HEAD.size]))
    if found != stored:
        raise CorruptPayload(f"payload has CRC-32 {found:08x}, its envelope says {stored:08x}")
    return view[_BODY_AT:]
