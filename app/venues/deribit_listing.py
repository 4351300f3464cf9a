"""What a list of Deribit's instrument names says: whose chain it is, and which rows are its options and its futures.

The venue lists the same names in the same order for hours, so what they say is worked out once for as long.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from app.quant.arrays import BoolArray, FloatArray, IntArray, frozen
from app.quant.errors import InvalidChain
from app.venues.deribit_names import FutureName, OptionName, split_name

UNKNOWN_INSTRUMENT: Final = "unknown_instrument"
OTHER_UNDERLYING: Final = "other_underlying"
DUPLICATE_FUTURE: Final = "duplicate_future"

LISTINGS_KEPT: Final = 32
"""A few times the underlyings of the venue; 0.1 MB each for a thousand names."""
LONGEST_KEPT: Final = 5_000
"""Names of a listing that is kept: a few times the longest there is, and no body can fill the memory with more."""


@dataclass(frozen=True, slots=True, eq=False)
class Listing:
    """The rows of one underlying; arrays are read-only and have one place an option.

    ``futures`` maps the expiries of its dated futures, ascending, to their rows; ``unplaced`` counts, by reason, the
    rows that are of no use.
    """

    underlying: str
    options: tuple[int, ...]
    expiry_ms: IntArray
    strike: FloatArray
    is_call: BoolArray
    futures: Mapping[int, int]
    unplaced: Mapping[str, int]


def listing_of(names: tuple[str, ...]) -> Listing:
    """Return what ``names`` say of the underlying most options belong to, the first of equals.

    Raises InvalidChain where none is an option.
    """
    return _kept_listing_of(names) if len(names) <= LONGEST_KEPT else _read(names)


def _read(names: tuple[str, ...]) -> Listing:
    unplaced: Counter[str] = Counter()
    options: list[tuple[int, OptionName]] = []
    futures: list[tuple[int, FutureName]] = []
    for row, name in enumerate(map(split_name, names)):
        if isinstance(name, OptionName):
            options.append((row, name))
        elif isinstance(name, FutureName):
            futures.append((row, name))
        elif name is None:
            unplaced[UNKNOWN_INSTRUMENT] += 1
    if not options:
        counted = f", {unplaced[UNKNOWN_INSTRUMENT]} unknown names" if unplaced else ""
        raise InvalidChain(f"0 option records with a known name{counted}: a chain holds at least one option")
    ((underlying, most),) = Counter(name.underlying for _, name in options).most_common(1)
    if most < len(options):
        unplaced[OTHER_UNDERLYING] += len(options) - most
        options = [(row, name) for row, name in options if name.underlying == underlying]
    return Listing(
        underlying=underlying,
        options=tuple(row for row, _ in options),
        expiry_ms=frozen([name.expiry_ms for _, name in options], np.int64),
        strike=frozen([name.strike for _, name in options]),
        is_call=frozen([name.is_call for _, name in options], np.bool_),
        futures=_futures_of(underlying, futures, unplaced),
        unplaced=unplaced,
    )


_kept_listing_of = lru_cache(maxsize=LISTINGS_KEPT)(_read)


def _futures_of(underlying: str, futures: list[tuple[int, FutureName]], unplaced: Counter[str]) -> dict[int, int]:
    """Return the row of each expiry, the first of equals; the rest is counted in ``unplaced``."""
    rows: dict[int, int] = {}
    for row, name in futures:
        if name.underlying != underlying:
            unplaced[OTHER_UNDERLYING] += 1
        elif name.expiry_ms in rows:
            unplaced[DUPLICATE_FUTURE] += 1
        else:
            rows[name.expiry_ms] = row
    return {expiry_ms: rows[expiry_ms] for expiry_ms in sorted(rows)}
