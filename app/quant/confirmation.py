"""Quotes that nobody confirms: far from the surface that stands and from their own neighbours, too.

A market moves along a smile, a fat finger or a damaged field moves one quote. A quote counts as unconfirmed where its
innovation leaves the median of its neighbours' by more than ISOLATED half-widths of the band, about five deviations,
and by more than its own half-spread. It is not fitted to, and the report counts it. In a shift of the regime every
quote leaves the band, so how much its neighbours differ among themselves counts besides. Bands grow with the time since
the surface, after a shift and in a market that moved; a quote that its own noise and the differences among its
neighbours do not explain is alone however wide they are.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import NormalDist
from typing import Final

import numpy as np

from app.quant.arrays import BoolArray, FloatArray, IntArray
from app.quant.compiled import ZERO, inner_kernel, kernel
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
    flagged = np.empty(len(innovations), dtype=np.bool_)
    flag_alone(
        innovations.bounds(),
        innovations.error,
        innovations.half_width,
        innovations.noise,
        innovations.half_spread,
        widening,
        shifted,
        flagged,
    )
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


@kernel
def flag_alone(
    bounds: IntArray,
    error: FloatArray,
    half_width: FloatArray,
    noise: FloatArray,
    half_spread: FloatArray,
    widening: float,
    shifted: bool,
    flagged: BoolArray,
) -> None:
    """Write :func:`unconfirmed`; expiry e has the quotes ``bounds[e]:bounds[e + 1]``."""
    middle, deviation = np.empty(error.shape[0]), np.empty(error.shape[0])
    fill_neighbours(error, bounds, middle, deviation)
    for e in range(bounds.shape[0] - 1):
        told = bounds[e + 1] - bounds[e] > NEIGHBOURS
        for i in range(bounds[e], bounds[e + 1]):
            told = told and math.isfinite(half_width[i])
        for i in range(bounds[e], bounds[e + 1]):
            scatter = HALF_WIDTHS_PER_MAD * deviation[i]
            bar = widening * half_width[i] + (scatter if shifted else 0.0)
            explained = min(bar, DEVIATIONS * noise[i] + scatter)
            excess = abs(error[i] - middle[i])
            flagged[i] = told and excess > ISOLATED * explained and excess > half_spread[i]


@inner_kernel
def fill_neighbours(error: FloatArray, bounds: IntArray, middle: FloatArray, deviation: FloatArray) -> None:
    """Write the median of each quote's neighbours and their median absolute deviation from it; NaN where none is.

    Neighbours are up to NEIGHBOURS others on each side in the quote's own expiry, e's ``bounds[e]:bounds[e + 1]``.
    """
    ascending = np.empty(2 * NEIGHBOURS)
    for e in range(bounds.shape[0] - 1):
        for i in range(bounds[e], bounds[e + 1]):
            first, end = max(i - NEIGHBOURS, bounds[e]), min(i + NEIGHBOURS + 1, bounds[e + 1])
            n = ZERO
            for j in range(first, end):
                if j != i:
                    n = insert(ascending, n, error[j])
            middle[i] = middle_of(ascending, n)
            n = ZERO
            for j in range(first, end):
                if j != i:
                    n = insert(ascending, n, abs(error[j] - middle[i]))
            deviation[i] = middle_of(ascending, n)


@inner_kernel
def insert(ascending: FloatArray, n: int, value: float) -> int:
    """Put ``value`` in its place among the first ``n`` of ``ascending``; return how many there are then."""
    at = n
    while at > 0 and ascending[at - 1] > value:
        ascending[at] = ascending[at - 1]
        at -= 1
    ascending[at] = value
    return n + 1


@inner_kernel
def middle_of(ascending: FloatArray, n: int) -> float:
    """Return the median of the first ``n`` of ``ascending``, NaN of none."""
    return float(0.5 * (ascending[(n - 1) // 2] + ascending[n // 2])) if n > 0 else np.nan
