"""Every kernel compiled and run once on a small known chain, so that the first real chain is not the slow one."""

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from app.quant.black import black_greeks, black_price
from app.quant.calibration import calibrate_surface
from app.quant.chain import ExpiryQuotes, OptionChain, Premium, TradingRules
from app.quant.models import DEFAULT_MODEL, MODELS
from app.quant.smile import read_smiles
from app.quant.year_fraction import MS_PER_DAY, year_fraction

_AS_OF_MS: Final = 1_700_000_000_000
_FORWARD: Final = 100.0
_DAYS: Final = (2, 9, 30, 90)
_STRIKES: Final = np.linspace(60.0, 160.0, 21)
_TICK: Final = 0.0001
_QUERY_MODEL: Final = "essvi"
"""Needs no kernel of its own, so that a process that only answers queries loads none of the fitters'."""


def warm_up_stages() -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield (what is compiled, run it) in the order of a chain's path; later stages build on earlier ones."""
    chain = known_chain()

    def read() -> None:
        read_smiles(chain)

    yield "quotes to vols", read
    for name in (DEFAULT_MODEL, *(other for other in MODELS if other != DEFAULT_MODEL)):
        yield f"model {name}", lambda name=name: _calibrate_cold_and_warm(chain, name)  # type: ignore[misc]
    yield "queries", warm_up_queries


def warm_up_queries() -> None:
    """Run what answers queries: vols on, between and beyond expiries, strikes by delta, greeks, a rebuilt curve."""
    surface = calibrate_surface(known_chain(), model=_QUERY_MODEL).surface
    first, last = surface.maturities[0], surface.maturities[-1]
    for t in (first, 0.5 * first, 0.5 * (first + last), 1.5 * last):
        strikes = surface.strikes_at_delta(np.array([-0.25, 0.25]), t, [False, True])
        vols = surface.vol(np.log(strikes / surface.forward(t)), t)
        black_greeks(surface.forward(t), strikes, vols, t, np.array([False, True]))


def warm_up() -> None:
    """Run every stage."""
    for _, run in warm_up_stages():
        run()


def known_chain() -> OptionChain:
    """Return an inverse-option chain priced from a fixed smile: 4 expiries of 21 strikes, a tick of spread a side."""
    return OptionChain(
        underlying="WARM-UP",
        venue="native",
        source="known",
        as_of_ms=_AS_OF_MS,
        sequence=0,
        premium=Premium.COIN,
        expiries=tuple(_expiry(days) for days in _DAYS),
        rules=TradingRules(tick=_TICK),
    )


def _expiry(days: int) -> ExpiryQuotes:
    expiry_ms = _AS_OF_MS + days * MS_PER_DAY
    t = year_fraction(_AS_OF_MS, expiry_ms)
    strike = np.repeat(_STRIKES, 2)
    is_call = np.tile([True, False], _STRIKES.shape[0])
    k = np.log(strike / _FORWARD)
    vol = 0.6 - 0.1 * k + 0.15 * k * k / np.sqrt(t + 0.05)
    coin = black_price(_FORWARD, strike, vol, t, is_call) / _FORWARD
    unknown = np.full(strike.shape, np.nan)
    return ExpiryQuotes(
        expiry_ms=expiry_ms,
        strike=strike,
        is_call=is_call,
        bid=np.maximum(coin * 0.99 - _TICK, 0.0),
        ask=coin * 1.01 + _TICK,
        bid_size=unknown,
        ask_size=unknown,
        timestamp_ms=np.full(strike.shape, _AS_OF_MS, dtype=np.int64),
        forward=np.full(strike.shape, _FORWARD),
    )


def _calibrate_cold_and_warm(chain: OptionChain, model: str) -> None:
    cold = calibrate_surface(chain, model=model)
    calibrate_surface(chain, model=model, previous=cold.surface)
