"""Answer a query from a published surface: points in columns, vols, prices and greeks out in columns."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

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
from app.quant.year_fraction import year_fraction
from app.service.document import BandDocument, SurfaceDocument
from app.service.iso_time import ms_of

MAX_POINTS: Final = 10_000
"""Points of one query: a full chain of the largest listed underlying fits twice."""

MAX_LOG_MONEYNESS: Final = 20.0
"""ln(strike/forward) beyond which a strike is a typing error: 5e8 times the forward."""

AT_THE_MONEY: Final = "ATM"
GREEKS: Final = ("delta", "delta_net", "gamma", "vega", "theta", "vanna", "volga")


@dataclass(frozen=True, slots=True)
class Points:
    """Columns of one length; each point names one of expiry_ms or tenor_days and one of strike, delta, log_moneyness.

    ``delta`` is signed (puts negative) or a name such as 25P, 10C, ATM; a call delta is the forward delta. Where
    ``is_call`` is None the option is the one out of the money, or the one its delta names.
    """

    expiry_ms: Sequence[int | None]
    tenor_days: Sequence[float | None]
    strike: Sequence[float | None]
    delta: Sequence[str | float | None]
    log_moneyness: Sequence[float | None]
    is_call: Sequence[bool | None]
    greeks: bool
    stickiness: float | None = None
    """The skew stickiness ratio of smile_dynamics.py; None asks for the greeks of the point."""

    def __len__(self) -> int:
        return len(self.is_call)


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


def evaluate(surface: VolSurface, points: Points) -> dict[str, list[Any]]:
    """Return wire.md's columns for ``points``; a point that has no answer carries nulls and its status.

    ``vol_low`` and ``vol_high`` are the ends of the vol's band; null where its error bars are not known.
    Prices: ``price_quote`` is discounted, in quote currency; ``price_coin`` is price_quote / forward. Greeks are those
    of black.py at the smile's vol, with ``stickiness`` those of smile_dynamics.py. Raises InvalidQuery, with a pointer,
    for points that name too little or too much.
    """
    t = _maturities(surface, points)
    strike, delta, is_call = _places(points)
    moneyness = _column(points.log_moneyness)
    moneyness[[d == AT_THE_MONEY for d in points.delta]] = 0.0
    forward, discount, vol, half_width, slope, curvature = (np.full(len(points), np.nan) for _ in range(6))
    status = np.full(len(points), "ok", dtype=object)
    for maturity in np.unique(t):
        rows = np.flatnonzero(t == maturity)
        if maturity <= 0.0:
            status[rows] = "expired"
            continue
        forward[rows] = surface.forward(maturity)
        discount[rows] = surface.discount_factor(maturity)
        strike[rows] = _strikes(surface, maturity, strike[rows], moneyness[rows], delta[rows], is_call[rows])
        status[rows[np.isnan(strike[rows])]] = "no_such_delta"
        rows = rows[np.isfinite(strike[rows])]
        k = np.log(strike[rows] / forward[rows])
        variance, position = surface.total_variance(k, maturity)
        vol[rows] = np.sqrt(variance / maturity)
        half_width[rows] = surface.half_width(k, maturity)
        if points.stickiness is not None:
            slope[rows], curvature[rows] = smile_derivatives(surface, k, maturity)
        if position in (Position.BEFORE_FIRST, Position.BEYOND_LAST):
            status[rows] = "extrapolated"
    columns = {"strike": strike, "forward": forward, "t": t, "vol": vol}
    # No vol is negative, so neither is the lower end of a band that is wider than the vol.
    columns |= {"vol_low": np.maximum(vol - half_width, 0.0), "vol_high": vol + half_width}
    known = np.isfinite(vol)
    side = np.where(np.isnan(is_call), strike >= forward, is_call > 0.0)[known]
    asked = (forward[known], strike[known], vol[known], t[known], side)
    price = _spread(known, discount[known] * black_price(*asked))
    columns |= {"price_coin": price / forward, "price_quote": price}
    if points.greeks:
        greeks = black_greeks(*asked)
        if points.stickiness is not None:
            smile = forward[known], slope[known], curvature[known]
            greeks = greeks_with_smile(greeks, *smile, stickiness=points.stickiness)
        columns |= {name: _spread(known, getattr(greeks, name)) for name in GREEKS}
    answered = {name: [None if math.isnan(v) else v for v in values.tolist()] for name, values in columns.items()}
    return {**answered, "status": status.tolist()}


def _band(published: BandDocument) -> VolBand:
    return VolBand(tuple(published.log_moneyness), tuple(published.sd), tuple(published.half_width))


def _strikes(
    surface: VolSurface,
    t: float,
    strike: FloatArray,
    moneyness: FloatArray,
    delta: FloatArray,
    is_call: FloatArray,
) -> FloatArray:
    found = np.where(np.isfinite(moneyness), surface.forward(t) * np.exp(moneyness), strike)
    by_delta = np.isfinite(delta)
    if by_delta.any():
        found[by_delta] = surface.strikes_at_delta(delta[by_delta], t, (is_call[by_delta] > 0.0).tolist())
    return found


def _spread(known: BoolArray, values: FloatArray) -> FloatArray:
    column = np.full(known.shape, np.nan)
    column[known] = values
    return column


def _maturities(surface: VolSurface, points: Points) -> FloatArray:
    if len(points) > MAX_POINTS:
        raise InvalidQuery(f"{len(points)} points: at most {MAX_POINTS} in one query")
    t = np.empty(len(points))
    for i, (expiry_ms, tenor_days) in enumerate(zip(points.expiry_ms, points.tenor_days, strict=True)):
        if (expiry_ms is None) == (tenor_days is None):
            raise InvalidQuery("a point names exactly one of expiry and tenor_days", f"/expiry/{i}")
        if tenor_days is not None:
            if not 0.0 < tenor_days < math.inf:
                raise InvalidQuery(f"tenor_days must be positive and finite, got {tenor_days}", f"/tenor_days/{i}")
            t[i] = tenor_days / 365.0
        elif expiry_ms is not None:
            t[i] = year_fraction(surface.as_of_ms, expiry_ms)
    return t


def _places(points: Points) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return strikes, signed deltas (both NaN where not asked by) and sides (1 call, 0 put, NaN: out of the money)."""
    strike = _column(points.strike)
    delta = np.full(len(points), np.nan)
    is_call = np.array([math.nan if side is None else float(side) for side in points.is_call])
    for i, (k, asked) in enumerate(zip(points.log_moneyness, points.delta, strict=True)):
        if (points.strike[i] is not None) + (k is not None) + (asked is not None) != 1:
            raise InvalidQuery("a point names exactly one of strike, delta and log_moneyness", f"/strike/{i}")
        if strike[i] <= 0.0 or math.isinf(strike[i]):
            raise InvalidQuery(f"strike must be positive and finite, got {strike[i]}", f"/strike/{i}")
        if k is not None and abs(k) > MAX_LOG_MONEYNESS:
            raise InvalidQuery(f"log_moneyness must lie within +-{MAX_LOG_MONEYNESS}, got {k}", f"/log_moneyness/{i}")
        if asked is None or asked == AT_THE_MONEY:
            continue
        delta[i] = _signed_delta(asked, i)
        side = float(delta[i] > 0.0)
        if not math.isnan(is_call[i]) and is_call[i] != side:
            raise InvalidQuery(f"delta {asked} and type contradict each other", f"/type/{i}")
        is_call[i] = side
    return strike, delta, is_call


def _signed_delta(delta: str | float, i: int) -> float:
    if isinstance(delta, str):
        number, side = delta[:-1], delta[-1:]
        if side not in ("C", "P") or not number.replace(".", "", 1).isdigit():
            raise InvalidQuery(f"delta {delta!r} is not a name such as 25P, 10C or ATM", f"/delta/{i}")
        delta = float(number) / 100.0 * (1.0 if side == "C" else -1.0)
    if not 0.0 < abs(delta) < 1.0:
        raise InvalidQuery(f"delta must lie in (-1, 0) or (0, 1), got {delta}", f"/delta/{i}")
    return float(delta)


def _column(values: Sequence[float | None]) -> FloatArray:
    return np.array([math.nan if v is None else v for v in values], dtype=np.float64)
