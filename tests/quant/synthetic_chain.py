"""Chains priced from a known smile and known forwards, so that a test knows what must come out."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from app.quant.arrays import FloatArray
from app.quant.black import black_price
from app.quant.chain import ExpiryQuotes, FutureQuote, OptionChain, Premium, TradingRules
from app.quant.year_fraction import MS_PER_DAY, MS_PER_YEAR, year_fraction

AS_OF_MS = 1_700_000_000_000
NO_RULES = TradingRules()
STRIKES = np.linspace(70.0, 150.0, 17)


@dataclass(frozen=True)
class Truth:
    """One expiry: forward, discount factor, and a smile around ``vol``."""

    days: float
    forward: float = 101.0
    discount: float = 1.0
    vol: float = 0.6

    @property
    def expiry_ms(self) -> int:
        return AS_OF_MS + round(self.days * MS_PER_DAY)

    @property
    def t(self) -> float:
        return year_fraction(AS_OF_MS, self.expiry_ms)

    def vols(self, k: ArrayLike) -> FloatArray:
        k = np.asarray(k)
        return self.vol - 0.15 * k + 0.3 * k * k


def quotes(
    truth: Truth,
    premium: Premium,
    *,
    strikes: FloatArray = STRIKES,
    spread_vol: float = 0.01,
    forward: ArrayLike | None = None,
    timestamp_ms: ArrayLike = AS_OF_MS,
    say_forward: bool = False,
) -> ExpiryQuotes:
    """Return both types at every strike, bid and ask ``spread_vol`` to either side of the smile.

    ``forward`` is the forward at each quote's own time (rows: strikes x put, call); the vol at a k never changes.
    """
    strike, is_call = np.repeat(strikes, 2), np.tile([False, True], strikes.size)
    at = np.broadcast_to(np.asarray(truth.forward if forward is None else forward, dtype=np.float64), strike.shape)
    stamps = np.broadcast_to(np.asarray(timestamp_ms, dtype=np.int64), strike.shape)
    t = (truth.expiry_ms - stamps) / MS_PER_YEAR
    vol = truth.vols(np.log(strike / at))
    unit = 1.0 / at if premium is Premium.COIN else truth.discount
    unknown = np.full(strike.shape, np.nan)
    return ExpiryQuotes(
        expiry_ms=truth.expiry_ms,
        strike=strike,
        is_call=is_call,
        bid=black_price(at, strike, vol - spread_vol, t, is_call) * unit,
        ask=black_price(at, strike, vol + spread_vol, t, is_call) * unit,
        bid_size=unknown,
        ask_size=unknown,
        timestamp_ms=stamps.copy(),
        forward=at.copy() if say_forward else unknown,
    )


def chain(
    premium: Premium,
    *expiries: ExpiryQuotes,
    futures: tuple[FutureQuote, ...] = (),
    rules: TradingRules = NO_RULES,
) -> OptionChain:
    return OptionChain("XYZ", "native", "test", AS_OF_MS, 0, premium, expiries, futures, rules)


def changed(source: ExpiryQuotes, column: str, rows: object, value: ArrayLike) -> ExpiryQuotes:
    """Return ``source`` with some rows of one column replaced."""
    values = getattr(source, column).copy()
    values[rows] = value
    return replace(source, **{column: values})
