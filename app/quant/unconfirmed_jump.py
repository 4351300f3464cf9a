"""A jump that nobody confirms: a vol that left its bar further than the mids of the new chain did.

The nearest mids must have made the move; a large one must also have moved the expiries before and after it, or half of
all others, for the mids of one expiry may all be of one broken feed. A small one that no mid made is told well enough
by new bars as wide as it.
"""

import math
from dataclasses import dataclass

import numpy as np

from app.quant.arrays import BoolArray
from app.quant.gate_rules import GateRules
from app.quant.innovations import Innovations
from app.quant.lone_expiry import LoneMoves
from app.quant.median import median
from app.quant.stacked_bands import half_widths
from app.quant.surface import VolSurface


@dataclass(frozen=True, slots=True)
class UnconfirmedJump:
    """A move of a vol, in vol and in half-widths of its bar; ``alone``: its own mids made it, no other expiry's.

    ``tolerable`` is how many half-widths it may have in a surface that is published.
    """

    log_moneyness: float
    t: float
    move: float
    half_widths: float
    alone: bool
    tolerable: float

    @property
    def rejects(self) -> bool:
        """Whether no surface is published with it."""
        return self.half_widths > self.tolerable


def worst_jump(
    surface: VolSurface, lone: LoneMoves, widening: float, believed: bool, rules: GateRules
) -> UnconfirmedJump | None:
    """Return the worst move beyond the bars that the mids do not confirm; None where they confirm all.

    Looked at are the places of the chain's own quotes, the innovations of ``lone``. ``widening`` is the factor on the
    bars for the time since the surface before; where ``believed``, an expiry's own mids confirm a move of any size.
    """
    innovations = lone.innovations
    places = {s.expiry_ms: i for i, s in enumerate(surface.slices)}
    place = np.array([places.get(expiry_ms, -1) for expiry_ms in innovations.expiries], dtype=np.int64)
    at = place[innovations.slice]
    rows = np.flatnonzero((np.abs(innovations.deviations) <= rules.judged_deviations) & (at >= 0))
    at = at[rows]
    w = surface.stack.variances(at, innovations.k[rows])
    moves = np.sqrt(w / surface.maturities[at]) - innovations.vol[rows]
    bars = widening * innovations.half_width[rows]
    sizes = np.abs(moves) / bars
    beyond = np.flatnonzero(sizes > 1.0)
    if not beyond.size:
        return None
    own = half_widths(surface.bands, at, innovations.k[rows])
    worst: UnconfirmedJump | None = None
    for j in beyond.tolist():
        move, size, bar = float(moves[j]), float(sizes[j]), float(bars[j])
        z, i = float(innovations.deviations[rows[j]]), int(innovations.slice[rows[j]])
        mid, half_spread = _nearest(innovations, lone.counted & (innovations.slice == i), z, rules)
        here = abs(move - mid) <= bar or mid / move >= rules.confirming_move
        beside = lone.at(i, z)
        enough = (
            believed
            or size <= rules.large_jump
            or beside <= (1.0 - rules.confirming_move) * size
            or _expiries_moved(innovations, widening, innovations.expiries[i], z, move, rules)
        )
        # Where nothing would be rejected, a surface that says itself how far off it may be has said it.
        said = not here and size <= rules.rejected_jump and abs(move) <= own[j]
        if said or (here and enough):
            continue
        tolerable = rules.rejected_jump
        if here and beside <= rules.degraded_lone:
            # The neighbours moved too little to confirm it, and enough not to contradict it.
            tolerable = math.inf
        elif not here and abs(move - mid) <= half_spread:
            # Spreads that are wide open leave a choice; bars as wide say that it was one.
            tolerable = math.inf if abs(move) <= own[j] else rules.large_jump
        jump = UnconfirmedJump(float(innovations.k[rows[j]]), float(innovations.t[i]), move, size, here, tolerable)
        if worst is None or (jump.rejects, size) > (worst.rejects, worst.half_widths):
            worst = jump
    return worst


def _nearest(innovations: Innovations, here: BoolArray, z: float, rules: GateRules) -> tuple[float, float]:
    """Return the medians of the nearest mids' innovations and of their half-spreads; NaN of none."""
    if not here.any():
        return math.nan, math.nan
    nearest = np.argsort(np.abs(innovations.deviations[here] - z), kind="stable")[: rules.confirming_quotes]
    return median(innovations.error[here][nearest]), median(innovations.half_spread[here][nearest])


def _expiries_moved(
    innovations: Innovations, widening: float, expiry_ms: int, z: float, move: float, rules: GateRules
) -> bool:
    """Tell whether enough of the other expiries moved the same way, by ``confirming_move`` of their bars."""
    votes = []
    for i, other in enumerate(innovations.expiries):
        near = (innovations.slice == i) & (np.abs(innovations.deviations - z) <= rules.confirming_reach)
        if other != expiry_ms and near.any() and np.isfinite(innovations.half_width[near]).all():
            sizes = innovations.error[near] / (widening * innovations.half_width[near])
            votes.append(median(sizes) * math.copysign(1.0, move) >= rules.confirming_move)
    return bool(votes) and float(np.mean(votes)) >= rules.confirming_expiries
