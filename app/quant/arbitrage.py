"""The certificate: what is proven about a surface, recomputed from the parameters it publishes.

For surfaces of raw SVI or eSSVI slices, with or without spline residuals, the evidence is exact: butterfly.py proves
g > 0, w > 0 and wing slopes below 2 of every slice, calendar_spread.py proves w_later > w_earlier of every neighbouring
pair, both on the whole real line and robust to the rounding of doubles. A margin too small for the rounding of its own
proof counts as not proven. Any other curve is looked at on a grid (grid_audit.py), and the surface's evidence with it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Final

import numpy as np

from app.quant.butterfly import LEE_SLOPE, butterfly_margins
from app.quant.calendar_spread import calendar_margins
from app.quant.certificate import Certificate, Evidence, Place
from app.quant.errors import InvalidQuery
from app.quant.grid_audit import margins_on_grid
from app.quant.margins import Margins, SurfaceMargins
from app.quant.models.base import SliceState, SmileCurve
from app.quant.models.essvi_curve import EssviCurve
from app.quant.models.svi_curve import SviCurve
from app.quant.published_slices import PublishedSlices, published_slices

VISIBLE: Final = 1e-12
"""A margin this far below zero is arbitrage; a smaller one may be the rounding of its own evaluation."""


def certify(slices: Sequence[SliceState]) -> Certificate:
    """Return what is proven about a surface given by its slices, expiries ascending.

    A place whose k is infinite is a wing's limit; the place of a calendar margin names the later expiry.
    Raises InvalidQuery without a slice or where expiries do not ascend.
    """
    if not slices:
        raise InvalidQuery("a certificate needs at least one slice, got none")
    expiries = [s.expiry_ms for s in slices]
    if any(later <= earlier for earlier, later in pairwise(expiries)):
        raise InvalidQuery(f"expiries of a surface must ascend, got {expiries}")
    curves = [raw for s in slices if (raw := raw_svi(s.curve))]
    exact = len(curves) == len(slices)
    margins = proven_margins(published_slices(curves)) if exact else margins_on_grid([s.curve for s in slices])
    failures = tuple(failure_sentences(margins, expiries))
    least_g = worst_place(margins.butterfly, expiries)
    steepest = worst_place(margins.wing, expiries, largest=True)
    worst = {"butterfly": least_g, "wing": steepest}
    if len(slices) > 1:
        worst["calendar"] = worst_place(margins.calendar, expiries[1:])
    return Certificate(
        arbitrage_free=not failures,
        method=Evidence.EXACT if exact else Evidence.GRID,
        min_butterfly_g=least_g.value,
        min_calendar_gap=worst["calendar"].value if len(slices) > 1 else None,
        max_wing_slope=steepest.value,
        worst=worst,
        failures=failures,
    )


def raw_svi(curve: SmileCurve) -> SviCurve | None:
    """Return the curve as a raw SVI slice, which every eSSVI slice is; None where it is not one."""
    if isinstance(curve, EssviCurve):
        return curve.svi
    return curve if isinstance(curve, SviCurve) else None


def proven_margins(slices: PublishedSlices) -> SurfaceMargins:
    """Return margins of SVI slices; ``free`` says proven on the whole line."""
    _, b, rho, _, _ = slices.raw.T
    slope = b * (1.0 + np.abs(rho))
    return SurfaceMargins(
        butterfly=butterfly_margins(slices),
        calendar=calendar_margins(slices),
        wing=Margins(slope < LEE_SLOPE, slope, np.where(rho < 0.0, -np.inf, np.inf)),
    )


def worst_place(margins: Margins, expiries: Sequence[int], *, largest: bool = False) -> Place:
    """Return the place of the least (or largest) value."""
    i = int(np.argmax(margins.least) if largest else np.argmin(margins.least))
    return Place(expiry_ms=expiries[i], k=float(margins.k[i]), value=float(margins.least[i]))


def failure_sentences(margins: SurfaceMargins, expiries: Sequence[int]) -> list[str]:
    """Return a sentence for each slice and pair that is not free of arbitrage: expiry, kind, k and value."""
    if margins.butterfly.free.all() and margins.calendar.free.all() and margins.wing.free.all():
        return []
    days = [datetime.fromtimestamp(ms / 1000.0, UTC).date().isoformat() for ms in expiries]
    sentences = []
    for i in np.flatnonzero(~margins.butterfly.free):
        g, k = margins.butterfly.least[i], margins.butterfly.k[i]
        verdict = "negative density" if g < -VISIBLE else "not proven"
        sentences.append(f"{days[i]}: butterfly: {verdict}, least g is {g:.6g} at k = {k:.6g}")
    for i in np.flatnonzero(~margins.calendar.free):
        gap, k = margins.calendar.least[i], margins.calendar.k[i]
        verdict = "variance falls" if gap < -VISIBLE else "not proven to rise"
        place = f"least w_later/w_earlier - 1 is {gap:.6g} at k = {k:.6g}"
        sentences.append(f"{days[i + 1]}: calendar: {verdict} since {days[i]}, {place}")
    for i in np.flatnonzero(~margins.wing.free):
        slope, k = margins.wing.least[i], margins.wing.k[i]
        sentences.append(f"{days[i]}: wing: slope {slope:.6g} at k = {k:.6g} must be below {LEE_SLOPE:g}")
    return sentences
