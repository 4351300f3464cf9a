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
from app.quant.compiled import kernel
from app.quant.innovations import Innovations
from app.quant.surface import VolSurface

PLACES: Final = ("its puts", "near the money", "its calls", "all its quotes")
NEAR_THE_MONEY: Final = PLACES.index("near the money")
EDGE: Final = 0.75
"""Deviations from the money, on either side, between the first three of PLACES; the last is of them all."""
MIDDLES: Final = (-1.25, 0.0, 1.25, 0.0)
"""Deviations in the middle of each of PLACES, of those that are judged."""
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

    def within(self, surface: VolSurface) -> bool:
        """Tell whether the move is within the bar of ``surface`` at the middle of the place."""
        for s, at_the_money in zip(surface.slices, surface.stack.at_the_money.tolist(), strict=True):
            if s.expiry_ms == self.expiry_ms and s.band:
                k = MIDDLES[PLACES.index(self.place)] * math.sqrt(at_the_money)
                return abs(self.move) <= float(s.band.half_width_at(np.array([k]))[0])
        return False


@dataclass(frozen=True, slots=True, eq=False)
class LoneMoves:
    """Of each expiry of ``innovations`` at each of PLACES: the median move and by how many half-widths it leaves those
    of its neighbours, upwards or (negative) downwards; arrays (expiries, places). NaN half-widths where nobody can
    judge. ``counted`` are the quotes that were asked.
    """

    innovations: Innovations
    counted: BoolArray
    move: FloatArray
    half_widths: FloatArray

    def loneliest(self) -> LoneMove | None:
        """Return the one furthest from what its neighbours moved by; None where none left it."""
        judged = np.abs(np.nan_to_num(self.half_widths))
        if not judged.any():
            return None
        i, place = divmod(int(judged.argmax()), len(PLACES))
        return LoneMove(
            self.innovations.expiries[i],
            float(self.innovations.t[i]),
            PLACES[place],
            float(self.move[i, place]),
            float(judged[i, place]),
        )

    def at(self, expiry: int, deviations: float) -> float:
        """Return the half-widths at the place of ``deviations``, else of all quotes; NaN where nobody can judge."""
        there = abs(float(self.half_widths[expiry, (deviations > -EDGE) + (deviations > EDGE)]))
        return abs(float(self.half_widths[expiry, -1])) if math.isnan(there) else there


def lone_moves(innovations: Innovations, flagged: BoolArray, widening: float, reach: float) -> LoneMoves:
    """Return how far each expiry moved from what its neighbours moved by; fewer than LEAST_EXPIRIES are not judged.

    Quotes within ``reach`` deviations count, but for ``flagged`` ones, which nobody confirms; ``widening`` is the
    factor on the bars for the time since the surface.
    """
    shape = (len(innovations.expiries), len(PLACES))
    moves, bars, count = np.zeros(shape), np.full(shape, np.nan), np.zeros(shape, dtype=np.int64)
    place_medians(
        innovations.bounds(),
        innovations.deviations,
        innovations.error,
        innovations.half_width,
        ~flagged,
        reach,
        moves,
        bars,
        count,
    )
    apart = np.full(shape, np.nan)
    known = np.flatnonzero(np.isfinite(bars[:, -1]))
    if known.size >= LEAST_EXPIRIES:
        told = count[known] >= LEAST_QUOTES
        told[:, -1] = True
        move, bar = (np.where(told, each[known], each[known, -1:]) for each in (moves, widening * bars))
        apart[known] = np.where(told, _apart(move, bar, innovations.t[known]), np.nan)
    return LoneMoves(innovations, ~flagged, moves, apart)


@kernel
def place_medians(
    bounds: IntArray,
    deviations: FloatArray,
    error: FloatArray,
    half_width: FloatArray,
    counted: BoolArray,
    reach: float,
    move: FloatArray,
    bar: FloatArray,
    count: IntArray,
) -> None:
    """Write the median ``error``, mean ``half_width`` and number of quotes of each expiry at each of PLACES.

    Expiry e has the quotes ``bounds[e]:bounds[e + 1]``; ``counted`` ones within ``reach`` deviations are looked at. A
    place without any is left as it is. The last three arrays are (expiries, places).
    """
    ordered = np.empty(error.shape[0])
    every = move.shape[1] - 1
    for e in range(move.shape[0]):
        for place in range(every + 1):
            n, total = 0, 0.0
            for j in range(bounds[e], bounds[e + 1]):
                z = deviations[j]
                here = (1 if z > -EDGE else 0) + (1 if z > EDGE else 0)
                if not counted[j] or abs(z) > reach or place not in (here, every):
                    continue
                i = n
                while i > 0 and ordered[i - 1] > error[j]:
                    ordered[i] = ordered[i - 1]
                    i -= 1
                ordered[i] = error[j]
                n, total = n + 1, total + half_width[j]
            count[e, place] = n
            if n > 0:
                move[e, place] = 0.5 * (ordered[(n - 1) // 2] + ordered[n // 2])
                bar[e, place] = total / n


def _apart(move: FloatArray, bar: FloatArray, t: FloatArray) -> FloatArray:
    """Return by how many bars each move leaves the interval of its neighbours', signed; arrays (expiries, places)."""
    before, after = _confirmed(move[:-1], bar[:-1], bar[1:]), _confirmed(move[1:], bar[1:], bar[:-1])
    one, other = np.vstack([after[:1] * (t[1] / t[0]), before]), np.vstack([after, before[-1:]])
    apart: FloatArray = (move - np.clip(move, np.minimum(one, other), np.maximum(one, other))) / bar
    return apart


def _confirmed(move: FloatArray, bar: FloatArray, own: FloatArray) -> FloatArray:
    """Return what is sure of a neighbour's ``move``, with its ``bar``, for an expiry whose own bar is ``own``."""
    sure: FloatArray = np.copysign(np.maximum(np.abs(move) - np.maximum(bar - own, 0.0), 0.0), move)
    return sure
