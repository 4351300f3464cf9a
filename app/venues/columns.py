"""Quotes of all expiries as columns, the step between a decoded body and a chain."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.quant.arrays import BoolArray, FloatArray, IntArray
from app.quant.chain import MAX_QUOTES, ExpiryQuotes
from app.quant.errors import InvalidChain


@dataclass(frozen=True, slots=True, eq=False)
class QuoteColumns:
    """One row a quote, columns of one length, units as in ExpiryQuotes."""

    expiry_ms: IntArray
    strike: FloatArray
    is_call: BoolArray
    bid: FloatArray
    ask: FloatArray
    bid_size: FloatArray
    ask_size: FloatArray
    timestamp_ms: IntArray
    forward: FloatArray

    def by_expiry(self) -> tuple[ExpiryQuotes, ...]:
        """Return the quotes of each expiry, expiries ascending, rows of an expiry in the order they came.

        Raises InvalidChain when there are no quotes, or more than a chain may hold.
        """
        n = self.expiry_ms.shape[0]
        if not 0 < n <= MAX_QUOTES:
            raise InvalidChain(f"{n} quotes: a chain holds between 1 and {MAX_QUOTES}")
        order = np.argsort(self.expiry_ms, kind="stable")
        columns: dict[str, NDArray[Any]] = {}
        for field in fields(self):
            column = getattr(self, field.name)[order]
            # Slices of a read-only array are read-only, so the expiries can share these columns.
            column.setflags(write=False)
            columns[field.name] = column
        expiry_ms = columns.pop("expiry_ms")
        starts = [0, *(np.flatnonzero(np.diff(expiry_ms)) + 1).tolist(), n]
        return tuple(
            ExpiryQuotes(expiry_ms=int(expiry_ms[start]), **{name: c[start:stop] for name, c in columns.items()})
            for start, stop in pairwise(starts)
        )


def float_column(values: Sequence[float | None]) -> FloatArray:
    """Return the values as an array, NaN where there is none."""
    # Fields a venue never sends are common, and None is slow to convert one by one.
    if values and values[0] is None and values.count(None) == len(values):
        return np.full(len(values), np.nan)
    return np.array(values, dtype=np.float64)


def call_column(types: Sequence[str]) -> BoolArray:
    """Return True for each ``C``; the other type is ``P``."""
    is_call: BoolArray = np.frombuffer("".join(types).encode("ascii"), dtype=np.uint8) == ord("C")
    return is_call


def price_column(values: Sequence[float | None]) -> FloatArray:
    """Return the prices as a new array, NaN where there is none: null and 0 both say that nobody quotes."""
    prices = float_column(values)
    prices[prices == 0.0] = np.nan
    return prices
