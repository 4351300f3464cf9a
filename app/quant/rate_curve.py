"""Carry and discounting between expiries, and what neighbouring expiries say about each other."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from app.quant.arrays import FloatArray, frozen
from app.quant.errors import InvalidQuery

RATE_PRIOR_SD: Final = 0.10
"""Annual rates of quote currencies before any evidence: 0 +- 10 %."""
RATE_WANDER: Final = 0.005
"""Sd by which a zero rate changes over one unit of ln t: half a per cent for a tenor 2.7 times as long."""
CARRY_SD: Final = 0.02
"""Sd by which the annual carry between two pillars departs from a straight line."""
OUTER_CARRY_SD: Final = 0.10
"""The annual carry beyond the outermost pillar, where nothing holds the other end: 0 +- 10 %."""

LEAST_SPREAD: Final = 3.0 / (24.0 * 365.0)
"""Three hours in years: pillars whose t differ by less, root mean square, tell a level and no carry. What a forward is
uncertain by, a ten-thousandth of it, would be a carry of 30 % a year."""

SHORTEST_CARRY: Final = 1.0 / 365.0
"""A day in years: what expires sooner tells no carry, a basis point of its forward being 4 % a year and more."""


@dataclass(frozen=True, slots=True, eq=False)
class RateCurve:
    """Forwards and discount factors of any tenor, from the expiries (pillars) where they are known.

    ``t`` ascends; ``rate`` is the carry ln(F/spot)/t and ``discount_rate`` the zero rate -ln(D)/t at each pillar, both
    continuously compounded, ACT/365. ``spot`` is the forward carried back to t = 0 by the chain itself, not a quote.
    """

    t: FloatArray
    rate: FloatArray
    discount_rate: FloatArray
    spot: float

    def forward_at(self, t: ArrayLike) -> FloatArray:
        """Return spot * exp(b(t) t), the carry b as :func:`accrued_carry` has it.

        Raises InvalidQuery for a negative or non-finite t.
        """
        return np.asarray(self.spot * np.exp(accrued_carry(_tenor(t), self.t, self.rate)))

    def discount_factor(self, t: ArrayLike) -> FloatArray:
        """Return D(t): ln D linear in t between pillars and from 0 to the first, the zero rate flat after the last.

        Between pillars the forward rate is constant. Raises InvalidQuery for a negative or non-finite t.
        """
        at = _tenor(t)
        inside = _straight(at, self.t, self.discount_rate)
        return np.asarray(np.exp(-np.where(at > self.t[-1], self.discount_rate[-1] * at, inside)))


def rate_curve(t: FloatArray, forward: FloatArray, forward_sd: FloatArray, discount_factor: FloatArray) -> RateCurve:
    """Return the curve through these pillars (t ascending and positive, at least one).

    The spot is where the weighted straight line through ln F over t meets t = 0; a pillar's weight falls with its sd
    and with the carry that may change before it. Pillars too close to each other say that it is flat.
    """
    log_forward = np.log(forward)
    weight = 1.0 / ((forward_sd / forward) ** 2 + (CARRY_SD * t) ** 2)
    weight /= weight.sum()
    centre, level = weight @ t, weight @ log_forward
    variance = weight @ (t - centre) ** 2
    slope = (weight * (t - centre)) @ log_forward / variance if variance > LEAST_SPREAD**2 else 0.0
    spot = float(np.exp(level - slope * centre))
    return RateCurve(
        t=frozen(t),
        rate=frozen(np.log(forward / spot) / t),
        discount_rate=frozen(-np.log(discount_factor) / t),
        spot=spot,
    )


def bridge(
    pillar_t: FloatArray, log_forward: FloatArray, log_forward_sd: FloatArray, t: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return ln F and its sd at tenors ``t`` from pillars elsewhere (t ascending, at least one).

    ln F is linear in t between pillars, which is a constant carry. Outside it stays: the slope of two close pillars is
    mostly their noise. The sd grows with the distance to the nearest pillar, five times as fast outside.
    """
    if pillar_t.size == 1:
        outside = OUTER_CARRY_SD * np.abs(t - pillar_t[0])
        return np.full(t.shape, log_forward[0]), np.hypot(log_forward_sd[0], outside)
    left = np.clip(np.searchsorted(pillar_t, t) - 1, 0, pillar_t.size - 2)
    before, after = pillar_t[left], pillar_t[left + 1]
    share = np.clip((t - before) / (after - before), 0.0, 1.0)
    value = (1.0 - share) * log_forward[left] + share * log_forward[left + 1]
    known = np.hypot((1.0 - share) * log_forward_sd[left], share * log_forward_sd[left + 1])
    gap = np.minimum(np.abs(t - before), np.abs(after - t))
    inside = (t >= before) & (t <= after)
    return value, np.hypot(known, np.where(inside, CARRY_SD, OUTER_CARRY_SD) * gap)


def pooled_rate(t: FloatArray, rate: FloatArray, rate_sd: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return for each expiry the rate its neighbours suggest and the sd of that; NaN rates are no evidence.

    The inverse-variance mean of the *other* rates and the prior 0 +- 10 %, a neighbour's variance widened by
    (wander * ln(t_i/t_j))^2. The expiry's own rate is left out, so that the result may serve it as a prior.
    """
    known = np.isfinite(rate) & np.isfinite(rate_sd) & (t > 0.0)
    log_t = np.log(np.where(t > 0.0, t, 1.0))
    variance = np.where(known, rate_sd, 1.0) ** 2 + (RATE_WANDER * (log_t[:, None] - log_t)) ** 2 + RATE_WANDER**2 / 4
    weight = np.where(known, 1.0 / variance, 0.0)
    np.fill_diagonal(weight, 0.0)
    total = weight.sum(axis=1) + RATE_PRIOR_SD**-2
    return (weight * np.where(known, rate, 0.0)).sum(axis=1) / total, 1.0 / np.sqrt(total)


def accrued_carry(at: FloatArray, t: FloatArray, rate: FloatArray) -> FloatArray:
    """Return ln(F/spot) = b(t) t at tenors ``at``: b linear in t between pillars, flat outside.

    Between the pillars before SHORTEST_CARRY, and from the last of them to the next, ln F is linear instead: over next
    to no time the error of a forward is a carry of some hundred per cent a year, and hours later per cents of it.
    """
    first = t[min(int(np.searchsorted(t, SHORTEST_CARRY)), t.size - 1)]
    accrued: FloatArray = np.where(at < first, _straight(at, t, rate), np.interp(at, t, rate) * at)
    return accrued


def _straight(at: FloatArray, t: FloatArray, rate: FloatArray) -> FloatArray:
    """Return rate * t at other tenors, linear in t from 0 to the first pillar and between two."""
    return np.asarray(np.interp(at, np.append(0.0, t), np.append(0.0, rate * t)))


def _tenor(t: ArrayLike) -> FloatArray:
    at = np.asarray(t, dtype=np.float64)
    if not (np.isfinite(at).all() and (at >= 0.0).all()):
        raise InvalidQuery(f"a tenor is a finite year fraction of at least 0, got {at}")
    return at
