"""Why quotes were not used: every quote is used or has exactly one reason."""

from enum import StrEnum
from typing import Final

import numpy as np

from app.quant.arrays import BoolArray, IntArray


class Dropped(StrEnum):
    """Why a quote was not used."""

    ONE_SIDED = "one_sided"
    NO_QUOTE = "no_quote"
    NOT_FINITE = "not_finite"
    NEGATIVE = "negative_price"
    CROSSED = "crossed"
    IN_THE_MONEY = "in_the_money"
    BELOW_INTRINSIC = "below_intrinsic"
    ABOVE_BOUND = "above_bound"
    NO_TIME_VALUE = "no_time_value"
    NOT_RECOVERABLE = "not_recoverable"
    DUPLICATE_STRIKE = "duplicate_strike"
    STALE = "stale"
    FUTURE = "future_timestamp"
    UNCONFIRMED = "unconfirmed"
    """Far from the surface before and from its neighbours, too; see confirmation.py."""
    EXPIRY_EXCLUDED = "expiry_excluded"
    """Usable by itself, but its expiry got no smile; the expiry's own reason says why."""


USABLE: Final = 0
"""The code of a quote that has no reason against it."""
CODES: Final = {reason: code for code, reason in enumerate(Dropped, start=1)}
"""The codes of the reasons."""
_NAMES: Final = tuple(reason.value for reason in Dropped)


class Verdicts:
    """One code a quote: USABLE while it may be used, else its one reason; the first reason found is kept."""

    def __init__(self, n: int) -> None:
        self.code = np.zeros(n, dtype=np.int64)

    def drop(self, rows: BoolArray, reason: Dropped) -> None:
        """Drop the quotes where ``rows`` is true."""
        self.code[rows & (self.code == 0)] = CODES[reason]

    def drop_rows(self, rows: IntArray | int, reason: Dropped) -> None:
        """Drop the quotes with these indices."""
        self.code[rows] = np.where(self.code[rows] == 0, CODES[reason], self.code[rows])

    def reason(self, row: int) -> str | None:
        """Return why the quote was dropped; None where it was not."""
        code = int(self.code[row])
        return _NAMES[code - 1] if code else None

    def counts(self, expiry: IntArray, expiries: int) -> list[dict[str, int]]:
        """Return for each expiry how many quotes each reason took."""
        width = len(_NAMES) + 1
        table = np.bincount(expiry * width + self.code)
        found = np.flatnonzero(table)
        counts: list[dict[str, int]] = [{} for _ in range(expiries)]
        for place, n in zip(found.tolist(), table[found].tolist(), strict=True):
            e, code = divmod(place, width)
            if code:
                counts[e][_NAMES[code - 1]] = n
        return counts
