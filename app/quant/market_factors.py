"""Five numbers that say where a surface stands, read from what is published of it whatever its model.

At the constant tenor of 30 days, with forward deltas:

    forward     ln F                       level       ATM vol
    skew        25C - 25P                  curvature   (25C + 25P)/2 - ATM
    slope       ATM vol of 90 days less that of 7 days

and beside them the smile's slope d vol/dk at the money, which scales the skew stickiness ratio (spot_vol.py): that of
the quartic through the five vols. A delta's place is the one its own vol gives it, with s = vol sqrt(t):

    k = s (s/2 - d1)        Phi(d1) = delta of a call, 1 + delta of a put
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np

from app.quant.rate_curve import accrued_carry

FACTORS: Final = ("forward", "level", "skew", "curvature", "slope")
FORWARD, LEVEL = FACTORS.index("forward"), FACTORS.index("level")
TENOR_DAYS: Final = 30.0
NEAR_DAYS: Final = 7.0
FAR_DAYS: Final = 90.0

_WINGS: Final = ("10P", "25P", "25C", "10C")
_D1: Final = np.array([NormalDist().inv_cdf(p) for p in (0.90, 0.75, 0.25, 0.10)])


@dataclass(frozen=True, slots=True)
class MarketFactors:
    """``values`` in the order of FACTORS, and the smile's slope at the money; NaN is a number that is missing."""

    values: tuple[float, ...]
    smile_slope: float


def market_factors(
    tenor_days: Sequence[float], delta: Sequence[str], vol: Sequence[Sequence[float | None]], log_forward: float
) -> MarketFactors:
    """Return the factors of a surface with ``vol[i][j]`` at tenor_days[i], delta[j] and ln F at TENOR_DAYS."""
    at = {
        (tenor, name): math.nan if cell is None else cell
        for tenor, row in zip(tenor_days, vol, strict=True)
        for name, cell in zip(delta, row, strict=True)
    }

    def node(tenor: float, name: str) -> float:
        return at.get((tenor, name), math.nan)

    middle, wings = node(TENOR_DAYS, "ATM"), [node(TENOR_DAYS, name) for name in _WINGS]
    _, put, call, _ = wings
    slope = node(FAR_DAYS, "ATM") - node(NEAR_DAYS, "ATM")
    values = (log_forward, middle, call - put, 0.5 * (call + put) - middle, slope)
    return MarketFactors(values, slope_at_the_money(middle, wings, TENOR_DAYS / 365.0))


def log_forward_at(t: float, spot: float, pillar_t: Sequence[float], carry: Sequence[float]) -> float:
    """Return ln F(t) = ln spot + b(t) t as rate_curve.py has it; NaN before the first pillar and after the last.

    Not extrapolated, unlike there: a forward that no expiry tells would move with its neighbour by assumption.
    """
    if not (pillar_t and pillar_t[0] <= t <= pillar_t[-1]):
        return math.nan
    return math.log(spot) + float(accrued_carry(np.array(t), np.array(pillar_t), np.array(carry)))


def slope_at_the_money(middle: float, wings: Sequence[float], t: float) -> float:
    """Return d vol/dk at k = 0 of the quartic through the vol there and those of 10P, 25P, 25C, 10C; NaN where one is.

    The secants (vol(k) - vol(0))/k to the wings, extrapolated to k = 0 by the cubic through them.
    """
    deviation = np.array(wings) * math.sqrt(t)
    k = deviation * (0.5 * deviation - _D1)
    if not (k[0] < k[1] < 0.0 < k[2] < k[3]):  # also for NaN, and for vols at which a put's strike is above the forward
        return math.nan
    secants = (np.array(wings) - middle) / k
    others = ~np.eye(k.size, dtype=np.bool_)
    weights = np.prod(np.divide(k, k - k[:, None], out=np.ones((k.size, k.size)), where=others), axis=1)
    return float(weights @ secants)
