"""A slice's error bars: half-widths of the band at nodes of log-moneyness, and what holds between and beyond them."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np

from app.quant.arrays import FloatArray, IntArray

CONFIDENCE_LEVEL: Final = 0.95
"""Share of the mids of the chains that follow which the bands are to hold."""
DEVIATIONS: Final = NormalDist().inv_cdf(0.5 + 0.5 * CONFIDENCE_LEVEL)
"""Normal deviations of that level, 1.96."""


@dataclass(frozen=True, slots=True)
class VolBand:
    """At ascending ``log_moneyness`` nodes: ``sd``, one standard deviation of the vol, and ``half_width`` of the band.

    half_width = DEVIATIONS * conformal factor * sd, all decimals of vol.
    """

    log_moneyness: tuple[float, ...]
    sd: tuple[float, ...]
    half_width: tuple[float, ...]

    def half_width_at(self, k: FloatArray) -> FloatArray:
        """Return half-widths at ``k``: linear between nodes, in proportion to |k| beyond the outermost ones."""
        nodes = np.array(self.log_moneyness)
        beyond = np.maximum(np.maximum(k / nodes[0], k / nodes[-1]), 1.0)
        width: FloatArray = np.interp(k, nodes, self.half_width) * beyond
        return width


def half_widths(bands: Sequence[VolBand | None], of_band: IntArray, k: FloatArray) -> FloatArray:
    """Return half-widths at ``k[i]`` of ``bands[of_band[i]]``, arrays of one length; NaN where there is no band."""
    sizes = np.array([len(band.half_width) if band else 0 for band in bands], dtype=np.int64)
    # A last node at infinity, of the width before it: beyond the outermost real one the line is level.
    nodes = np.full((sizes.size, int(sizes.max(initial=0)) + 1), np.inf)
    widths = np.empty(nodes.shape)
    for i, band in enumerate(bands):
        if band:
            nodes[i, : sizes[i]] = band.log_moneyness
            widths[i, : sizes[i]], widths[i, sizes[i] :] = band.half_width, band.half_width[-1]
    known = sizes[of_band] > 0
    row, x = of_band[known], k[known]
    first, last = nodes[row, 0], nodes[row, sizes[row] - 1]
    inside = np.maximum(x, first)
    left = (nodes[row] <= inside[:, None]).sum(axis=1) - 1
    slope = (widths[row, left + 1] - widths[row, left]) / (nodes[row, left + 1] - nodes[row, left])
    beyond = np.maximum(np.maximum(x / first, x / last), 1.0)
    width = np.full(k.shape, np.nan)
    width[known] = (slope * (inside - nodes[row, left]) + widths[row, left]) * beyond
    return width


def half_width_between(
    k: FloatArray, t: float, earlier: tuple[float, VolBand], later: tuple[float, VolBand]
) -> FloatArray:
    """Return half-widths at a maturity ``t`` between those of two (maturity, band) pairs: linear in t.

    Each band is read at the same distance from the money in deviations, k sqrt(T / t).
    """
    (first, near), (second, far) = earlier, later
    share = (t - first) / (second - first)
    near_width = near.half_width_at(k * np.sqrt(first / t))
    far_width = far.half_width_at(k * np.sqrt(second / t))
    return (1.0 - share) * near_width + share * far_width
