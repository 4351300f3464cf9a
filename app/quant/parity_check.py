"""Do the puts and calls of an expiry agree on a forward? The strikes at which they do, and those at which they do not.

Parity bounds the forward at each strike by what could be traded there. Where no forward lies within all bounds, some of
those prices are not a market's: anyone could trade the difference. It needs no surface before it, and no vol model.

Premiums that are all off by a factor may hide within their spreads strike by strike, but not together: C - P, which is
D (F - K), then falls with K by the factor times D, and D is known, for inverse premiums exactly, else but for a rate.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from app.quant.parity import MIN_PAIRS

LEAST_STRIKES: Final = 5
"""Strikes with a two-sided put and call that a chain is judged by as a whole: fewer are one or two books' word."""
SURE_SDS: Final = 5.0
"""Standard deviations that a factor is to be off by before anyone says so; on 553 recorded chains none was by 2."""
FACTOR_SD_FLOOR: Final = 2e-3
"""Sd of ln factor that an expiry's never goes below: errors of neighbouring strikes move together."""


@dataclass(frozen=True, slots=True)
class ParityCheck:
    """Strikes of an expiry with a two-sided put and call, those that one forward reconciles, and years to expiry.

    ``slope`` is by how much call less put falls with the strike, undiscounted units, NaN where nothing tells it;
    ``rate_sd`` is one sd of the annual rate that discounts it, 0 where premiums carry none. ``outvoted`` is by how
    much, ln, a forward or future that the venue sent lies from the one that is believed against it, 0 where none does.
    ``low`` and ``high`` bound the forward by what could be traded at the reconciled strikes, NaN where nothing does.
    ``overruled`` is by how much, ln, the puts' and calls' own forward lies from the one that is believed against it.
    """

    t: float
    strikes: int
    reconciled: int
    slope: float = math.nan
    slope_sd: float = math.nan
    rate_sd: float = 0.0
    outvoted: float = 0.0
    low: float = math.nan
    high: float = math.nan
    overruled: float = 0.0

    @property
    def contradicted(self) -> float:
        """Share of the strikes that no forward reconciles with the others."""
        return (self.strikes - self.reconciled) / self.strikes

    @property
    def sloped(self) -> bool:
        """Whether the slope is known, and one that a logarithm has."""
        return self.slope > 0.0 and self.slope_sd < math.inf

    @property
    def slope_variance(self) -> float:
        """Variance of ln slope."""
        return (self.slope_sd / self.slope) ** 2 + FACTOR_SD_FLOOR**2

    @property
    def off(self) -> float:
        """By how much, in ln, its premiums are off by a factor, less SURE_SDS; 0 where they may be right."""
        if not self.sloped:
            return 0.0
        sd = math.sqrt(self.slope_variance + (self.rate_sd * self.t) ** 2)
        return max(abs(math.log(self.slope)) - SURE_SDS * sd, 0.0)


def judged_expiries(checks: Sequence[ParityCheck]) -> tuple[ParityCheck, ...]:
    """Return the checks of expiries where a strike has another to contradict."""
    return tuple(check for check in checks if check.strikes >= MIN_PAIRS)


def contradicted_share(checks: Sequence[ParityCheck]) -> float:
    """Return the share of strikes that contradict others of their expiry, over all that has others; 0 of too few."""
    compared = judged_expiries(checks)
    strikes = sum(check.strikes for check in compared)
    reconciled = sum(check.reconciled for check in compared)
    return (strikes - reconciled) / strikes if strikes >= LEAST_STRIKES else 0.0


def outvoted_share(checks: Sequence[ParityCheck]) -> float:
    """Return the share of living expiries of which the venue sent a forward or future that nobody believes."""
    alive = [check.outvoted > 0.0 for check in checks if check.t > 0.0]
    return sum(alive) / len(alive) if alive else 0.0


def premiums_off(checks: Sequence[ParityCheck]) -> float:
    """Return by how much, in ln, all premiums are off by one factor, less SURE_SDS; 0 where they may be right.

    The slopes are factor * exp(-rate t): weighted least squares of their logarithms for ln factor and the rate, that is
    N(0, rate_sd^2). The variance is scaled up, never down, by the mean square of the residuals.
    """
    told = [check for check in checks if check.sloped]
    if not told:
        return 0.0
    points = [(1.0 / c.slope_variance, c.t if c.rate_sd else 0.0, math.log(c.slope)) for c in told]
    w_t = sum(w * t for w, t, _ in points)
    w_tt = sum(w * t * t for w, t, _ in points) + (max(c.rate_sd for c in told) or 1.0) ** -2
    w_y, w_ty = sum(w * y for w, _, y in points), sum(w * t * y for w, t, y in points)
    total = sum(w for w, _, _ in points)
    determinant = total * w_tt - w_t * w_t
    factor, tilt = (w_tt * w_y - w_t * w_ty) / determinant, (total * w_ty - w_t * w_y) / determinant
    chi2 = sum(w * (y - factor - tilt * t) ** 2 for w, t, y in points)
    variance = max(1.0, chi2 / max(len(points) - 1, 1)) * w_tt / determinant
    return max(abs(factor) - SURE_SDS * math.sqrt(variance), 0.0)
