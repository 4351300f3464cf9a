"""Quotes that nobody confirms: far from the surface that stands and from their own neighbours, too.

A market moves along a smile, a fat finger or a damaged field moves one quote. A quote counts as unconfirmed where its
innovation leaves the median of its neighbours' by more than ISOLATED half-widths of the band, about five deviations,
and by more than its own half-spread. It is not fitted to, and the report counts it. In a shift of the regime every
quote leaves the band, so how much its neighbours differ among themselves counts besides. Bands grow with the time since
the surface, after a shift and in a market that moved; a quote that its own noise and the differences among its
neighbours do not explain is alone however wide they are.
"""

from collections.abc import Sequence
from dataclasses import replace
from statistics import NormalDist
from typing import Final

import numpy as np

from app.quant.arrays import BoolArray, FloatArray, IntArray
from app.quant.dropped import Dropped
from app.quant.innovations import Innovations
from app.quant.smile import Smile
from app.quant.vol_band import DEVIATIONS

NEIGHBOURS: Final = 4
"""On each side: of eight neighbours a stray few do not own the median."""
ISOLATED: Final = 2.5
"""Half-widths, each 1.96 deviations."""
HALF_WIDTHS_PER_MAD: Final = DEVIATIONS / NormalDist().inv_cdf(0.75)
"""A normal's half-width in units of its median absolute deviation: 2.9."""


def unconfirmed(innovations: Innovations, widening: float, *, shifted: bool = False) -> BoolArray:
    """Return True for the quotes that neither the surface nor their neighbours confirm.

    ``widening`` is the factor on the bars, for the time since the surface and after a shift; ``shifted`` says that the
    regime did. Without a band there is no judgement.
    """
    if not len(innovations):
        return np.zeros(0, dtype=np.bool_)
    bounds = innovations.bounds()
    told = np.logical_and.reduceat(np.isfinite(innovations.half_width), bounds[:-1]) & (np.diff(bounds) > NEIGHBOURS)
    neighbours = _neighbours(innovations.error, bounds)
    middle = _median(neighbours)
    excess = np.abs(innovations.error - middle)
    half_width = widening * innovations.half_width
    scatter = HALF_WIDTHS_PER_MAD * _median(np.abs(neighbours - middle[:, None]))
    if shifted:
        half_width = half_width + scatter
    explained = np.minimum(half_width, DEVIATIONS * innovations.noise + scatter)
    limit = np.maximum(ISOLATED * explained, innovations.half_spread)
    flagged: BoolArray = told[innovations.slice] & (excess > limit)
    return flagged


def confirmed_smiles(
    smiles: Sequence[Smile], innovations: Innovations, flagged: BoolArray, min_quotes: int
) -> tuple[Smile, ...]:
    """Return ``smiles`` without their flagged quotes; an expiry that would keep fewer than ``min_quotes`` keeps all."""
    if not flagged.any():
        return tuple(smiles)
    place = {expiry_ms: i for i, expiry_ms in enumerate(innovations.expiries)}
    kept = []
    for smile in smiles:
        if smile.expiry_ms not in place:
            kept.append(smile)
            continue
        out = flagged[innovations.slice == place[smile.expiry_ms]]
        kept.append(_without(smile, out) if out.any() and (~out).sum() >= min_quotes else smile)
    return tuple(kept)


def _without(smile: Smile, out: BoolArray) -> Smile:
    names = ("strike", "is_call", "k", "bid_vol", "ask_vol", "mid_vol", "noise")
    dropped = {**smile.dropped, Dropped.UNCONFIRMED.value: int(out.sum())}
    return replace(smile, **{name: getattr(smile, name)[~out] for name in names}, dropped=dropped)


def _neighbours(error: FloatArray, bounds: IntArray) -> FloatArray:
    """Return for each quote those of NEIGHBOURS others on each side; NaN beyond the bounds of its expiry."""
    shifts = np.concatenate([np.arange(-NEIGHBOURS, 0), np.arange(1, NEIGHBOURS + 1)])
    index = np.arange(error.size)[:, None] + shifts
    first, end = (np.repeat(ends, np.diff(bounds))[:, None] for ends in (bounds[:-1], bounds[1:]))
    inside = (index >= first) & (index < end)
    return np.where(inside, error[np.clip(index, 0, error.size - 1)], np.nan)


def _median(values: FloatArray) -> FloatArray:
    """Return the median of each row without its NaN; NaN for a row of none."""
    row, ascending = np.arange(values.shape[0]), np.sort(values, axis=1)
    count = np.isfinite(values).sum(axis=1)
    median: FloatArray = 0.5 * (ascending[row, (count - 1) // 2] + ascending[row, count // 2])
    return median
