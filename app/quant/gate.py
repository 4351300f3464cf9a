"""What may be published: named rules between a fit and the surface that stands. Each says the number and its limit.

A degraded surface is published with its reason; a rejected one is not, and the last good surface stays. Rules that
compare with that surface (missing expiries, forwards, large jumps) believe the THIRD_TIME chain in a row, if the
chain's own mids agree with it: a change that persists is the market's.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from app.quant.arrays import BoolArray, FloatArray
from app.quant.calibration import ReadChain, SurfaceFit, SurfaceStatus
from app.quant.innovations import Innovations
from app.quant.lone_expiry import loneliest_move
from app.quant.slice_variance import stacked_variance
from app.quant.surface import SurfaceSlice, VolSurface
from app.quant.vol_band import half_widths

DEGRADED_ERROR: Final = 0.05
REJECTED_ERROR: Final = 0.25
"""RMS error in vol: ordinary chains fit to 0.015; those around inflation figures, spreads wide open, to 0.12."""
DEGRADED_INSIDE: Final = 0.80
REJECTED_INSIDE: Final = 0.35
"""Share of vols within bid and ask: the default model reaches 0.95 on nearly all chains, rigid families 0.6."""
DEGRADED_BARS: Final = 0.25
"""Median half-width at the money in units of the vol: wider bars say little more than that there is a vol."""
DEGRADED_MARGIN: Final = 1e-4
"""Least Durrleman g: a tenth of the margin that fits keep, a hundred million times rounding."""
DEGRADED_QUOTES: Final = 0.5
REJECTED_QUOTES: Final = 0.2
"""Quotes used in units of those of the surface before: below, the chain is a part of one."""
REJECTED_UNCONFIRMED: Final = 0.08
"""Share of quotes that neither surface nor neighbours confirm: single ones are left out, many are a broken feed."""
CONFIRMING_MOVE: Final = 0.5
"""Share of a jump that the median mid nearby must have made."""
CONFIRMING_REACH: Final = 0.75
"""Deviations within which a mid of another expiry is nearby."""
CONFIRMING_QUOTES: Final = 3
"""Mids nearest to a jump whose median must have made it: one of them alone cannot."""
REJECTED_JUMP: Final = 2.0
"""Half-widths of an unconfirmed move that keep a surface back; from one on it is published as degraded."""
LARGE_JUMP: Final = 3.0
"""Half-widths beyond which the mids of one expiry are not enough: other expiries must move the same way."""
REJECTED_LONE: Final = 6.0
"""Half-widths beyond its neighbours in time at which a lone expiry keeps a surface back after a shift of the regime,
too; from REJECTED_JUMP on it is published as degraded. On two recorded days 1.6, and 4.1 as inflation figures came."""
CONFIRMING_EXPIRIES: Final = 0.5
"""Share of the other expiries that must move the same way by a half-width, CONFIRMING_MOVE of it, or more."""
THIRD_TIME: Final = 3
JUDGED_DEVIATIONS: Final = 2.0
"""Places further out are judged by nobody: few quotes, wide bars."""
REJECTED_FORWARD: Final = 0.0075
"""Move of one forward, as a logarithm per root of five minutes, apart from the median of all: carry does not jump.
On a day with inflation figures the largest was 0.006."""
MATTERS_MS: Final = 43_200_000
"""An expiry with less than half a day left may go without being missed."""
COMPARABLE_MS: Final = 3_600_000
"""A surface older than this is no measure for a new one."""
STEP_MS: Final = 300_000


@dataclass(frozen=True, slots=True)
class GateState:
    """Chains rejected in a row, and the quotes that the last published surface used."""

    rejected: int = 0
    quotes_used: int = 0


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the surface before says about a fit; ``flagged`` quotes were confirmed by nobody, ``shifted`` the regime."""

    previous: VolSurface
    innovations: Innovations
    flagged: BoolArray
    shifted: bool


def widening_since(previous: VolSurface, as_of_ms: int) -> float:
    """Return the factor on the bars of ``previous`` at ``as_of_ms``: the root of the five-minute steps since."""
    return math.sqrt(max((as_of_ms - previous.as_of_ms) / STEP_MS, 1.0))


def judged(fit: SurfaceFit, read: ReadChain, state: GateState, evidence: Evidence | None) -> SurfaceFit:
    """Return ``fit`` with the worst status that a rule gives it, and that rule's reason; never a better one."""
    findings = [*_absolute(fit), *_against_published(read, state)]
    if evidence:
        findings += _against_previous(fit, read, state, evidence)
    for status in (SurfaceStatus.REJECTED, SurfaceStatus.DEGRADED):
        reasons = [reason for found, reason in findings if found is status]
        if fit.status is status:
            return fit
        if reasons:
            return replace(fit, status=status, reason="; ".join(reasons))
    return fit


