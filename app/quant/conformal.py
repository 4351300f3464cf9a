"""Bands that hold what they promise: the factor on each bucket's half-width follows the misses of the quotes after it.

Adaptive conformal inference (Gibbs and Candes 2021) moves the level of an empirical quantile, alpha <- alpha +
gamma (alpha_0 - miss), and keeps a window of scores to take it from. Here the quantile itself moves, in logarithms
(the quantile tracker of Angelopoulos, Candes and Tibshirani 2023):

    ln factor <- ln factor + gamma (misses - alpha_0 quotes),

which is the same recursion with its sign turned, so its guarantee is the same and holds for any sequence of markets:
summed over T quotes at a constant gamma, |misses / T - alpha_0| = |ln factor_T - ln factor_0| / (gamma T), while the
factor stays within its bounds. It needs three numbers a bucket instead of hundreds of scores, which matters because the
state travels with every surface. gamma falls from a quick start to a floor (Angelopoulos, Barber and Bates 2024), and
no chain may move a factor by more than LARGEST_STEP, however many quotes it has.

One tracker a bucket of moneyness and tenor, or the wings would be paid for at the money.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from app.quant.arrays import FloatArray, IntArray
from app.quant.innovations import Innovations
from app.quant.nodes import TENOR_BUCKETS, tenor_places
from app.quant.vol_band import CONFIDENCE_LEVEL

MISS_RATE: Final = 1.0 - CONFIDENCE_LEVEL
MONEYNESS_BUCKETS: Final = ("put", "atm", "call")
AT_THE_MONEY: Final = 1.0
"""Deviations from the money within which a quote counts as at the money."""
BUCKETS: Final = tuple(f"{tenor}/{moneyness}" for tenor, _ in TENOR_BUCKETS for moneyness in MONEYNESS_BUCKETS)

FIRST_FACTOR: Final = 0.5
"""Before any chain has followed: quotes of a quiet market err by about half of what their spreads allow."""
GAIN_FLOOR: Final = 0.02
"""gamma in the long run: a bucket of 30 quotes a chain that misses all of them widens by three quarters at once."""
GAIN_DELAY: Final = 20.0
GAIN_POWER: Final = 0.6
"""gamma = (GAIN_DELAY + quotes seen)^-GAIN_POWER above the floor; a power in (1/2, 1) converges."""
LARGEST_STEP: Final = math.log(4.0)
LEAST_LOG_FACTOR: Final = math.log(0.02)
MOST_LOG_FACTOR: Final = math.log(50.0)
"""Bounds of ln factor: beyond them the bars would claim to know everything, or nothing."""
MEMORY: Final = 2_000.0
"""Quotes over which the published coverage is averaged, exponentially."""


@dataclass(frozen=True, slots=True)
class ConformalState:
    """By bucket, in the order of BUCKETS: ln factor, quotes ever seen, and recent quotes and how many were held."""

    log_factor: tuple[float, ...] = (math.log(FIRST_FACTOR),) * len(BUCKETS)
    seen: tuple[int, ...] = (0,) * len(BUCKETS)
    recent: tuple[float, ...] = (0.0,) * len(BUCKETS)
    held: tuple[float, ...] = (0.0,) * len(BUCKETS)

    def factors(self, deviations: FloatArray, t: ArrayLike) -> FloatArray:
        """Return the factors on half-widths at ``deviations`` from the money and maturities ``t`` (broadcast)."""
        factor: FloatArray = np.exp(np.array(self.log_factor)[bucket_index(deviations, t)])
        return factor

    def coverage(self) -> float | None:
        """Return the share of recent quotes that the bands held, over all buckets; None before the first."""
        return sum(self.held) / sum(self.recent) if any(self.recent) else None

    def coverage_by_bucket(self) -> dict[str, float]:
        """Return the same by bucket, for those that saw quotes."""
        counts = zip(BUCKETS, self.held, self.recent, strict=True)
        return {name: held / recent for name, held, recent in counts if recent > 0.0}


def bucket_index(deviations: FloatArray, t: ArrayLike) -> IntArray:
    """Return the places in BUCKETS of points at ``deviations`` from the money and maturities ``t`` (broadcast)."""
    moneyness = (deviations >= -AT_THE_MONEY).astype(np.int64) + (deviations > AT_THE_MONEY)
    index: IntArray = len(MONEYNESS_BUCKETS) * tenor_places(np.asarray(t)) + moneyness
    return index


def buckets_of(innovations: Innovations) -> IntArray:
    """Return the place in BUCKETS of each quote."""
    return bucket_index(innovations.deviations, innovations.t[innovations.slice])


def followed_by(state: ConformalState, innovations: Innovations) -> ConformalState:
    """Return the state after a chain's quotes were held against the bands that stood; those without a band are left."""
    barred = np.isfinite(innovations.half_width)
    bucket = buckets_of(innovations)[barred]
    missed = np.abs(innovations.error[barred]) > innovations.half_width[barred]
    quotes = np.bincount(bucket, minlength=len(BUCKETS))
    misses = np.bincount(bucket[missed], minlength=len(BUCKETS))
    seen = np.array(state.seen) + quotes
    kept = np.exp(-quotes / MEMORY)
    return ConformalState(
        log_factor=tuple(tracked(np.array(state.log_factor), seen, quotes, misses).tolist()),
        seen=tuple(seen.tolist()),
        recent=tuple((kept * np.array(state.recent) + quotes).tolist()),
        held=tuple((kept * np.array(state.held) + quotes - misses).tolist()),
    )


def tracked(log_factor: FloatArray, seen: IntArray, quotes: IntArray, misses: IntArray) -> FloatArray:
    """Return ln factor after ``misses`` among ``quotes``, the last of ``seen`` in all."""
    gain = np.maximum(GAIN_FLOOR, (GAIN_DELAY + seen) ** -GAIN_POWER)
    gain = np.minimum(gain, LARGEST_STEP / np.maximum(quotes, 1))
    moved = log_factor + gain * (misses - MISS_RATE * quotes)
    bounded: FloatArray = np.clip(moved, LEAST_LOG_FACTOR, MOST_LOG_FACTOR)
    return bounded
