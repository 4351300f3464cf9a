"""ExpiryQuotes -> Smile: what a model is fitted to. Every quote that is not used has a reason."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from app.quant.arrays import BoolArray, FloatArray


class ExpiryStatus(StrEnum):
    """What became of an expiry."""

    OK = "ok"
    DEGRADED = "degraded"
    TOO_FEW_QUOTES = "too_few_quotes"
    NO_FORWARD = "no_forward"
    EXPIRED = "expired"


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


@dataclass(frozen=True, slots=True, eq=False)
class Smile:
    """Two-sided out-of-the-money quotes of one expiry in vol space; arrays of length n, strikes ascending.

    ``k`` = ln(strike / forward); vols are decimals, ACT/365; ``mid_vol`` is the mean of bid and ask vol;
    ``noise`` is one standard deviation of the mid vol (quote_noise.py). ``forward_sd`` is one standard
    deviation of the forward, in its own units.
    """

    expiry_ms: int
    t: float
    forward: float
    forward_sd: float
    discount_factor: float
    strike: FloatArray
    is_call: BoolArray
    k: FloatArray
    bid_vol: FloatArray
    ask_vol: FloatArray
    mid_vol: FloatArray
    noise: FloatArray
    dropped: Mapping[str, int]

    def __len__(self) -> int:
        return int(self.k.shape[0])


@dataclass(frozen=True, slots=True)
class ExcludedExpiry:
    """An expiry that gets no smile, with the sentence an operator reads."""

    expiry_ms: int
    t: float
    status: ExpiryStatus
    reason: str
    dropped: Mapping[str, int]