Finding = tuple[SurfaceStatus, str]


def _absolute(fit: SurfaceFit) -> Iterator[Finding]:
    report = fit.report
    yield from _above("error: RMS vol error", report.rmse_vol, DEGRADED_ERROR, REJECTED_ERROR)
    yield from _below("inside: share of quotes inside", report.inside_spread, DEGRADED_INSIDE, REJECTED_INSIDE)
    yield from _below("margin: least Durrleman g", fit.certificate.min_butterfly_g, DEGRADED_MARGIN, -math.inf)
    barred = [s for s in fit.surface.slices if s.band]
    if barred:
        bars = float(np.median(_relative_bars(barred)))
        yield from _above("bars: median half-width over vol", bars, DEGRADED_BARS, math.inf)


def _against_published(read: ReadChain, state: GateState) -> Iterator[Finding]:
    if state.quotes_used:
        share = sum(len(smile) for smile in read.smiles) / state.quotes_used
        yield from _below("quotes: used over used before", share, DEGRADED_QUOTES, REJECTED_QUOTES)


def _against_previous(fit: SurfaceFit, read: ReadChain, state: GateState, evidence: Evidence) -> Iterator[Finding]:
    if fit.surface.as_of_ms - evidence.previous.as_of_ms > COMPARABLE_MS:
        return
    believed = state.rejected + 1 >= THIRD_TIME
    share = float(evidence.flagged.mean()) if evidence.flagged.size else 0.0
    yield from _above("unconfirmed: share of quotes", share, math.inf, REJECTED_UNCONFIRMED)
    missing = _missing(fit, read, evidence.previous)
    if missing:
        status = SurfaceStatus.DEGRADED if believed else SurfaceStatus.REJECTED
        yield status, f"missing: {missing} expiries of the surface before are not in the chain"
    apart = _forward_apart(fit.surface, evidence.previous)
    if apart > REJECTED_FORWARD:
        status = SurfaceStatus.DEGRADED if believed else SurfaceStatus.REJECTED
        yield status, f"forward: one moved by {apart:.4g} apart from the others, more than {REJECTED_FORWARD:g}"
    if evidence.shifted:
        yield from _lone_expiry(fit.surface, evidence, believed)
        return
    size, sentence = _worst_jump(fit.surface, evidence, believed)
    if sentence:
        yield SurfaceStatus.REJECTED if size > REJECTED_JUMP else SurfaceStatus.DEGRADED, sentence


def _missing(fit: SurfaceFit, read: ReadChain, previous: VolSurface) -> int:
    """Return how many live expiries of ``previous`` the chain does not name at all."""
    named = {smile.expiry_ms for smile in read.smiles} | {out.expiry_ms for out in read.excluded}
    alive_ms = fit.surface.as_of_ms + MATTERS_MS
    return sum(1 for s in previous.slices if s.expiry_ms > alive_ms and s.expiry_ms not in named)


def _forward_apart(surface: VolSurface, previous: VolSurface) -> float:
    """Return the largest logarithmic move of a forward less the median move, per root of five minutes."""
    before = {s.expiry_ms: s.forward for s in previous.slices}
    moves = np.array([math.log(s.forward / before[s.expiry_ms]) for s in surface.slices if s.expiry_ms in before])
    if not moves.size:
        return 0.0
    return float(np.abs(moves - np.median(moves)).max()) / widening_since(previous, surface.as_of_ms)


def _lone_expiry(surface: VolSurface, evidence: Evidence, believed: bool) -> Iterator[Finding]:
    """In a shift of regime most expiries have confirmed a move, so that one which moves by itself is looked for."""
    widening = widening_since(evidence.previous, surface.as_of_ms)
    lone = loneliest_move(evidence.innovations, widening, JUDGED_DEVIATIONS)
    if lone and lone.half_widths > REJECTED_JUMP:
        status = SurfaceStatus.DEGRADED if believed or lone.half_widths <= REJECTED_LONE else SurfaceStatus.REJECTED
        yield (
            status,
            f"lone expiry: mids of {lone.t * 365.0:.1f} days moved by {lone.move:+.4f}, {lone.half_widths:.1f}"
            " half-widths of its bar beyond those of the expiries before and after it",
        )


