"""What may be published: named rules between a fit and the surface that stands. Each says the number and its limit.

A degraded surface is published with its reason; a rejected one is not, and the last good surface stays. Rules that
compare with that surface (missing expiries, forwards, large jumps) believe the third chain in a row, if the chain's own
mids agree with it: a change that persists is the market's. The numbers are those of GateRules, with their reasons.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from statistics import median
from typing import Final

import numpy as np

from app.quant.arrays import BoolArray
from app.quant.calibration import ReadChain, SurfaceFit, SurfaceStatus
from app.quant.damaged_quotes import damaged_share
from app.quant.distortion import worst_distortion
from app.quant.findings import Finding, above, below
from app.quant.forward_moves import forward_moves, judged_carry, judged_level, judged_votes
from app.quant.gate_rules import DEFAULT_RULES, GateRules
from app.quant.innovations import Innovations
from app.quant.lone_expiry import LoneMoves, lone_moves
from app.quant.parity_check import contradicted_share, judged_expiries, outvoted_share, premiums_off
from app.quant.repeats import Digests
from app.quant.surface import VolSurface
from app.quant.unconfirmed_jump import worst_jump
from app.quant.vanished_expiry import vanished_expiries

STEP_MS: Final = 300_000
"""The step that bars are learnt over: they widen with the root of the steps since."""
FOREIGN_SHARE: Final = 0.1
"""Share of the instruments listed before below which a chain is of others: strikes in euros, or of another name."""


@dataclass(frozen=True, slots=True)
class GateState:
    """Chains rejected in a row; the quotes used of the last published one, and a sample of what it listed.

    ``told`` counts those in a row that were not the one before sent once more; ``refused`` are the digests of the last.
    """

    rejected: int = 0
    quotes_used: int = 0
    listed: tuple[int, ...] = ()
    told: int = 0
    refused: Digests = ()

    def with_refused(self, digests: Digests) -> "GateState":
        """Return the state with a chain of these ``digests`` rejected as well."""
        told = self.told + (digests != self.refused)
        return replace(self, rejected=self.rejected + 1, told=told, refused=digests)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was published before says about a fit; ``flagged`` quotes were confirmed by nobody, ``shifted`` the regime.

    Where another model ``took_over``, the step from the one before is not the market's. ``repeated`` is the share of
    the chain's quotes in expiries that repeat an earlier chain, ``unchanged_s`` how long no quote changed (repeats.py).
    ``listed`` is the share of instruments listed before that the chain lists, ``told`` how many chains in a row, with
    this one, said something new while none was published.
    """

    previous: VolSurface
    innovations: Innovations
    flagged: BoolArray
    shifted: bool
    took_over: bool = False
    repeated: float = 0.0
    unchanged_s: float = 0.0
    listed: float = 0.0
    told: int = 1


def widening_since(previous: VolSurface, as_of_ms: int) -> float:
    """Return the factor on the bars of ``previous`` at ``as_of_ms``: the root of the five-minute steps since."""
    return math.sqrt(max((as_of_ms - previous.as_of_ms) / STEP_MS, 1.0))


def judged(
    fit: SurfaceFit,
    read: ReadChain,
    state: GateState,
    evidence: Evidence | None,
    rules: GateRules = DEFAULT_RULES,
) -> SurfaceFit:
    """Return ``fit`` with the worst status that a rule gives it, never a better one, and all the reasons for that."""
    findings = [*_absolute(fit, rules), *_parity(read, rules), *_against_published(read, state, rules)]
    if evidence:
        findings += _against_previous(fit, read, state, evidence, rules)
    damaged = damaged_share(read.smiles, read.excluded)
    findings += above("damaged: share of quotes that no market makes", damaged, rules.degraded_damaged, math.inf)
    for status in (SurfaceStatus.REJECTED, SurfaceStatus.DEGRADED):
        reasons = [reason for found, reason in findings if found is status]
        if fit.status is status and fit.reason:
            reasons = [fit.reason, *reasons]
        if reasons:
            return replace(fit, status=status, reason="; ".join(reasons))
        if fit.status is status:
            return fit
    return fit


