"""Zeros of increasing functions, many at once."""

from collections.abc import Callable
from typing import Final

import numpy as np

from app.quant.arrays import FloatArray, IntArray

SETTLED: Final = 1e-16
"""Product of two relative secant steps, one after the other, after which what is left is rounding: the error of a step
is about that product."""
MAX_STEPS: Final = 100
"""Secant steps kept in a bracket; 5 to 7 are usual."""


def rising_roots(
    excess: Callable[[FloatArray, IntArray], FloatArray], start: FloatArray, *, largest: float
) -> FloatArray:
    """Return x (n,) where an increasing function of x > 0 is zero; NaN where it is negative up to ``largest``.

    ``excess(x, rows)`` are its values for the elements ``rows`` of ``start``, those not found yet. Secant steps from
    ``start`` kept in the bracket that holds the zero, at most doubling x while it has no upper end; the first one takes
    a slope of one.
    """
    found, rows = np.full(start.shape, np.nan), np.arange(start.size)
    x, low, high = start, np.zeros(start.shape), np.full(start.shape, np.inf)
    before, at_before = np.zeros(start.shape), np.full(start.shape, np.nan)
    for _ in range(MAX_STEPS):
        if not rows.size:
            break
        value = excess(x, rows)
        low, high = np.where(value < 0.0, x, low), np.where(value < 0.0, high, x)
        rise = np.where(np.isnan(at_before), x - before, value - at_before)
        following = x - value * (x - before) / np.where(rise == 0.0, np.inf, rise)
        settled = np.abs((following - x) * (x - before)) <= SETTLED * x * x
        found[rows[settled]] = following[settled]
        unbounded = np.isinf(high)
        following = np.where(unbounded, np.minimum(following, 2.0 * x), following)
        halfway = np.where(unbounded, 2.0 * x, 0.5 * (low + np.where(unbounded, x, high)))
        following = np.where((low < following) & (following < high), following, halfway)
        open_ = ~settled & ((x <= largest) | (value >= 0.0))
        rows, before, at_before = rows[open_], x[open_], value[open_]
        x, low, high = following[open_], low[open_], high[open_]
    return found
