"""The quotes behind a surface as they are sent: one struct a level, units beside the numbers."""

from typing import Literal

import msgspec

OptionType = Literal["C", "P"]


class UnusedQuote(msgspec.Struct, frozen=True):
    """A quote that was not fitted to, and why."""

    strike: float
    type: OptionType
    reason: str


class SliceQuotes(msgspec.Struct, frozen=True):
    """One expiry; the columns have one length, strikes ascending.

    They hold the out-of-the-money quotes that have a vol on one side at least; ``used`` says which were fitted to.
    ``dropped`` names every quote of the chain that was not, in the money or without any vol included. Vols are
    decimals, ACT/365, at the time and forward of the quote; null where that side has no quote or no vol.
    ``log_moneyness`` is ln(strike/forward) with that same forward, ``forward`` the expiry's at the chain's as_of.
    ``mid_vol`` is the mean of bid and ask vol, ``model_vol`` the surface's there; null where the expiry has no curve.
    """

    expiry: str
    forward: float | None
    strike: list[float]
    type: list[OptionType]
    log_moneyness: list[float]
    bid_vol: list[float | None]
    ask_vol: list[float | None]
    mid_vol: list[float | None]
    model_vol: list[float | None]
    used: list[bool]
    dropped: list[UnusedQuote]


class SurfaceQuotes(msgspec.Struct, frozen=True):
    """The quotes of the chain that the surface of ``version`` was fitted to, every expiry of it ascending."""

    underlying: str
    version: str
    as_of: str
    slices: list[SliceQuotes]