def _worst_jump(surface: VolSurface, evidence: Evidence, believed: bool) -> tuple[float, str | None]:
    """Return the largest move beyond the bars, in half-widths, that the mids do not confirm, and its sentence.

    Looked at are the places of the chain's own quotes.
    """
    innovations = evidence.innovations
    widening = widening_since(evidence.previous, surface.as_of_ms)
    new = {s.expiry_ms: s for s in surface.slices}
    fitted = np.array([expiry_ms in new for expiry_ms in innovations.expiries], dtype=np.bool_)
    rows = np.flatnonzero(fitted[innovations.slice])
    after = [new[expiry_ms] for expiry_ms in innovations.expiries if expiry_ms in new]
    at = (np.cumsum(fitted) - 1)[innovations.slice[rows]]
    w = stacked_variance([s.curve for s in after], at, innovations.k[rows])
    moves = np.sqrt(w / np.array([s.t for s in after])[at]) - innovations.vol[rows]
    bars = widening * innovations.half_width[rows]
    sizes = np.abs(moves) / bars
    worst: float = 0.0
    sentence: str | None = None
    for j in np.flatnonzero((np.abs(innovations.deviations[rows]) <= JUDGED_DEVIATIONS) & (sizes > 1.0)).tolist():
        move, size, z, i = float(moves[j]), float(sizes[j]), innovations.deviations[rows[j]], innovations.slice[rows[j]]
        if size <= worst:
            continue
        alone = believed or size <= LARGE_JUMP
        if not _mids_moved(innovations, innovations.slice == i, z, move, float(bars[j])) or not (
            alone or _expiries_moved(innovations, innovations.expiries[i], z, move)
        ):
            worst = size
            sentence = (
                f"jump: vol at log-moneyness {innovations.k[rows[j]]:.4g}, {innovations.t[i] * 365.0:.1f} days,"
                f" moved by {move:+.4f}, {size:.1f} half-widths of its bar, and the mids do not confirm it"
            )
    return worst, sentence


def _mids_moved(innovations: Innovations, here: BoolArray, z: float, move: float, bar: float) -> bool:
    """Tell whether the median of the nearest mids is within ``bar`` of the new vol, or made enough of ``move``."""
    nearest = np.argsort(np.abs(innovations.deviations[here] - z), kind="stable")[:CONFIRMING_QUOTES]
    mid = float(np.median(innovations.error[here][nearest]))
    return abs(move - mid) <= bar or mid / move >= CONFIRMING_MOVE


def _expiries_moved(innovations: Innovations, expiry_ms: int, z: float, move: float) -> bool:
    """Tell whether enough of the other expiries moved the same way, by CONFIRMING_MOVE of their bars."""
    votes = []
    for i, other in enumerate(innovations.expiries):
        near = (innovations.slice == i) & (np.abs(innovations.deviations - z) <= CONFIRMING_REACH)
        if other != expiry_ms and near.any() and np.isfinite(innovations.half_width[near]).all():
            sizes = innovations.error[near] / innovations.half_width[near]
            votes.append(float(np.median(sizes)) * math.copysign(1.0, move) >= CONFIRMING_MOVE)
    return bool(votes) and float(np.mean(votes)) >= CONFIRMING_EXPIRIES


def _relative_bars(slices: Sequence[SurfaceSlice]) -> FloatArray:
    """Return the half-width at the money of each slice, in units of its vol there."""
    every, at_the_money = np.arange(len(slices)), np.zeros(len(slices))
    w = stacked_variance([s.curve for s in slices], every, at_the_money)
    vol = np.sqrt(w / np.array([s.t for s in slices]))
    bars: FloatArray = half_widths([s.band for s in slices], every, at_the_money) / vol
    return bars


def _above(name: str, value: float, degraded: float, rejected: float) -> Sequence[Finding]:
    if value > rejected:
        return [(SurfaceStatus.REJECTED, f"{name} is {value:.4g}, more than {rejected:g}")]
    if value > degraded:
        return [(SurfaceStatus.DEGRADED, f"{name} is {value:.4g}, more than {degraded:g}")]
    return []


def _below(name: str, value: float, degraded: float, rejected: float) -> Sequence[Finding]:
    if value < rejected:
        return [(SurfaceStatus.REJECTED, f"{name} is {value:.4g}, less than {rejected:g}")]
    if value < degraded:
        return [(SurfaceStatus.DEGRADED, f"{name} is {value:.4g}, less than {degraded:g}")]
    return []
