"""A jump that nobody confirms: a vol that left its bar further than the mids of the new chain did.

The nearest mids must have made the move; a large one must also have moved other expiries the same way, for the mids of
one expiry may all be of one broken feed.
"""

import math
from dataclasses import dataclass

import numpy as np

from app.quant.arrays import BoolArray
from app.quant.gate_rules import GateRules
from app.quant.innovations import Innovations
from app.quant.slice_variance import stacked_variance
from app.quant.surface import VolSurface


@dataclass(frozen=True, slots=True)
class UnconfirmedJump:
    """A move of a vol, in vol and in half-widths of its bar; ``alone``: its own mids made it, no other expiry's."""

    log_moneyness: float
    t: float
    move: float
    half_widths: float
    alone: bool


def worst_jump(
    surface: VolSurface, innovations: Innovations, widening: float, believed: bool, rules: GateRules
) -> UnconfirmedJump | None:
    """Return the largest move beyond the bars that the mids do not confirm; None where they confirm all.

    Looked at are the places of the chain's own quotes. ``widening`` is the factor on the bars for the time since the
    surface before; where ``believed``, an expiry's own mids confirm a move of any size.
    """
    new = {s.expiry_ms: s for s in surface.slices}
    fitted = np.array([expiry_ms in new for expiry_ms in innovations.expiries], dtype=np.bool_)
    rows = np.flatnonzero(fitted[innovations.slice])
    after = [new[expiry_ms] for expiry_ms in innovations.expiries if expiry_ms in new]
    at = (np.cumsum(fitted) - 1)[innovations.slice[rows]]
    w = stacked_variance([s.curve for s in after], at, innovations.k[rows])
    moves = np.sqrt(w / np.array([s.t for s in after])[at]) - innovations.vol[rows]
    bars = widening * innovations.half_width[rows]
    sizes = np.abs(moves) / bars
    worst: UnconfirmedJump | None = None
    for j in np.flatnonzero((np.abs(innovations.deviations[rows]) <= rules.judged_deviations) & (sizes > 1.0)).tolist():
        move, size, z, i = float(moves[j]), float(sizes[j]), innovations.deviations[rows[j]], innovations.slice[rows[j]]
        if worst and size <= worst.half_widths:
            continue
        here = _mids_moved(innovations, innovations.slice == i, z, move, float(bars[j]), rules)
        enough = believed or size <= rules.large_jump
        if not here or not (enough or _expiries_moved(innovations, widening, innovations.expiries[i], z, move, rules)):
            worst = UnconfirmedJump(float(innovations.k[rows[j]]), float(innovations.t[i]), move, size, here)
    return worst


def _mids_moved(innovations: Innovations, here: BoolArray, z: float, move: float, bar: float, rules: GateRules) -> bool:
    """Tell whether the median of the nearest mids is within ``bar`` of the new vol, or made enough of ``move``."""
    nearest = np.argsort(np.abs(innovations.deviations[here] - z), kind="stable")[: rules.confirming_quotes]
    mid = float(np.median(innovations.error[here][nearest]))
    return abs(move - mid) <= bar or mid / move >= rules.confirming_move


def _expiries_moved(
    innovations: Innovations, widening: float, expiry_ms: int, z: float, move: float, rules: GateRules
) -> bool:
    """Tell whether enough of the other expiries moved the same way, by ``confirming_move`` of their bars."""
    votes = []
    for i, other in enumerate(innovations.expiries):
        near = (innovations.slice == i) & (np.abs(innovations.deviations - z) <= rules.confirming_reach)
        if other != expiry_ms and near.any() and np.isfinite(innovations.half_width[near]).all():
            sizes = innovations.error[near] / (widening * innovations.half_width[near])
            votes.append(float(np.median(sizes)) * math.copysign(1.0, move) >= rules.confirming_move)
    return bool(votes) and float(np.mean(votes)) >= rules.confirming_expiries