def _absolute(fit: SurfaceFit, rules: GateRules) -> Iterator[Finding]:
    report = fit.report
    yield from above("error: RMS vol error", report.rmse_vol, rules.degraded_error, rules.rejected_error)
    inside = report.inside_spread
    yield from below("inside: share of quotes inside", inside, rules.degraded_inside, rules.rejected_inside)
    yield from below("margin: least Durrleman g", fit.certificate.min_butterfly_g, rules.degraded_margin, -math.inf)
    bars = _relative_bars(fit.surface)
    if bars:
        yield from above("bars: median half-width over vol", median(bars), rules.degraded_bars, math.inf)


def _parity(read: ReadChain, rules: GateRules) -> Iterator[Finding]:
    """Prices off by a factor make a good smile, but puts and calls that no forward reconciles."""
    share = contradicted_share(read.parity)
    yield from above("parity: share of strikes whose put and call contradict", share, math.inf, rules.rejected_parity)
    outvoted = outvoted_share(read.parity)
    if outvoted > rules.degraded_outvoted:
        furthest = max(check.outvoted for check in read.parity)
        yield (
            SurfaceStatus.DEGRADED,
            f"forward: at {outvoted:.0%} of the expiries puts and calls outvote what the venue sent, off by a factor of"
            f" up to {math.exp(furthest):.4g}",
        )
    for check in read.parity:
        if check.overruled > 0.0:
            yield (
                SurfaceStatus.DEGRADED,
                f"forward: puts and calls of {check.t * 365.0:.1f} days have another than the venue sent, off by a"
                f" factor of {math.exp(check.overruled):.4g}, and are too few to be believed",
            )
    off = premiums_off(read.parity)
    yield from above(
        "premiums: ln of the factor by which puts and calls have them off", off, math.inf, rules.rejected_factor
    )
    for check in judged_expiries(read.parity):
        if check.off > rules.degraded_factor:
            yield (
                SurfaceStatus.DEGRADED,
                f"premiums: those of {check.t * 365.0:.1f} days are off by a factor of {check.slope:.4g}, as puts and"
                " calls have it",
            )
        if check.contradicted > rules.degraded_parity:
            out = check.strikes - check.reconciled
            yield (
                SurfaceStatus.DEGRADED,
                f"parity: at {out} of {check.strikes} strikes of {check.t * 365.0:.1f} days put and call contradict the"
                " forward that the others agree on",
            )


def _against_published(read: ReadChain, state: GateState, rules: GateRules) -> Iterator[Finding]:
    if state.quotes_used:
        share = sum(len(smile) for smile in read.smiles) / state.quotes_used
        yield from below("quotes: used over used before", share, rules.degraded_quotes, rules.rejected_quotes)


def _against_previous(
    fit: SurfaceFit, read: ReadChain, state: GateState, evidence: Evidence, rules: GateRules
) -> Iterator[Finding]:
    repeated, unchanged_s = evidence.repeated, evidence.unchanged_s
    yield from above("repeated: share of quotes of an earlier chain", repeated, math.inf, rules.rejected_repeated)
    yield from above("frozen: seconds since any quote changed", unchanged_s, rules.degraded_frozen_s, math.inf)
    previous = evidence.previous
    moves, widening = forward_moves(fit.surface, previous), widening_since(previous, fit.surface.as_of_ms)
    # Whatever else has changed meanwhile: the level of this market is known however old the surface is.
    yield from judged_level(moves, fit.surface, previous, read.parity, evidence.listed, widening, rules)
    if fit.surface.as_of_ms - previous.as_of_ms > rules.comparable_s * 1e3:
        return
    believed = evidence.told >= rules.believed_after
    share = float(evidence.flagged.mean()) if evidence.flagged.size else 0.0
    yield from above("unconfirmed: share of quotes", share, math.inf, rules.rejected_unconfirmed)
    if state.listed and evidence.listed < FOREIGN_SHARE:
        status = SurfaceStatus.DEGRADED if believed else SurfaceStatus.REJECTED
        yield (
            status,
            f"listed: share of the instruments of before is {evidence.listed:.4g}, less than {FOREIGN_SHARE:g}",
        )
    missing = _missing(fit, read, previous, rules)
    if missing:
        status = SurfaceStatus.DEGRADED if believed else SurfaceStatus.REJECTED
        yield status, f"missing: {missing} expiries of the surface before are not in the chain"
    for lost in _vanished(fit, read, previous, rules):
        # A large move leaves the nearest strikes behind.
        yield SurfaceStatus.DEGRADED if believed or evidence.shifted else SurfaceStatus.REJECTED, lost
    yield from judged_carry(moves, widening, believed, rules)
    yield from judged_votes(moves, fit.surface, read.parity)
    lone = lone_moves(evidence.innovations, evidence.flagged, widening, rules.judged_deviations)
    yield from _distortion(lone, moves.carry, widening, rules)
    yield from _lone_expiry(fit.surface, lone, believed, rules)
    if not evidence.took_over:
        yield from _jump(fit.surface, lone, widening, believed or evidence.shifted, rules)


