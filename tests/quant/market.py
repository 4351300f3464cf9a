"""Recorded chains as a market that goes on: read once a test run, five minutes apart."""

from dataclasses import replace
from functools import cache
from itertools import islice
from typing import Final

import numpy as np

from app.feeds.recording import SHIPPED, read_recorded
from app.quant.arrays import FloatArray
from app.quant.black import black_price
from app.quant.chain import ExpiryQuotes, OptionChain
from app.quant.implied_vol import IvStatus, implied_vol
from app.quant.maintenance import MaintainedFit, MaintenanceState, maintain_surface
from app.quant.surface import VolSurface
from app.quant.year_fraction import MS_PER_YEAR
from app.venues import VENUES

BTC, ETH = SHIPPED
SERIES: Final = 32
"""Chains that make a series in tests: from 10:42 to 13:20 UTC, over the release of US inflation figures at 12:30."""


@cache
def recorded_chains(underlying: str, count: int = SERIES) -> tuple[OptionChain, ...]:
    """The first ``count`` recorded chains of BTC or ETH."""
    path = {"BTC": BTC, "ETH": ETH}[underlying]
    return tuple(VENUES[r.venue].parse(r.body, received_ms=0) for r in islice(read_recorded(path), count))


@cache
def maintained_series(underlying: str, count: int = SERIES) -> tuple[MaintainedFit, ...]:
    """The surfaces of the first ``count`` recorded chains, each maintained from the one before."""
    fits: list[MaintainedFit] = []
    surface: VolSurface | None = None
    state: MaintenanceState | None = None
    for chain in recorded_chains(underlying, count):
        fits.append(maintain_surface(chain, previous=surface, state=state))
        surface, state = fits[-1].fit.surface, fits[-1].state
    return tuple(fits)


def repriced(chain: OptionChain, vol_scale: float) -> OptionChain:
    """An inverse chain with every implied vol scaled; quotes without one are withdrawn."""
    expiries = []
    for e in chain.expiries:
        t = (e.expiry_ms - e.timestamp_ms) / MS_PER_YEAR

        def scaled(coin: FloatArray, e: ExpiryQuotes = e, t: FloatArray = t) -> FloatArray:
            found = implied_vol(coin * e.forward, e.forward, e.strike, t, e.is_call)
            known = found.status == IvStatus.OK
            vol = np.where(known, vol_scale * found.vol, 0.0)
            return np.where(known, black_price(e.forward, e.strike, vol, t, e.is_call) / e.forward, np.nan)

        expiries.append(replace(e, bid=scaled(e.bid), ask=scaled(e.ask)))
    return replace(chain, expiries=tuple(expiries))
