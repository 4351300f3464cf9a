"""The factors of a surface as the store keeps them: one row of fixed size, with a checksum over its underlying too.

A row is the format's version (u8), 1 if degraded plus 2 if moved (u8), as_of in ms (i64), the factors and the smile's
slope (f64, NaN included, bit for bit), and the CRC-32 of the underlying's name and all that (u32), little-endian. 62
bytes are about the most that a small hash of the server keeps in place, and a stream with a header of one byte.
"""

import struct
import zlib
from collections.abc import Sequence
from typing import Final

import numpy as np

from app.quant.market_factors import FACTORS
from app.service.ports import CorruptPayload
from app.service.surface_factors import FactorSeries, SurfaceFactors

FORMAT: Final = 1
_DEGRADED: Final = 1
_MOVED: Final = 2

_BODY: Final = struct.Struct(f"<BBq{len(FACTORS) + 1}d")
_CHECKSUM: Final = struct.Struct("<I")
ROW_BYTES: Final = _BODY.size + _CHECKSUM.size

_COLUMNS: Final = np.dtype(
    [
        ("format", "u1"),
        ("flags", "u1"),
        ("as_of_ms", "<i8"),
        ("values", "<f8", (len(FACTORS),)),
        ("smile_slope", "<f8"),
        ("check", "<u4"),
    ]
)
"""A row again, for reading many at once."""


def encode_row(underlying: str, surface: SurfaceFactors) -> bytes:
    """Return the row of a surface."""
    flags = _DEGRADED * surface.degraded + _MOVED * surface.moved
    body = _BODY.pack(FORMAT, flags, surface.as_of_ms, *surface.factors.values, surface.factors.smile_slope)
    return body + _CHECKSUM.pack(_checksum(underlying, body))


def check_row(underlying: str, row: bytes) -> None:
    """Raise CorruptPayload unless ``row`` is an undamaged one of ``underlying``."""
    if len(row) != ROW_BYTES:
        raise CorruptPayload(f"factors of {underlying} in {len(row)} bytes: a row has {ROW_BYTES}")
    (stored,) = _CHECKSUM.unpack_from(row, _BODY.size)
    found = _checksum(underlying, row[: _BODY.size])
    if found != stored:
        raise CorruptPayload(f"factors of {underlying} have CRC-32 {found:08x}, their row says {stored:08x}")
    if row[0] != FORMAT:
        raise CorruptPayload(f"factors of {underlying} have format {row[0]}, this program reads {FORMAT}")


def decode_rows(versions: Sequence[int], rows: Sequence[bytes]) -> FactorSeries:
    """Return the factors in ``rows``, which are undamaged."""
    found = np.frombuffer(b"".join(rows), _COLUMNS)
    flags = found["flags"]
    return FactorSeries(
        version=np.array(versions, np.int64),
        as_of_ms=found["as_of_ms"].astype(np.int64),
        degraded=(flags & _DEGRADED) != 0,
        moved=(flags & _MOVED) != 0,
        values=found["values"].astype(np.float64),
        smile_slope=found["smile_slope"].astype(np.float64),
    )


def _checksum(underlying: str, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(underlying.encode()))
