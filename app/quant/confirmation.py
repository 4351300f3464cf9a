"""Quotes that nobody confirms: far from the surface that stands and from their own neighbours, too.

A market moves along a smile, a fat finger or a damaged field moves one quote. A quote counts as unconfirmed where its
innovation leaves the median of its neighbours' by more than ISOLATED half-widths of the band, about five deviations,
and by more than its own half-spread. It is not fitted to, and the report counts it.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from app.quant.arrays import BoolArray, FloatArray, IntArray
from app.quant.dropped import Dropped
from app.quant.innovations import Innovations
from app.quant.smile import Smile

NEIGHBOURS: Final = 4
"""On each side: of eight neighbours a stray few do not own the median."""
ISOLATED: Final = 2.5
"""Half-widths, each 1.96 deviations."""


def unconfirmed(innovations: Innovations, widening: float) -> BoolArray:
    """Return True for the quotes that neither the surface nor their neighbours confirm.

    ``widening`` is the factor on the bars for the time since the surface. Without a band there is no judgement.
    """
    if not len(innovations):
        return np.zeros(0, dtype=np.bool_)
    bounds = innovations.bounds()
    told = np.logical_and.reduceat(np.isfinite(innovations.half_width), bounds[:-1]) & (np.diff(bounds) > NEIGHBOURS)
    excess = np.abs(innovations.error - _median_of_neighbours(innovations.error, bounds))
    limit = np.maximum(ISOLATED * widening * innovations.half_width, innovations.half_spread)
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


def _median_of_neighbours(error: FloatArray, bounds: IntArray) -> FloatArray:
    """Return for each quote the median over up to NEIGHBOURS others on each side; expiries begin at ``bounds``.

    A quote alone in its expiry has none: NaN.
    """
    shifts = np.concatenate([np.arange(-NEIGHBOURS, 0), np.arange(1, NEIGHBOURS + 1)])
    row = np.arange(error.size)
    index = row[:, None] + shifts
    first, end = (np.repeat(ends, np.diff(bounds))[:, None] for ends in (bounds[:-1], bounds[1:]))
    inside = (index >= first) & (index < end)
    values = np.sort(np.where(inside, error[np.clip(index, 0, error.size - 1)], np.nan), axis=1)
    count = inside.sum(axis=1)
    median: FloatArray = 0.5 * (values[row, (count - 1) // 2] + values[row, count // 2])
    return median
