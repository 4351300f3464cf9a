"""All quotes of a chain as one set of columns, so that every later step is one array operation."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from app.quant.arrays import BoolArray, FloatArray, IntArray
from app.quant.chain import OptionChain
from app.quant.compiled import inner_kernel, kernel
from app.quant.year_fraction import year_fraction

CLOCK_TOLERANCE_MS: Final = 5_000
"""How far a quote's clock may run ahead of the chain's before it is from the future: venues and collectors stamp to
the second and drift by a few; beyond that one of the clocks is wrong."""
LARGEST_NUMBER: Final = 1e15
"""No strike, forward or premium is larger, or smaller than its inverse; their products and ratios stay finite."""


@dataclass(frozen=True, slots=True, eq=False)
class QuoteTable:
    """Columns of length n, sorted by expiry, strike, put before call, newest and then tightest first.

    ``expiry`` indexes the chain's expiries, ``start`` holds the first row of each and, last, n. ``t`` is the year
    fraction of each expiry. Prices are in premium units, ``age_ms`` is counted back from the chain's ``as_of_ms``.
    ``countable`` marks rows whose numbers are missing, zero or of a size that occurs; ``first`` the row that speaks for
    its strike and type; ``two_sided`` those of both with a bid below their ask and no clock ahead.
    """

    t: FloatArray
    start: IntArray
    expiry: IntArray
    strike: FloatArray
    is_call: BoolArray
    bid: FloatArray
    ask: FloatArray
    bid_size: FloatArray
    ask_size: FloatArray
    age_ms: FloatArray
    forward: FloatArray
    countable: BoolArray
    first: BoolArray
    two_sided: BoolArray

    def __len__(self) -> int:
        return int(self.strike.shape[0])


def quote_table(chain: OptionChain) -> QuoteTable:
    """Flatten and sort ``chain``; nothing is removed, every quote is one row."""
    counts = np.array([len(e) for e in chain.expiries], dtype=np.int64)
    expiry = np.repeat(np.arange(counts.size), counts)

    def column(name: str) -> FloatArray:
        parts = [getattr(e, name) for e in chain.expiries]
        return np.concatenate(parts).astype(np.float64, copy=False) if parts else np.empty(0)

    strike, is_call = column("strike"), column("is_call") > 0.0
    bid, ask, forward = column("bid"), column("ask"), column("forward")
    age_ms = chain.as_of_ms - column("timestamp_ms")
    ahead = age_ms < -CLOCK_TOLERANCE_MS
    countable = np.empty(strike.shape, np.bool_)
    mark_countable(strike, bid, ask, forward, countable)
    both = countable & (bid > 0.0) & (ask > 0.0)
    order = np.lexsort((is_call, strike, expiry))
    first = _firsts(expiry, strike[order], is_call[order])
    if not first.all():
        width = np.subtract(ask, bid, out=np.full_like(bid, np.inf), where=both)
        order = np.lexsort((width, np.where(ahead, np.inf, age_ms), is_call, strike, expiry))
    bid, ask, forward, countable = bid[order], ask[order], forward[order], countable[order]
    return QuoteTable(
        t=np.array([year_fraction(chain.as_of_ms, e.expiry_ms) for e in chain.expiries], dtype=np.float64),
        start=np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)]),
        expiry=expiry,
        strike=strike[order],
        is_call=is_call[order],
        bid=bid,
        ask=ask,
        bid_size=column("bid_size")[order],
        ask_size=column("ask_size")[order],
        age_ms=age_ms[order],
        forward=forward,
        countable=countable,
        first=first,
        two_sided=first & both[order] & (bid < ask) & ~(forward <= 0.0) & ~ahead[order],
    )


def _firsts(expiry: IntArray, strike: FloatArray, is_call: BoolArray) -> BoolArray:
    """Return True for each row whose expiry, strike and type are not those of the row before."""
    first = np.ones(expiry.shape, dtype=np.bool_)
    first[1:] = (expiry[1:] != expiry[:-1]) | (strike[1:] != strike[:-1]) | (is_call[1:] != is_call[:-1])
    return first


@kernel
def mark_countable(
    strike: FloatArray, bid: FloatArray, ask: FloatArray, forward: FloatArray, countable: BoolArray
) -> None:
    """Write whether the numbers of each row are missing, zero or of a size that occurs."""
    for i in range(strike.shape[0]):
        countable[i] = not (_absurd(strike[i]) or _absurd(bid[i]) or _absurd(ask[i]) or _absurd(forward[i]))


@inner_kernel
def _absurd(number: float) -> bool:
    size = abs(number)
    return size > LARGEST_NUMBER or 0.0 < size < 1.0 / LARGEST_NUMBER