def _missing(fit: SurfaceFit, read: ReadChain, previous: VolSurface, rules: GateRules) -> int:
    """Return how many live expiries of ``previous`` the chain does not name at all."""
    named = {smile.expiry_ms for smile in read.smiles} | {out.expiry_ms for out in read.excluded}
    alive_ms = fit.surface.as_of_ms + rules.matters_s * 1e3
    return sum(1 for s in previous.slices if s.expiry_ms > alive_ms and s.expiry_ms not in named)


def _vanished(fit: SurfaceFit, read: ReadChain, previous: VolSurface, rules: GateRules) -> Iterator[str]:
    """Yield a sentence for each live expiry that lost its smile and whose vol leaves its bar without it."""
    alive_ms = fit.surface.as_of_ms + rules.matters_s * 1e3
    out = {each.expiry_ms for each in read.excluded if each.expiry_ms > alive_ms}
    widening = widening_since(previous, fit.surface.as_of_ms)
    for lost in vanished_expiries(fit.surface, previous, out, widening, rules.judged_deviations):
        if lost.half_widths > 1.0:
            yield (
                f"vanished: the expiry of {lost.t * 365.0:.1f} days has no smile, without it its vol moves by"
                f" {lost.move:+.4f}, {lost.half_widths:.1f} half-widths of its bar"
            )


def _distortion(lone: LoneMoves, carry: Mapping[int, float], widening: float, rules: GateRules) -> Iterator[Finding]:
    """``carry`` is by how much each forward moved apart from the others."""
    told = np.array([carry.get(expiry_ms, math.nan) for expiry_ms in lone.innovations.expiries])
    found = worst_distortion(lone, told, widening, rules.judged_deviations)
    if found and found.deviations > rules.degraded_distortion:
        yield SurfaceStatus.DEGRADED, str(found)


def _lone_expiry(surface: VolSurface, moves: LoneMoves, believed: bool, rules: GateRules) -> Iterator[Finding]:
    """Other expiries that move confirm the direction of a jump, not its size: the neighbours do.

    Where spreads are wide open mids move alone, and no further than the new bars say that they may.
    """
    lone = moves.loneliest()
    if lone and lone.half_widths > rules.degraded_lone:
        tolerated = believed or lone.half_widths <= rules.rejected_lone or lone.within(surface)
        yield (
            SurfaceStatus.DEGRADED if tolerated else SurfaceStatus.REJECTED,
            f"lone expiry: mids of {lone.t * 365.0:.1f} days, {lone.place}, moved by {lone.move:+.4f},"
            f" {lone.half_widths:.1f} half-widths of its bar beyond those of the expiries before and after it",
        )


def _jump(surface: VolSurface, lone: LoneMoves, widening: float, believed: bool, rules: GateRules) -> Iterator[Finding]:
    """In a shift of regime most expiries have confirmed a move already: it is ``believed``."""
    jump = worst_jump(surface, lone, widening, believed, rules)
    if jump:
        yield (
            SurfaceStatus.REJECTED if jump.rejects else SurfaceStatus.DEGRADED,
            f"jump: vol at log-moneyness {jump.log_moneyness:.4g}, {jump.t * 365.0:.1f} days, moved by"
            f" {jump.move:+.4f}, {jump.half_widths:.1f} half-widths of its bar, and the mids"
            f" {'of other expiries' if jump.alone else 'around it'} do not confirm it",
        )


def _relative_bars(surface: VolSurface) -> list[float]:
    """Return the half-width at the money of each slice that has one, in units of its vol there."""
    vols = np.sqrt(surface.stack.at_the_money / surface.maturities).tolist()
    return [s.band.at_the_money / vol for s, vol in zip(surface.slices, vols, strict=True) if s.band]
