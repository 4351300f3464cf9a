"""Margins of curves that can only be evaluated: g, calendar gap and wing slope on a wide, dense grid.

Evidence, not proof: arbitrage between two points or beyond the grid goes unseen, and the wing slope is the one at the
grid's ends.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from app.quant.arrays import FloatArray
from app.quant.butterfly import LEE_SLOPE
from app.quant.margins import Margins, SurfaceMargins
from app.quant.models.base import SmileCurve

REACH: Final = 10.0
"""Half-width of the grid in at-the-money standard deviations; a normal leaves 1e-23 beyond."""

POINTS: Final = 1201
"""Points of a grid, even in asinh(k / sqrt(w(0))): steps of 0.005 deviations at the money and 0.05 at the ends."""


def margins_on_grid(curves: Sequence[SmileCurve]) -> SurfaceMargins:
    """Return the margins of ``curves`` (expiries ascending) as far as a grid shows them.

    A slice is looked at on its own grid, a pair on the later slice's.
    """
    butterfly, calendar, wing = [], [], []
    for i, curve in enumerate(curves):
        k = grid_of(curve)
        w, w1, w2 = curve.derivatives(k)
        butterfly.append(least(durrleman_values(k, w, w1, w2), k))
        wing.append(steeper_end(w1, k))
        if i > 0:
            calendar.append(least(gap_values(curves[i - 1].total_variance(k), w), k))
    slopes, ends = columns(wing)
    lowest_g, g_places = columns(butterfly)
    lowest_gap, gap_places = columns(calendar)
    return SurfaceMargins(
        butterfly=Margins(lowest_g >= 0.0, lowest_g, g_places),
        calendar=Margins(lowest_gap >= 0.0, lowest_gap, gap_places),
        wing=Margins(slopes <= LEE_SLOPE, slopes, ends),
    )


def grid_of(curve: SmileCurve) -> FloatArray:
    """Return the grid of a curve, from its at-the-money variance."""
    deviation = float(np.sqrt(curve.total_variance(np.zeros(1))[0]))
    reach = np.arcsinh(REACH)
    return deviation * np.sinh(np.linspace(-reach, reach, POINTS))


def durrleman_values(k: FloatArray, w: FloatArray, w1: FloatArray, w2: FloatArray) -> FloatArray:
    """Return g at ``k``, -inf where w is not positive or a derivative is not finite: no density there."""
    g = np.full_like(k, -np.inf)
    ok = (w > 0.0) & np.isfinite(w) & np.isfinite(w1) & np.isfinite(w2)
    x, v, v1, v2 = k[ok], w[ok], w1[ok], w2[ok]
    g[ok] = (1.0 - 0.5 * x * v1 / v) ** 2 - 0.25 * v1 * v1 * (1.0 / v + 0.25) + 0.5 * v2
    return g


def gap_values(earlier: FloatArray, later: FloatArray) -> FloatArray:
    """Return later/earlier - 1, -inf where either is not a positive variance."""
    gap = np.full_like(earlier, -np.inf)
    ok = (earlier > 0.0) & (later > 0.0) & np.isfinite(earlier) & np.isfinite(later)
    gap[ok] = later[ok] / earlier[ok] - 1.0
    return gap


def least(values: FloatArray, k: FloatArray) -> tuple[float, float]:
    """Return the least of ``values`` and its place."""
    i = int(np.argmin(values))
    return float(values[i]), float(k[i])


def steeper_end(w1: FloatArray, k: FloatArray) -> tuple[float, float]:
    """Return the larger |w'| of the grid's two ends and its place."""
    i = 0 if abs(w1[0]) > abs(w1[-1]) else -1
    return float(abs(w1[i])), float(k[i])


def columns(rows: Sequence[tuple[float, float]]) -> tuple[FloatArray, FloatArray]:
    """Return rows of (value, place) as two arrays."""
    table = np.array(rows).reshape(-1, 2)
    return table[:, 0], table[:, 1]
