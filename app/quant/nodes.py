"""Fixed nodes of delta and tenor: where surfaces are published model-free and compared with each other."""

from statistics import NormalDist
from typing import Final

import numpy as np

from app.quant.arrays import FloatArray, IntArray
from app.quant.interpolation import PlacedTimes
from app.quant.surface import VolSurface

TENOR_DAYS: Final = (7.0, 30.0, 90.0, 180.0)
DELTA_NAMES: Final = ("10P", "25P", "ATM", "25C", "10C")
"""Forward deltas; ATM is the strike at the forward."""

TENOR_BUCKETS: Final = (("1w", 14.0), ("1m", 60.0), ("3m", 135.0), ("6m", 270.0), ("1y", float("inf")))
"""Buckets of maturity by their upper bound in days, near the geometric middle of neighbouring tenors."""

_BUCKET_ENDS: Final = np.array([upper for _, upper in TENOR_BUCKETS])
_WINGS: Final = [i for i, name in enumerate(DELTA_NAMES) if name != "ATM"]
_D1: Final = np.array([NormalDist().inv_cdf(p) for p in (0.90, 0.75, 0.25, 0.10)])
"""d1 at the wing deltas, which are Phi(d1) for calls and Phi(d1) - 1 for puts."""
_SEARCH: Final = np.linspace(-8.0, 8.0, 49)
"""Where wing strikes are looked for, in deviations at the money; a 10-delta strike of a steep smile is within 5."""
_CHORD_STEPS: Final = 2
"""After the search, each makes the error ten times smaller: 1e-3 of a deviation to 1e-5, below 1e-6 of vol."""


def tenor_bucket(t: float) -> str:
    """Return the bucket of a maturity in years."""
    days = t * 365.0
    return next(name for name, upper in TENOR_BUCKETS if days <= upper)


def tenor_places(t: FloatArray) -> IntArray:
    """Return the places in TENOR_BUCKETS of maturities in years."""
    return np.searchsorted(_BUCKET_ENDS, t * 365.0)


def node_vols(surface: VolSurface) -> FloatArray:
    """Return vols at TENOR_DAYS x DELTA_NAMES, shape (tenors, deltas); NaN for tenors beyond the expiries.

    d1(k) = -k / sqrt(w) + sqrt(w) / 2 falls in k on a smile without arbitrage (Fukasawa 2012), so the strike of a
    delta is found by inverting it, for all tenors in one pass. A delta that no strike within the search has is NaN.
    """
    vols = np.full((len(TENOR_DAYS), len(DELTA_NAMES)), np.nan)
    covered = [row for row, tenor in enumerate(TENOR_DAYS) if surface.covers(tenor / 365.0)]
    if not covered:
        return vols
    t = np.array(TENOR_DAYS)[covered] / 365.0
    times = PlacedTimes.among(t, surface.stack)
    k = _SEARCH * np.sqrt(np.interp(t, surface.stack.maturities, surface.stack.at_the_money))[:, np.newaxis]
    d1 = _d1(times, k)
    low = _last_above(d1)
    each, at = np.arange(t.size)[:, np.newaxis], np.maximum(low, 0)
    left, at_left = k[each, at], d1[each, at]
    chord = (k[each, at + 1] - left) / (d1[each, at + 1] - at_left)
    wings = left + (_D1 - at_left) * chord
    for _ in range(_CHORD_STEPS):
        wings = wings + (_D1 - _d1(times, wings)) * chord
    strikes = np.zeros((t.size, len(DELTA_NAMES)))
    strikes[:, _WINGS] = wings
    found = np.sqrt(times.variances_of_rows(strikes) / t[:, np.newaxis])
    found[:, _WINGS] = np.where(low < 0, np.nan, found[:, _WINGS])
    vols[covered] = found
    return vols


def _d1(times: PlacedTimes, k: FloatArray) -> FloatArray:
    deviation = np.sqrt(times.variances_of_rows(k))
    return -k / deviation + 0.5 * deviation


def _last_above(d1: FloatArray) -> IntArray:
    """Return for each row and target the index after which d1 falls to the target, -1 where it does not."""
    above = d1[:, np.newaxis, :] > _D1[:, np.newaxis]
    crossing = above[:, :, :-1] & ~above[:, :, 1:]
    return np.where(crossing.any(axis=2), crossing.argmax(axis=2), -1)
