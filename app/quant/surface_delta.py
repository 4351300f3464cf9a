"""Strikes at forward deltas on a surface, on expiries, between and beyond: all points at once.

A delta fixes d1 = q, the normal quantile of Delta for a call and minus that of |Delta| for a put, and so a line
k(s) = s^2/2 - q s in the deviation s = vol sqrt(T). Its strike is where s is the surface's own deviation at k(s). On a
smile without arbitrage d1 falls in k (Fukasawa 2012): there is one such s.
"""

from typing import Final

import numpy as np

from app.quant.arrays import FloatArray, IntArray
from app.quant.delta_strike import normal_quantiles
from app.quant.interpolation import PlacedTimes
from app.quant.rising_root import rising_roots
from app.quant.slice_variance import StackedSlices

LARGEST_DEVIATION: Final = 30.0
"""Where the search ends: nine times the variance at the money that is answered for (extrapolation.py)."""
LARGEST_DISTANCE: Final = 600.0
"""|k| beyond which a strike is not told from zero or infinity: e^600 is 1e260."""


def log_strikes(delta: FloatArray, t: FloatArray, stack: StackedSlices) -> FloatArray:
    """Return k = ln(K/F) of the strikes with these deltas (signed, puts negative) at ``t`` > 0; NaN where none is.

    Arrays of one length. A delta asked for twice at one t is searched for once.
    """
    asked = (np.abs(delta) > 0.0) & (np.abs(delta) < 1.0)
    pairs, of_pair = np.unique(t[asked] + 1j * delta[asked], return_inverse=True)
    times, signed = np.array(pairs.real), pairs.imag
    quantile = np.sign(signed) * normal_quantiles(np.abs(signed))
    placed = PlacedTimes.among(times, stack)

    def excess(s: FloatArray, rows: IntArray) -> FloatArray:
        return s - np.sqrt(placed.variances(s * (0.5 * s - quantile[rows]), rows))

    at_the_money = np.sqrt(placed.variances(np.zeros(times.shape), slice(None)))
    s = rising_roots(excess, at_the_money, largest=LARGEST_DEVIATION)
    k = s * (0.5 * s - quantile)
    found = np.full(delta.shape, np.nan)
    found[asked] = np.where(np.abs(k) < LARGEST_DISTANCE, k, np.nan)[of_pair]
    return found
