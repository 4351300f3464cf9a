"""An expiry that moved by itself: its mids against those of the expiries before and after it.

After a shift of the regime every expiry may move, but near ones move alike and far ones less. The median innovation of
an expiry is to lie between those of its neighbours in time, or near one of them, at each place of the smile: premiums
off by a factor move the middle of a smile and leave its wings. A neighbour whose bar is wider than the expiry's own may
have stood wrong by the difference, so that much of its move confirms nothing. The nearest has one neighbour only;
variance expected before it is in both, and moves its vol by more, in proportion to 1/t.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from app.quant.arrays import BoolArray, FloatArray, IntArray
from app.quant.innovations import Innovations

PLACES: Final = ("its puts", "near the money", "its calls", "all its quotes")
EDGES: Final = np.array([-0.75, 0.75])
"""Deviations from the money between the first three of PLACES; the last is of them all."""
LEAST_QUOTES: Final = 3
"""Mids whose median is a place's: one of them alone moves nothing."""
LEAST_EXPIRIES: Final = 3
"""Of two nobody can say which of them moved."""


@dataclass(frozen=True, slots=True)
class LoneMove:
    """Median move of an expiry's mids at one of PLACES, and by how many half-widths it leaves its neighbours'."""

    expiry_ms: int
    t: float
    place: str
    move: float
    half_widths: float


@dataclass(frozen=True, slots=True, eq=False)
class LoneMoves:
    """Of each expiry of ``innovations`` at each of PLACES: the median move and by how many half-widths it leaves those
    of its neighbours; arrays (expiries, places). NaN half-widths where nobody can judge. ``counted`` are the quotes
    that were asked.
    """

    innovations: Innovations
    counted: BoolArray
    move: FloatArray
    half_widths: FloatArray

    def loneliest(self) -> LoneMove | None:
        """Return the one furthest from what its neighbours moved by; None where none left it."""
        judged = np.nan_to_num(self.half_widths)
        if not judged.any():
            return None
        i, place = divmod(int(judged.argmax()), len(PLACES))
        return LoneMove(
            self.innovations.expiries[i],
            float(self.innovations.t[i]),
            PLACES[place],
            float(self.move[i, place]),
            float(self.half_widths[i, place]),
        )

    def at(self, expiry: int, deviations: float) -> float:
        """Return the half-widths at the place of ``deviations``, else of all quotes; NaN where nobody can judge."""
        there = float(self.half_widths[expiry, int(np.searchsorted(EDGES, deviations))])
        return float(self.half_widths[expiry, -1]) if math.isnan(there) else there


def lone_moves(innovations: Innovations, flagged: BoolArray, widening: float, reach: float) -> LoneMoves:
    """Return how far each expiry moved from what its neighbours moved by; fewer than LEAST_EXPIRIES are not judged.

    Quotes within ``reach`` deviations count, but for ``flagged`` ones, which nobody confirms; ``widening`` is the
    factor on the bars for the time since the surface.
    """
    every = len(PLACES) - 1
    shape = (len(innovations.expiries), len(PLACES))
    apart, moves = np.full(shape, np.nan), np.zeros(shape)
    rows = np.flatnonzero(~flagged & (np.abs(innovations.deviations) <= reach))
    whole = len(PLACES) * innovations.slice[rows] + every
    place = whole - every + np.searchsorted(EDGES, innovations.deviations[rows])
    group = np.concatenate([place, whole])
    error, half_width = np.tile(innovations.error[rows], 2), np.tile(innovations.half_width[rows], 2)
    count = np.bincount(group, minlength=moves.size)
    move = medians(error, group, count).reshape(shape)
    total = widening * np.bincount(group, half_width, minlength=moves.size)
    bar = np.divide(total, count, out=np.full(moves.size, np.nan), where=count > 0).reshape(shape)
    known = np.flatnonzero(np.isfinite(bar[:, every]))
    if known.size < LEAST_EXPIRIES:
        return LoneMoves(innovations, ~flagged, moves, apart)
    told = count.reshape(shape)[known] >= LEAST_QUOTES
    told[:, every] = True
    move, bar = (np.where(told, each[known], each[known, every:]) for each in (move, bar))
    moves[known] = move
    apart[known] = np.where(told, _apart(move, bar, innovations.t[known]), np.nan)
    return LoneMoves(innovations, ~flagged, moves, apart)


def medians(values: FloatArray, group: IntArray, count: IntArray) -> FloatArray:
    """Return the median of the ``values`` of each group, ``count`` of them; NaN of an empty one."""
    ordered, end = values[np.lexsort((values, group))], np.cumsum(count)
    filled = count > 0
    first, last = (end - count)[filled], end[filled] - 1
    median = np.full(count.size, np.nan)
    median[filled] = 0.5 * (ordered[(first + last) // 2] + ordered[(first + last + 1) // 2])
    return median


def _apart(move: FloatArray, bar: FloatArray, t: FloatArray) -> FloatArray:
    """Return by how many bars each move leaves the interval of its neighbours'; arrays (expiries, places)."""
    before, after = _confirmed(move[:-1], bar[:-1], bar[1:]), _confirmed(move[1:], bar[1:], bar[:-1])
    one, other = np.vstack([after[:1] * (t[1] / t[0]), before]), np.vstack([after, before[-1:]])
    outside = np.maximum(np.minimum(one, other) - move, move - np.maximum(one, other))
    apart: FloatArray = np.maximum(outside, 0.0) / bar
    return apart


def _confirmed(move: FloatArray, bar: FloatArray, own: FloatArray) -> FloatArray:
    """Return what is sure of a neighbour's ``move``, with its ``bar``, for an expiry whose own bar is ``own``."""
    sure: FloatArray = np.copysign(np.maximum(np.abs(move) - np.maximum(bar - own, 0.0), 0.0), move)
    return sure
