"""An expiry that moved by itself: its mids against those of the expiries before and after it.

After a shift of the regime every expiry may move, but near ones move alike and far ones less. The median innovation of
an expiry is to lie between those of its neighbours in time, or near one of them. The nearest has one neighbour only;
variance expected before it is in both, and moves its vol by more, in proportion to 1/t.
"""

from dataclasses import dataclass

import numpy as np

from app.quant.innovations import Innovations


@dataclass(frozen=True, slots=True)
class LoneMove:
    """Median move of an expiry's mids, and by how many half-widths it leaves its neighbours'."""

    expiry_ms: int
    t: float
    move: float
    half_widths: float


def loneliest_move(innovations: Innovations, widening: float, reach: float) -> LoneMove | None:
    """Return the expiry furthest from what its neighbours moved by; None with fewer than three that have bars.

    Quotes within ``reach`` deviations count; ``widening`` is the factor on the bars for the time since the surface.
    """
    moves: list[tuple[int, float, float]] = []
    for i in range(len(innovations.expiries)):
        rows = (innovations.slice == i) & (np.abs(innovations.deviations) <= reach)
        if rows.any() and np.isfinite(innovations.half_width[rows]).all():
            bar = widening * float(np.median(innovations.half_width[rows]))
            moves.append((i, float(np.median(innovations.error[rows])), bar))
    if len(moves) < 3:
        return None
    found = []
    for at, (i, move, bar) in enumerate(moves):
        beside = [moves[j][1] for j in (at - 1, at + 1) if 0 <= j < len(moves)]
        if at == 0:
            beside.append(beside[0] * float(innovations.t[moves[1][0]] / innovations.t[i]))
        apart = max(min(beside) - move, move - max(beside), 0.0)
        found.append(LoneMove(innovations.expiries[i], float(innovations.t[i]), move, apart / bar))
    return max(found, key=lambda lone: lone.half_widths)
