"""Where a query asks: columns of times and places, checked and turned into arrays as a whole."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

import numpy as np

from app.quant.arrays import BoolArray, FloatArray
from app.quant.errors import InvalidQuery
from app.quant.year_fraction import MS_PER_YEAR

MAX_POINTS: Final = 10_000
"""Points of one query: a full chain of the largest listed underlying fits twice."""

HORIZON_DAYS: Final = 36_500.0
"""A century; no option lives longer, and a surface of some months says nothing about what is beyond."""

MAX_LOG_MONEYNESS: Final = 20.0
"""ln(strike/forward) beyond which a strike is a typing error: 5e8 times the forward."""

AT_THE_MONEY: Final = "ATM"


@dataclass(frozen=True, slots=True)
class Points:
    """Columns of one length; each point names one of expiry_ms or tenor_days and one of strike, delta, log_moneyness.

    ``delta`` is signed (puts negative) or a name such as 25P, 10C, ATM; a call delta is the forward delta. Where
    ``is_call`` is None the option is the one out of the money, or the one its delta names.
    """

    expiry_ms: Sequence[int | None]
    tenor_days: Sequence[float | None]
    strike: Sequence[float | None]
    delta: Sequence[str | float | None]
    log_moneyness: Sequence[float | None]
    is_call: Sequence[bool | None]
    greeks: bool
    stickiness: float | None = None
    """The skew stickiness ratio of smile_dynamics.py; None asks for the greeks of the point."""

    def __len__(self) -> int:
        return len(self.is_call)


@dataclass(frozen=True, slots=True)
class Places:
    """Arrays of the points' length; of strike, log_moneyness and delta one is a number, the others are NaN.

    ``delta`` is signed; ``is_call`` is 1 for calls, 0 for puts and NaN for whichever is out of the money.
    """

    strike: FloatArray
    log_moneyness: FloatArray
    delta: FloatArray
    is_call: FloatArray


def maturities(points: Points, as_of_ms: int) -> FloatArray:
    """Return the points' times to expiry in years, not positive where expired.

    Raises InvalidQuery with a pointer, also for a point beyond HORIZON_DAYS.
    """
    if len(points) > MAX_POINTS:
        raise InvalidQuery(f"{len(points)} points: at most {MAX_POINTS} in one query")
    expiry_ms, tenor_days = _column(points.expiry_ms), _column(points.tenor_days)
    by_tenor = ~np.isnan(tenor_days)
    _refuse(by_tenor == ~np.isnan(expiry_ms), "expiry", "a point names exactly one of expiry and tenor_days")
    wrong = by_tenor & ~((tenor_days > 0.0) & (tenor_days < math.inf))
    _refuse(wrong, "tenor_days", "tenor_days must be positive and finite", tenor_days)
    t = np.where(by_tenor, tenor_days / 365.0, (expiry_ms - as_of_ms) / MS_PER_YEAR)
    beyond = t > HORIZON_DAYS / 365.0
    _refuse(beyond & by_tenor, "tenor_days", f"at most {HORIZON_DAYS:g} days are answered", tenor_days)
    _refuse(beyond, "expiry", f"expiry is more than {HORIZON_DAYS:g} days after the surface")
    return t


def places(points: Points) -> Places:
    """Return where the points are. Raises InvalidQuery with a pointer to the first that is nowhere."""
    strike, k = _column(points.strike), _column(points.log_moneyness)
    delta, at_the_money = _signed_deltas(points.delta)
    named = (~np.isnan(strike)).astype(int) + ~np.isnan(k) + ~np.isnan(delta) + at_the_money
    _refuse(named != 1, "strike", "a point names exactly one of strike, delta and log_moneyness")
    _refuse((strike <= 0.0) | np.isinf(strike), "strike", "strike must be positive and finite", strike)
    _refuse(np.abs(k) > MAX_LOG_MONEYNESS, "log_moneyness", f"log_moneyness must lie within +-{MAX_LOG_MONEYNESS}", k)
    k[at_the_money] = 0.0
    is_call, side = _column(points.is_call), np.where(np.isnan(delta), np.nan, delta > 0.0)
    _refuse(is_call == 1.0 - side, "type", "delta and type contradict each other", delta)
    return Places(strike, k, delta, np.where(np.isnan(side), is_call, side))


def _signed_deltas(asked: Sequence[str | float | None]) -> tuple[FloatArray, BoolArray]:
    """Return the deltas, NaN where none is asked for, and where the forward is. Each name is read once."""
    read: dict[str | float | None, float | None] = {}
    if str in set(map(type, asked)):
        for each in dict.fromkeys(asked):
            try:
                read[each] = _named_delta(each) if isinstance(each, str) else each
            except InvalidQuery as error:
                raise InvalidQuery(str(error), f"/delta/{asked.index(each)}") from error
    delta = _column([read[each] for each in asked] if read else cast(Sequence[float | None], asked))
    outside = ~np.isnan(delta) & ~((np.abs(delta) > 0.0) & (np.abs(delta) < 1.0))
    _refuse(outside, "delta", "delta must lie in (-1, 0) or (0, 1)", delta)
    if AT_THE_MONEY not in read:
        return delta, np.zeros(len(asked), dtype=np.bool_)
    return delta, np.array([each == AT_THE_MONEY for each in asked])


def _named_delta(name: str) -> float:
    """Return the signed delta that ``name`` stands for, NaN for the forward's."""
    if name == AT_THE_MONEY:
        return math.nan
    number, side = name[:-1], name[-1:]
    if side not in ("C", "P") or not number.replace(".", "", 1).isdecimal():
        raise InvalidQuery(f"delta {name!r} is not a name such as 25P, 10C or ATM")
    return math.copysign(float(number) / 100.0, 1.0 if side == "C" else -1.0)


def _refuse(wrong: BoolArray, column: str, rule: str, values: FloatArray | None = None) -> None:
    if wrong.any():
        i = int(np.argmax(wrong))
        raise InvalidQuery(rule if values is None else f"{rule}, got {values[i]}", f"/{column}/{i}")


def _column(values: Sequence[float | None]) -> FloatArray:
    """Return ``values`` with NaN for None, which is how numpy reads it; a column left out is all None."""
    if values.count(None) == len(values):
        return np.full(len(values), np.nan)
    return np.array(values, dtype=np.float64)
