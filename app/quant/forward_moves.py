"""How forwards moved since the surface before: all together, and each apart from the others.

All together they may fall by any amount within a minute, if it is this market that fell: a chain that lists the
instruments of before, and whose puts and calls trade at the new level, passes at once (listed.py, traded_level.py).
Else it is taken for another underlying's, or for one in another unit, until the root of the time since allows the move.
One apart from the others does not move by much.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log
from statistics import fmean, median
from typing import Final

from app.quant.calibration import SurfaceStatus
from app.quant.findings import Finding
from app.quant.gate_rules import GateRules
from app.quant.parity_check import ParityCheck
from app.quant.surface import VolSurface
from app.quant.traded_level import traded_share

LISTED_SHARE: Final = 0.8
"""Share of the instruments listed before that a chain of the same market lists: all but an expiry that ran off and some
losses on the way. Of two underlyings with the same grid of strikes, a quarter apart, it is two thirds."""
CARRY_SHARE: Final = 0.1
"""Part of a move of all forwards by which one may move apart from the others: carry falls and rises with the spot."""


@dataclass(frozen=True, slots=True)
class ForwardMoves:
    """Moves of forwards, ln: ``level`` is the median of all, ``carry`` by expiry what each moved apart from it."""

    level: float
    carry: Mapping[int, float]

    @property
    def furthest(self) -> float:
        """The largest move apart from the others."""
        return max(map(abs, self.carry.values()), default=0.0)


def forward_moves(surface: VolSurface, previous: VolSurface) -> ForwardMoves:
    """Return the moves of the expiries that both surfaces know; no move where they share none."""
    before = _forwards(previous)
    moves = {s.expiry_ms: log(s.forward / before[s.expiry_ms]) for s in surface.slices if s.expiry_ms in before}
    level = median(moves.values()) if moves else 0.0
    return ForwardMoves(level, {expiry_ms: move - level for expiry_ms, move in moves.items()})


def judged_level(
    moves: ForwardMoves,
    surface: VolSurface,
    previous: VolSurface,
    checks: Sequence[ParityCheck],
    listed: float,
    widening: float,
    rules: GateRules,
) -> Iterator[Finding]:
    """Yield what is found of a large move of all forwards; ``listed`` is the share of instruments that still are, and
    ``checks`` those of the chain of ``surface``."""
    size = abs(moves.level) / widening
    if size <= rules.rejected_level:
        return
    traded = traded_share(surface, _forwards(previous), checks)
    same = listed >= LISTED_SHARE and traded >= rules.confirming_expiries
    yield (
        SurfaceStatus.DEGRADED if same else SurfaceStatus.REJECTED,
        f"level: move of all forwards is {size:.4g}, more than {rules.rejected_level:g}; {listed:.0%} of the"
        f" instruments of before are listed, and puts and calls trade there at {traded:.0%} of the expiries that have"
        " enough of them",
    )


def judged_carry(moves: ForwardMoves, widening: float, believed: bool, rules: GateRules) -> Iterator[Finding]:
    """Yield what is found of a forward that moved apart from the others."""
    apart = moves.furthest / widening
    usual = rules.rejected_forward + CARRY_SHARE * abs(moves.level) / widening
    if apart > usual:
        status = SurfaceStatus.DEGRADED if believed else SurfaceStatus.REJECTED
        yield status, f"forward: one moved by {apart:.4g} apart from the others, more than {usual:.4g}"


def judged_votes(moves: ForwardMoves, surface: VolSurface, checks: Sequence[ParityCheck]) -> Iterator[Finding]:
    """Yield what is found of expiries whose puts and calls outvote the forward that the venue sent.

    Either was wrong: where the expiries before and after it moved as what the venue sent did, and not as what is
    believed, it is the prices. ``checks`` are those of the chain of ``surface``.
    """
    checked = {check.t: check for check in checks}
    known = [s for s in surface.slices if s.expiry_ms in moves.carry]
    for i, s in enumerate(known):
        outvoted = checked[s.t].outvoted if s.t in checked else 0.0
        beside = [moves.carry[other.expiry_ms] for other in known[max(i - 1, 0) : i + 2] if other is not s]
        if not outvoted or not beside:
            continue
        apart = moves.carry[s.expiry_ms] - fmean(beside)
        if min(abs(apart - outvoted), abs(apart + outvoted)) < abs(apart):
            yield (
                SurfaceStatus.DEGRADED,
                f"forward: that of {s.t * 365.0:.1f} days moved by {apart:+.4f} apart from the expiries beside it, as"
                " its puts and calls have it and not the venue: its prices may be those of other strikes",
            )


def _forwards(surface: VolSurface) -> dict[int, float]:
    return {s.expiry_ms: s.forward for s in surface.slices}
