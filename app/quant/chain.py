"""An option chain as it arrives: quotes by expiry, in the units the venue quotes them, validated once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import numpy as np

from app.quant.arrays import BoolArray, FloatArray, IntArray
from app.quant.errors import InvalidChain

MAX_QUOTES: Final = 20_000
"""Quotes a chain may hold; the largest listed chain known (SPX with SPXW) has 17,107."""


class Premium(StrEnum):
    """What a premium is counted in."""

    COIN = "coin"
    """Inverse options: units of the underlying; multiply by the forward for quote currency."""
    QUOTE = "quote"
    """Linear options: units of the quote currency."""


@dataclass(frozen=True, slots=True)
class TradingRules:
    """A venue's tick and fee schedule, in premium units.

    The tick of a premium p is ``tick_above`` where p >= ``tick_threshold`` and ``tick`` below it.
    The fee of one side is min(``fee``, ``fee_cap`` * premium).
    """

    tick: float = 0.0
    tick_threshold: float = float("inf")
    tick_above: float = 0.0
    fee: float = 0.0
    fee_cap: float = 0.0


@dataclass(frozen=True, slots=True)
class FutureQuote:
    """Best bid and ask of the future that expires with the options (NaN: that side is missing)."""

    expiry_ms: int
    bid: float
    ask: float


@dataclass(frozen=True, slots=True, eq=False)
class ExpiryQuotes:
    """Quotes of one expiry; arrays of one length n, in any order, read-only.

    Prices are in premium units, sizes in contracts, ``timestamp_ms`` is when the quote was seen. NaN says
    "the venue sent none" for a price, a size or a forward; it never says zero.
    """

    expiry_ms: int
    strike: FloatArray
    is_call: BoolArray
    bid: FloatArray
    ask: FloatArray
    bid_size: FloatArray
    ask_size: FloatArray
    timestamp_ms: IntArray
    forward: FloatArray

    def __post_init__(self) -> None:
        n = self.strike.shape
        for name in ("is_call", "bid", "ask", "bid_size", "ask_size", "timestamp_ms", "forward"):
            shape = getattr(self, name).shape
            if shape != n:
                raise InvalidChain(f"{name} has shape {shape}, strike has {n}: they must agree")
        if not ((self.strike > 0.0) & (self.strike < np.inf)).all():
            raise InvalidChain(f"strikes of expiry {self.expiry_ms} must be finite and positive")

    def __len__(self) -> int:
        return int(self.strike.shape[0])


@dataclass(frozen=True, slots=True, eq=False)
class OptionChain:
    """Everything known about one underlying's options at ``as_of_ms`` (UTC), expiries ascending.

    ``unplaced`` counts, by reason, quotes the venue sent that belong to no expiry (an unknown instrument name, ...).
    """

    underlying: str
    venue: str
    source: str
    as_of_ms: int
    sequence: int
    premium: Premium
    expiries: tuple[ExpiryQuotes, ...]
    futures: tuple[FutureQuote, ...] = ()
    rules: TradingRules = TradingRules()
    unplaced: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        times = [e.expiry_ms for e in self.expiries]
        if times != sorted(set(times)):
            raise InvalidChain(f"expiries must ascend and be distinct, got {times}")
        if len(self) > MAX_QUOTES:
            raise InvalidChain(f"{len(self)} quotes: a chain may hold at most {MAX_QUOTES}")

    def __len__(self) -> int:
        return sum(len(e) for e in self.expiries)
