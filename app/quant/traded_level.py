"""A market that fell by a third, or a chain that is not of this market? Who trades at the new level says which.

A strike is a price that no feed can scale: where puts and calls of strikes that were listed before bound the forward,
and the forward that stood lies beyond their bounds, anyone could trade the difference. Premiums in a wrong unit, a
wrong forward or a wrong spot leave puts and calls that contradict the strikes; another underlying has other strikes.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from app.quant.parity_check import LEAST_STRIKES, ParityCheck
from app.quant.surface import VolSurface

AGREES: Final = 0.01
"""Part of a forward that it may lie beyond the bounds that confirm it: quotes of a crash are of different moments."""


def traded_share(surface: VolSurface, standing: Mapping[int, float], checks: Sequence[ParityCheck]) -> float:
    """Return the share of expiries in which puts and calls refute the forward that stood and agree with the new one.

    ``standing`` are the forwards of the surface before, by expiry; those of ``surface`` that it knows are asked, where
    enough strikes have a put and a call. 0 where none has. ``checks`` are those of the chain of ``surface``.
    """
    telling = {check.t: check for check in checks if check.reconciled >= LEAST_STRIKES}
    votes = [
        _traded(telling[s.t], s.forward, standing[s.expiry_ms])
        for s in surface.slices
        if s.expiry_ms in standing and s.t in telling
    ]
    return sum(votes) / len(votes) if votes else 0.0


def _traded(check: ParityCheck, forward: float, stood: float) -> bool:
    agrees = check.low * (1.0 - AGREES) <= forward <= check.high * (1.0 + AGREES)
    return agrees and not check.low <= stood <= check.high
