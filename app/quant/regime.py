"""Has the market become another one? Level, skew, term slope, spread and forward, each against its own usual change.

A prior that says "as before" and bars learnt in a calm are wrong exactly then, so a shift is looked for before the fit,
in the new chain's innovations against the surface that stands:

    level     median over expiries of the innovations at the money
    skew      median over expiries of puts' less calls' median innovation
    slope     median at-the-money innovation of the nearer half of the expiries less that of the farther half
    spread    change of the logarithm of the median half-spread
    forward   median over expiries of the logarithmic move of the forward

Medians, so that a part of the quotes or of the expiries cannot declare a shift alone. Each is divided by its own scale,
an exponential average of its squares per square root of five minutes; beyond THRESHOLD scales the regime is a shift.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median
from typing import Final

import numpy as np

from app.quant.arrays import FloatArray
from app.quant.conformal import AT_THE_MONEY
from app.quant.innovations import Innovations
from app.quant.median import median as array_median
from app.quant.median import medians
from app.quant.smile import Smile
from app.quant.surface import VolSurface

FEATURES: Final = ("level", "skew", "slope", "spread", "forward")
FLOORS: Final = np.array([0.0015, 0.002, 0.0015, 0.06, 0.0015])
"""Least scale of each feature, and what it is taken to be at first: a shift of level below 8 * 0.15 = 1.2 vol points,
of the forward below 1.2 %, or of spreads below a factor 1.6 needs no other treatment than the fit gives it anyway."""
THRESHOLD: Final = 8.0
"""Scales: five-minute changes have heavy tails, the largest of a quiet day lie at 5 to 6."""
MEMORY: Final = 48.0
"""Updates over which a scale is averaged: four hours of five-minute chains."""
FIRST_WEIGHT: Final = 6.0
"""Updates that the floor counts for at first."""
MOST_DEVIATIONS: Final = 4.0
"""Scales at which a change is cut before it counts, so that one shift does not hide the next."""
LEAST_STEP_MS: Final = 60_000
STEP_MS: Final = 300_000
BAND_WIDENING: Final = 2.0
"""Factor on the bars of a surface after a shift: what errors do in an hour that follows a jump."""


class Regime(StrEnum):
    """Whether the market is still the one that the surface before was of."""

    CALM = "calm"
    SHIFT = "shift"


@dataclass(frozen=True, slots=True)
class RegimeState:
    """Mean square of each feature per step of five minutes, updates seen, and ln of the last median half-spread."""

    squares: tuple[float, ...] = tuple((FLOORS**2).tolist())
    updates: int = 0
    log_spread: float | None = None


@dataclass(frozen=True, slots=True)
class RegimeReading:
    """The regime, the sentence that says why it shifted, and the state that follows."""

    regime: Regime
    reason: str | None
    state: RegimeState


def read_regime(
    state: RegimeState, innovations: Innovations, smiles: Sequence[Smile], surface: VolSurface, as_of_ms: int
) -> RegimeReading:
    """Return the regime of a chain whose quotes against ``surface`` are ``innovations``."""
    ask, bid = (np.concatenate([getattr(s, side) for s in smiles]) for side in ("ask_vol", "bid_vol"))
    log_spread = math.log(array_median(ask - bid))
    change = _features(innovations, smiles, surface)
    change[FEATURES.index("spread")] = 0.0 if state.log_spread is None else log_spread - state.log_spread
    steps = max(as_of_ms - surface.as_of_ms, LEAST_STEP_MS) / STEP_MS
    before = np.array(state.squares)
    scale = np.maximum(np.sqrt(before), FLOORS)
    deviation = change / (scale * math.sqrt(steps))
    cut = np.minimum(np.maximum(deviation, -MOST_DEVIATIONS), MOST_DEVIATIONS) * scale
    memory = 1.0 / min(state.updates + FIRST_WEIGHT, MEMORY)
    squares = before + memory * (cut**2 - before)
    after = RegimeState(tuple(squares.tolist()), state.updates + 1, log_spread)
    worst = int(np.abs(deviation).argmax())
    if abs(deviation[worst]) <= THRESHOLD:
        return RegimeReading(Regime.CALM, None, after)
    reason = (
        f"{FEATURES[worst]} moved by {change[worst]:.4g}, {abs(deviation[worst]):.1f} times its usual change"
        f" (a shift begins at {THRESHOLD:g})"
    )
    return RegimeReading(Regime.SHIFT, reason, after)


def _features(innovations: Innovations, smiles: Sequence[Smile], surface: VolSurface) -> FloatArray:
    """Return the features but the spread; one that no expiry tells is 0."""
    n, z, error = len(innovations.expiries), innovations.deviations, innovations.error
    middle = np.abs(z) <= AT_THE_MONEY
    levels = _told(medians(error[middle], innovations.slice[middle], n))
    sides = medians(error, 2 * innovations.slice + (z >= 0.0), 2 * n)
    skews = _told(sides[0::2] - sides[1::2])
    half = len(levels) // 2
    forwards = {s.expiry_ms: s.forward for s in surface.slices}
    moves = [math.log(s.forward / forwards[s.expiry_ms]) for s in smiles if s.expiry_ms in forwards]
    return np.array(
        [
            _median(levels),
            _median(skews),
            _median(levels[:half]) - _median(levels[half:]) if half else 0.0,
            0.0,
            _median(moves),
        ]
    )


def _told(values: FloatArray) -> list[float]:
    """Return the values that are not NaN."""
    told: list[float] = values[~np.isnan(values)].tolist()
    return told


def _median(values: Sequence[float]) -> float:
    return median(values) if values else 0.0
