"""Error bars at many points: the bands of a surface one upon another, on expiries and between them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from app.quant.arrays import FloatArray, IntArray
from app.quant.compiled import inner_kernel, kernel
from app.quant.vol_band import VolBand

SAME_MATURITY_YEARS: Final = 1e-10
"""Two maturities closer than this (3 ms) are one: below the clock's resolution."""


@dataclass(frozen=True, slots=True, eq=False)
class StackedBands:
    """Bands one upon another, for questions at many points: ``nodes`` (n, m) of log-moneyness, the half-widths there,
    and how many nodes each band has, 0 where there is none."""

    nodes: FloatArray
    widths: FloatArray
    sizes: IntArray

    @classmethod
    def of(cls, bands: Sequence[VolBand | None]) -> "StackedBands":
        """Stack ``bands``."""
        sizes = np.array([len(band.half_width) if band else 0 for band in bands], dtype=np.int64)
        nodes, widths = np.zeros((2, sizes.size, int(sizes.max(initial=0))))
        for i, band in enumerate(bands):
            if band:
                nodes[i, : sizes[i]], widths[i, : sizes[i]] = band.log_moneyness, band.half_width
        return cls(nodes, widths, sizes)


def half_widths(bands: StackedBands, of_band: IntArray, k: FloatArray) -> FloatArray:
    """Return half-widths at ``k[i]`` of band ``of_band[i]``, arrays of one length; NaN where there is no band."""
    width = np.empty(k.shape)
    # Copies are contiguous and writable: kernels are compiled for one kind of array.
    fill_half_widths(np.array(of_band), np.array(k), bands.nodes, bands.widths, bands.sizes, width)
    return width


def half_widths_between(k: FloatArray, t: FloatArray, maturities: FloatArray, bands: StackedBands) -> FloatArray:
    """Return half-widths at ``k[i]`` and ``t[i]`` from the bands at ``maturities``: linear in t between two.

    There each band is read at the same distance from the money in deviations, k sqrt(T / t). NaN before the first
    maturity, beyond the last, and next to one without a band.
    """
    width = np.empty(k.shape)
    later = np.searchsorted(maturities, t - SAME_MATURITY_YEARS)
    fill_half_widths_between(np.array(k), np.array(t), later, maturities, bands.nodes, bands.widths, bands.sizes, width)
    return width


@inner_kernel
def half_width_on(k: float, nodes: FloatArray, widths: FloatArray, size: int) -> float:
    """Return the half-width at ``k``: linear between nodes, in proportion to |k| beyond; NaN where there are none."""
    if size == 0:
        return np.nan
    left = 0
    while left < size - 2 and nodes[left + 1] <= k:
        left += 1
    inside = min(max(k, nodes[0]), nodes[size - 1])
    slope = (widths[left + 1] - widths[left]) / (nodes[left + 1] - nodes[left]) if size > 1 else 0.0
    width = slope * (inside - nodes[left]) + widths[left]
    width *= max(k / nodes[0], k / nodes[size - 1], 1.0)
    return float(width)


@kernel
def fill_half_widths(
    of_band: IntArray, k: FloatArray, nodes: FloatArray, widths: FloatArray, sizes: IntArray, width: FloatArray
) -> None:
    """Write the half-width at ``k[i]`` of band ``of_band[i]``."""
    for i in range(k.shape[0]):
        row = of_band[i]
        width[i] = half_width_on(k[i], nodes[row], widths[row], sizes[row])


@kernel
def fill_half_widths_between(
    k: FloatArray,
    t: FloatArray,
    later: IntArray,
    maturities: FloatArray,
    nodes: FloatArray,
    widths: FloatArray,
    sizes: IntArray,
    width: FloatArray,
) -> None:
    """Write :func:`half_widths_between`; ``later`` is the first maturity that is not before t."""
    for i in range(k.shape[0]):
        far = later[i]
        near = far - 1
        if far < maturities.shape[0] and abs(maturities[far] - t[i]) <= SAME_MATURITY_YEARS:
            width[i] = half_width_on(k[i], nodes[far], widths[far], sizes[far])
        elif 0 < far < maturities.shape[0]:
            first, second = maturities[near], maturities[far]
            share = (t[i] - first) / (second - first)
            near_width = half_width_on(k[i] * math.sqrt(first / t[i]), nodes[near], widths[near], sizes[near])
            far_width = half_width_on(k[i] * math.sqrt(second / t[i]), nodes[far], widths[far], sizes[far])
            width[i] = (1.0 - share) * near_width + share * far_width
        else:
            width[i] = np.nan
