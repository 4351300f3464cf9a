"""Do the puts and calls of an expiry agree on a forward? The strikes at which they do, and those at which they do not.

Parity bounds the forward at each strike by what could be traded there. Where no forward lies within all bounds, some of
those prices are not a market's: anyone could trade the difference. It needs no surface before it, and no vol model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from app.quant.parity import MIN_PAIRS

LEAST_STRIKES: Final = 5
"""Strikes with a two-sided put and call that a chain is judged by as a whole: fewer are one or two books' word."""


@dataclass(frozen=True, slots=True)
class ParityCheck:
    """Strikes of an expiry with a two-sided put and call, those that one forward reconciles, and years to expiry."""

    t: float
    strikes: int
    reconciled: int

    @property
    def contradicted(self) -> float:
        """Share of the strikes that no forward reconciles with the others."""
        return (self.strikes - self.reconciled) / self.strikes


def judged_expiries(checks: Sequence[ParityCheck]) -> tuple[ParityCheck, ...]:
    """Return the checks of expiries where a strike has another to contradict."""
    return tuple(check for check in checks if check.strikes >= MIN_PAIRS)


def contradicted_share(checks: Sequence[ParityCheck]) -> float:
    """Return the share of strikes that contradict others of their expiry, over all that has others; 0 of too few."""
    compared = judged_expiries(checks)
    strikes = sum(check.strikes for check in compared)
    reconciled = sum(check.reconciled for check in compared)
    return (strikes - reconciled) / strikes if strikes >= LEAST_STRIKES else 0.0
