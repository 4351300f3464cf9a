"""Recorded chains as a market that goes on: read once a test run, five minutes apart."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import islice
from typing import Final

import numpy as np

from app.feeds.recording import SHIPPED, read_recorded
from app.quant.arrays import FloatArray
from app.quant.black import black_price
from app.quant.calibration import SurfaceStatus
from app.quant.chain import ExpiryQuotes, OptionChain
from app.quant.forward import infer_forwards
from app.quant.implied_vol import IvStatus, implied_vol
from app.quant.maintenance import MaintainedFit, MaintenanceState, maintain_surface
from app.quant.surface import VolSurface
from app.quant.year_fraction import MS_PER_YEAR
from app.venues import VENUES
from tests.venues.bodies import native_surface_quotes, recorded

BTC, ETH = SHIPPED
SERIES: Final = 32
"""Chains that make a series in tests: from 10:42 to 13:20 UTC, over the release of US inflation figures at 12:30."""


@cache
def recorded_chains(underlying: str, count: int = SERIES) -> tuple[OptionChain, ...]:
    """The first ``count`` recorded chains of BTC or ETH."""
    path = {"BTC": BTC, "ETH": ETH}[underlying]
    return tuple(VENUES[r.venue].parse(r.body, received_ms=0) for r in islice(read_recorded(path), count))


@cache
def recorded_chain(name: str) -> OptionChain:
    """The chain of a file in tests/data: a Deribit body, or surface quotes in the native format."""
    if name.startswith("surface_quotes"):
        return VENUES["native"].parse(native_surface_quotes(name), received_ms=0)
    return VENUES["deribit"].parse(recorded(name), received_ms=0)


@cache
def maintained_series(underlying: str, count: int = SERIES) -> tuple[MaintainedFit, ...]:
    """The fits of the first ``count`` recorded chains, each maintained from the last one that was not rejected."""
    fits: list[MaintainedFit] = []
    surface: VolSurface | None = None
    state: MaintenanceState | None = None
    for chain in recorded_chains(underlying, count):
        fits.append(maintain_surface(chain, previous=surface, state=state))
        state = fits[-1].state
        if fits[-1].fit.status is not SurfaceStatus.REJECTED:
            surface = fits[-1].fit.surface
    return tuple(fits)


VolEdit = Callable[[FloatArray, FloatArray], FloatArray]
"""(vols, years to expiry) -> other vols."""


def repriced(chain: OptionChain, vol_scale: float) -> OptionChain:
    """An inverse chain with every implied vol scaled; quotes without one are withdrawn."""
    return revalued(chain, lambda vol, _: vol_scale * vol)


def retimed(chain: OptionChain, as_of_ms: int) -> OptionChain:
    """An inverse chain as of another time: quotes are as old then as they were, and have the vols they had."""
    return revalued(chain, lambda vol, _: vol, lag_ms=as_of_ms - chain.as_of_ms)


def revalued(chain: OptionChain, edit: VolEdit, *, lag_ms: int = 0) -> OptionChain:
    """An inverse chain with every implied vol edited, ``lag_ms`` later; quotes without a vol are withdrawn.

    A quote without a forward of its own is valued at the one that its chain implies.
    """
    expiries = []
    for e, forward in zip(chain.expiries, _forwards(chain), strict=True):
        t = (e.expiry_ms - e.timestamp_ms) / MS_PER_YEAR
        left = t - lag_ms / MS_PER_YEAR
        bid, ask = (_priced(edit(vol, t), e, forward, left) for vol in _vols(e, forward, t))
        expiries.append(replace(e, bid=bid, ask=ask, timestamp_ms=e.timestamp_ms + lag_ms))
    return replace(chain, as_of_ms=chain.as_of_ms + lag_ms, expiries=tuple(expiries))


def moved(chain: OptionChain, forward_scale: float, edit: VolEdit) -> OptionChain:
    """An inverse chain after a move of the underlying: the smile keeps its shape over moneyness, its vols are edited.

    Bid and ask vol of a listed strike are those that out-of-the-money quotes around the same moneyness had, linear
    between them; strikes beyond them are withdrawn.
    """
    expiries = []
    for e, forward in zip(chain.expiries, _forwards(chain), strict=True):
        t = (e.expiry_ms - e.timestamp_ms) / MS_PER_YEAR
        bid, ask = _vols(e, forward, t)
        told = np.where(e.is_call, e.strike > forward, e.strike < forward) & (bid > 0.0) & (ask > bid)
        order = np.flatnonzero(told)[np.argsort(np.log(e.strike / forward)[told], kind="stable")]
        k, after = np.log(e.strike / forward)[order], forward_scale * forward
        if k.size < 2:
            bid, ask = np.full((2, len(e)), np.nan)
        else:
            bid, ask = (np.interp(np.log(e.strike / after), k, v[order], np.nan, np.nan) for v in (bid, ask))
        quoted = replace(e, bid=_priced(edit(bid, t), e, after, t), ask=_priced(edit(ask, t), e, after, t))
        expiries.append(replace(quoted, forward=forward_scale * e.forward))
    futures = tuple(replace(f, bid=forward_scale * f.bid, ask=forward_scale * f.ask) for f in chain.futures)
    return replace(chain, expiries=tuple(expiries), futures=futures)


def _forwards(chain: OptionChain) -> list[FloatArray]:
    """The forward of each quote, by expiry."""
    implied = [forward.value if forward else np.nan for forward in infer_forwards(chain)]
    pairs = zip(chain.expiries, implied, strict=True)
    return [np.where(np.isnan(e.forward), value, e.forward) for e, value in pairs]


def _vols(e: ExpiryQuotes, forward: FloatArray, t: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The vols of bids and asks; NaN where a price has none."""
    found = [implied_vol(coin * forward, forward, e.strike, t, e.is_call) for coin in (e.bid, e.ask)]
    bid, ask = (np.where(each.status == IvStatus.OK, each.vol, np.nan) for each in found)
    return bid, ask


def _priced(vol: FloatArray, e: ExpiryQuotes, forward: FloatArray, t: FloatArray) -> FloatArray:
    """The prices in coin; NaN where there is no vol or no time left."""
    known = np.isfinite(vol) & (t > 0.0)
    price = black_price(forward, e.strike, np.where(known, vol, 0.0), np.where(known, t, 1.0), e.is_call)
    return np.where(known, price / forward, np.nan)
