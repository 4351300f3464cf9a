"""Answer a query from a published surface: points in columns, vols, prices and greeks out in columns."""

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.quant.arrays import BoolArray, FloatArray, frozen
from app.quant.black import black_greeks, black_price
from app.quant.errors import InvalidQuery
from app.quant.interpolation import Position
from app.quant.models import MODELS
from app.quant.nodes import DELTA_NAMES, TENOR_DAYS
from app.quant.rate_curve import RateCurve
from app.quant.smile_dynamics import greeks_with_smile, smile_derivatives
from app.quant.surface import SurfaceSlice, VolSurface
from app.quant.vol_band import VolBand
from app.service.document import BandDocument, SurfaceDocument
from app.service.iso_time import ms_of
from app.service.points import Places, Points, maturities, places

STATUSES: Final = np.array(["ok", "extrapolated", "no_such_delta", "expired"], dtype=object)
OK, EXTRAPOLATED, NO_SUCH_DELTA, EXPIRED = range(4)

GREEKS: Final = ("delta", "delta_net", "gamma", "vega", "theta", "vanna", "volga")


def surface_of(document: SurfaceDocument) -> VolSurface:
    """Return the surface that was published. Raises InvalidQuery when it has no slice with a curve."""
    model = MODELS[document.model]
    slices = []
    for s in document.slices:
        if s.parameters is None or s.forward is None or s.forward_sd is None or s.discount_factor is None:
            continue
        curve = model.curve(s.parameters, t=s.t, forward=s.forward)
        band = _band(s.bands) if s.bands else None
        slices.append(SurfaceSlice(ms_of(s.expiry), s.t, s.forward, s.forward_sd, s.discount_factor, curve, band))
    published = document.rate_curve
    rates = RateCurve(
        t=frozen(published.t),
        rate=frozen(published.carry),
        discount_rate=frozen(published.discount_rate),
        spot=published.spot,
    )
    return VolSurface(document.underlying, ms_of(document.as_of), document.model, tuple(slices), rates)


def nodes_of(document: SurfaceDocument) -> FloatArray:
    """Return the published vols at the nodes, as ``node_vols`` of the surface gives them; NaN beyond the expiries.

    Raises InvalidQuery where they are not the nodes of this version.
    """
    if (tuple(document.vol_grid.tenor_days), tuple(document.vol_grid.delta)) != (TENOR_DAYS, DELTA_NAMES):
        raise InvalidQuery(f"vols of {document.underlying} are at other nodes than {TENOR_DAYS} x {DELTA_NAMES}")
    return np.array([[math.nan if v is None else v for v in row] for row in document.vol_grid.vol])


def evaluate(surface: VolSurface, points: Points) -> dict[str, NDArray[Any]]:
    """Return the answer's columns for ``points``; a point that has none carries NaN and its status.

    ``vol_low`` and ``vol_high`` are the ends of the vol's band; NaN where its error bars are not known.
    Prices: ``price_quote`` is discounted, in quote currency; ``price_coin`` is price_quote / forward. Greeks are those
    of black.py at the smile's vol, with ``stickiness`` those of smile_dynamics.py. Raises InvalidQuery, with a pointer,
    for points that name too little or too much.
    """
    t = maturities(points, surface.as_of_ms)
    where = places(points)
    alive = t > 0.0
    forward, discount = (_spread(alive, at(t[alive])) for at in (surface.forwards, surface.discount_factors))
    strike = where.strike
    strike[alive] = _strikes(surface, t[alive], forward[alive], where, alive)
    known = alive & np.isfinite(strike)
    k, maturity = np.log(strike[known] / forward[known]), t[known]
    variance, position = surface.total_variances(k, maturity)
    vol = _spread(known, np.sqrt(variance / maturity))
    half_width = _spread(known, surface.half_widths(k, maturity))
    columns: dict[str, NDArray[Any]] = {"strike": strike, "forward": forward, "t": t, "vol": vol}
    # No vol is negative, so neither is the lower end of a band that is wider than the vol.
    columns |= {"vol_low": np.maximum(vol - half_width, 0.0), "vol_high": vol + half_width}
    side = np.where(np.isnan(where.is_call), strike >= forward, where.is_call > 0.0)[known]
    asked = (forward[known], strike[known], vol[known], maturity, side)
    price = _spread(known, discount[known] * black_price(*asked))
    columns |= {"price_coin": price / forward, "price_quote": price}
    if points.greeks:
        greeks = black_greeks(*asked)
        if points.stickiness is not None:
            slope, curvature = smile_derivatives(surface, k, maturity)
            greeks = greeks_with_smile(greeks, asked[0], slope, curvature, stickiness=points.stickiness)
        columns |= {name: _spread(known, getattr(greeks, name)) for name in GREEKS}
    status = np.where(alive, NO_SUCH_DELTA, EXPIRED)
    outside = (position == Position.BEFORE_FIRST) | (position == Position.BEYOND_LAST)
    status[known] = np.where(outside, EXTRAPOLATED, OK)
    return {**columns, "status": STATUSES[status]}


def _band(published: BandDocument) -> VolBand:
    return VolBand(tuple(published.log_moneyness), tuple(published.sd), tuple(published.half_width))


def _strikes(surface: VolSurface, t: FloatArray, forward: FloatArray, where: Places, rows: BoolArray) -> FloatArray:
    """Return the strikes of the points in ``rows``, whose times and forwards those are; NaN where no delta is so."""
    k, delta = where.log_moneyness[rows], where.delta[rows]
    found = np.where(np.isnan(k), where.strike[rows], forward * np.exp(k))
    by_delta = ~np.isnan(delta)
    if by_delta.any():
        found[by_delta] = surface.strikes_at_delta(delta[by_delta], t[by_delta], delta[by_delta] > 0.0)
    return found


def _spread(known: BoolArray, values: FloatArray) -> FloatArray:
    if values.size == known.size:
        return values
    column = np.full(known.shape, np.nan)
    column[known] = values
    return column
