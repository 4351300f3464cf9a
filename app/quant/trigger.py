"""When a chain is worth a fit, and when the surface that stands may be moved along with its forwards instead.

Every chain is fitted unless a policy says otherwise. A policy names what a fit waits for: time since the last one, a
share of the new quotes outside the bands, a move of a forward. Whatever it says, a chain is fitted when moving would be
wrong: expiries changed, the market did, time has run off a slice, or something was the matter with the chain before.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from app.quant.innovations import Innovations
from app.quant.models.base import SurfaceModel
from app.quant.smile import Smile
from app.quant.surface import VolSurface
from app.quant.trigger_policy import TriggerPolicy
from app.quant.year_fraction import MS_PER_YEAR

LEAST_TIME_LEFT: Final = 0.99
"""Share of the time to expiry at the fit that a slice must still have: 1 % less, and its vol is 0.5 % too high."""


@dataclass(frozen=True, slots=True)
class FittedAt:
    """The last fit of a series: when, and the forward of each expiry then."""

    as_of_ms: int
    forwards: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class Recalibrate:
    """The chain is to be fitted, for this reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class Carry:
    """The surface that stands is to be moved to the chain, for this reason."""

    reason: str


def fitted_at(surface: VolSurface) -> FittedAt:
    """Return what later chains are compared with once ``surface`` was fitted."""
    return FittedAt(surface.as_of_ms, tuple((s.expiry_ms, s.forward) for s in surface.slices))


def outside_share(innovations: Innovations) -> float:
    """Return the share of quotes whose mid is beyond the band; one without a band is, for nothing vouches for it."""
    if not len(innovations):
        return 1.0
    return float(1.0 - np.mean(np.abs(innovations.error) <= innovations.half_width))


def decide(
    policy: TriggerPolicy,
    *,
    model: SurfaceModel,
    smiles: Sequence[Smile],
    as_of_ms: int,
    previous: VolSurface,
    fitted: FittedAt | None,
    innovations: Innovations,
    trouble: str | None,
) -> Recalibrate | Carry:
    """Return what is to be done with the chain that was read as ``smiles`` at ``as_of_ms``.

    ``fitted`` is the last fit before ``previous``, None where it is not known; ``trouble`` says why the state asks for
    a fit (a shift of regime, an alarm, a rejection), None where nothing does.
    """
    if policy.fits_every_chain:
        return Recalibrate("every chain is fitted")
    forced = trouble or _unmovable(model, smiles, previous)
    if forced:
        return Recalibrate(forced)
    if fitted is None:
        return Recalibrate("the last fit is not known")
    run_off = _run_off(smiles, fitted)
    if run_off:
        return Recalibrate(run_off)
    age_s = (as_of_ms - fitted.as_of_ms) / 1e3
    if policy.after_s is not None and age_s >= policy.after_s:
        return Recalibrate(f"after: {age_s:.4g} s since the last fit, {policy.after_s:g} or more")
    outside = outside_share(innovations)
    if policy.outside is not None and outside > policy.outside:
        return Recalibrate(f"outside: {outside:.3g} of the quotes lie outside the bands, more than {policy.outside:g}")
    moved = _largest_move(smiles, fitted)
    if policy.forward is not None and moved > policy.forward:
        return Recalibrate(f"forward: one moved by {moved:.4g} since the last fit, more than {policy.forward:g}")
    return Carry(
        f"{age_s:.4g} s since the last fit, {outside:.3g} of the quotes outside the bands, forwards {moved:.2g}"
    )


def _unmovable(model: SurfaceModel, smiles: Sequence[Smile], previous: VolSurface) -> str | None:
    if previous.model != model.name:
        return f"model: the surface is of {previous.model}, {model.name} is asked for"
    before, now = {s.expiry_ms for s in previous.slices}, {smile.expiry_ms for smile in smiles}
    if before != now:
        return f"expiries: {len(now - before)} entered, {len(before - now)} left"
    for s, smile in zip(previous.slices, smiles, strict=True):
        if model.curve(s.curve.parameters(), t=smile.t, forward=smile.forward) != s.curve:
            return f"model: curves of {model.name} depend on the forward and the time, not on moneyness alone"
    return None


def _run_off(smiles: Sequence[Smile], fitted: FittedAt) -> str | None:
    for smile in smiles:
        then = (smile.expiry_ms - fitted.as_of_ms) / MS_PER_YEAR
        if smile.t < LEAST_TIME_LEFT * then:
            return (
                f"time: the nearest expiry has {smile.t / then:.3g} of its time at the fit, less than {LEAST_TIME_LEFT}"
            )
    return None


def _largest_move(smiles: Sequence[Smile], fitted: FittedAt) -> float:
    then = dict(fitted.forwards)
    moves = [abs(math.log(smile.forward / then[smile.expiry_ms])) for smile in smiles if smile.expiry_ms in then]
    return max(moves, default=0.0)
