"""What a Deribit instrument name says.

``BTC-28AUG26-60000-C`` is an option, ``BTC-28AUG26`` a dated future, ``BTC-PERPETUAL`` and the spot pair ``BTC_USDC``
have no expiry. An underlying with an underscore (``SOL_USDC``) is linear: quoted and settled in the currency after it.
``d`` is the decimal point of a strike (``XRP_USDC-28AUG26-0d55-P``). Everything expires at 08:00 UTC.
"""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, NamedTuple

from app.quant.chain import Premium
from app.venues.amounts import MIN_STRIKE

NAMES_KEPT: Final = 16_384
"""Split names kept in memory, a few times what the venue lists at once (about 4,000)."""

_MONTHS: Final = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_EXPIRY_HOUR_UTC: Final = 8

_NAME: Final = re.compile(
    r"(?P<underlying>[A-Z0-9]{1,15}(?:_[A-Z0-9]{1,15})?)"
    r"(?:-(?P<undated>PERPETUAL)"
    r"|-(?P<day>[0-9]{1,2})(?P<month>[A-Z]{3})(?P<year>[0-9]{2})"
    r"(?:-(?P<strike>[0-9]{1,12}(?:d[0-9]{1,9})?)-(?P<type>[CP]))?)?"
)


class OptionName(NamedTuple):
    """An option: strike in quote currency, expiry in ms since the epoch, UTC."""

    underlying: str
    expiry_ms: int
    strike: float
    is_call: bool


class FutureName(NamedTuple):
    """A future with an expiry."""

    underlying: str
    expiry_ms: int


class UndatedName(NamedTuple):
    """A perpetual future or a spot pair: says nothing about any expiry's forward."""

    underlying: str


@lru_cache(maxsize=NAMES_KEPT)
def split_name(name: str) -> OptionName | FutureName | UndatedName | None:
    """Return what ``name`` stands for, None when it is no name of this venue (an impossible date, a combo, ...)."""
    parts = _NAME.fullmatch(name)
    if parts is None:
        return None
    underlying = parts["underlying"]
    if parts["day"] is None:
        # A bare word is not an instrument; a pair is spot.
        return UndatedName(underlying) if parts["undated"] or "_" in underlying else None
    if parts["month"] not in _MONTHS:
        return None
    month = _MONTHS.index(parts["month"]) + 1
    try:
        expiry = datetime(2000 + int(parts["year"]), month, int(parts["day"]), _EXPIRY_HOUR_UTC, tzinfo=UTC)
    except ValueError:
        return None
    expiry_ms = int(expiry.timestamp()) * 1000
    if parts["strike"] is None:
        return FutureName(underlying, expiry_ms)
    strike = float(parts["strike"].replace("d", "."))
    return OptionName(underlying, expiry_ms, strike, parts["type"] == "C") if strike >= MIN_STRIKE else None


def premium_of(underlying: str) -> Premium:
    """Return what options on ``underlying`` are quoted in."""
    return Premium.QUOTE if "_" in underlying else Premium.COIN
