"""Every kernel compiled and run once on a small known chain, so that the first real chain is not the slow one."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

import numpy as np

from app.quant.arbitrage import certify
from app.quant.arrays import FloatArray, frozen
from app.quant.black import black_greeks, black_price
from app.quant.chain import ExpiryQuotes, OptionChain, Premium, TradingRules
from app.quant.chain_vols import chain_vols, fitted_smiles
from app.quant.confirmation import unconfirmed
from app.quant.distortion import worst_distortion
from app.quant.gate_rules import DEFAULT_RULES
from app.quant.innovations import innovations_of
from app.quant.lone_expiry import lone_moves
from app.quant.maintenance import maintain_surface
from app.quant.models import DEFAULT_MODEL, MODELS
from app.quant.models.base import FitOptions, Objective, SliceState
from app.quant.models.hidden_arbitrage import hidden_violation
from app.quant.models.previous_slices import PreviousSlices, previous_slices
from app.quant.models.published_numbers import published_curves
from app.quant.models.residual_fit import carried_coefficients, residual_knots, residual_problem
from app.quant.models.scan_grid import PROOF_DENSITY, empty_scan, scan_template, tabulate_scan
from app.quant.models.shape_prior import pull_shapes
from app.quant.models.surface_problem import RESIDUAL_STAGE
from app.quant.models.surface_quotes import SurfaceQuotes
from app.quant.models.svi_curve import SplineResidual, SviCurve
from app.quant.models.svi_fit import HALF_MARGINS, SviFit
from app.quant.models.svi_spline import without_hidden_arbitrage
from app.quant.models.svi_start import aged_start, replace_invalid, slice_starts, ssvi_starts
from app.quant.models.temporal_prior import with_prior
from app.quant.price_product import product_deviations
from app.quant.rate_curve import rate_curve
from app.quant.regime import RegimeState, read_regime
from app.quant.smile import Smile
from app.quant.surface import SurfaceSlice, VolSurface
from app.quant.uncertainty import slice_uncertainties, unadjusted
from app.quant.year_fraction import MS_PER_DAY, year_fraction

_AS_OF_MS: Final = 1_700_000_000_000
_FORWARD: Final = 100.0
_DAYS: Final = (2, 9, 30, 90)
_STRIKES: Final = np.linspace(60.0, 160.0, 21)
_TICK: Final = 0.0001


def warm_up_stages() -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield (what is compiled, run it), the longest first, then those that share least with it.

    All but the last share few kernels and may run beside each other. The last finds all of its kernels compiled.
    """
    yield "surface program", _solve_one_step
    yield "certificate", _certify_known_surface
    yield "queries", warm_up_queries
    yield "models sabr, essvi", lambda: _fit_cold_and_warm("sabr", "essvi")
    yield "error bars", _estimate_known_errors
    yield "starts of a fit", _start_from_quotes_and_from_before
    yield "gate", _judge_known_quotes
    yield "residual", _prepare_residual_and_publish
    yield "the whole path of a chain", _follow_known_chain


def warm_up_queries() -> None:
    """Run what answers queries: vols on, between and beyond expiries, strikes by delta, greeks; the vols of a chain."""
    surface, chain = _known_surface(), known_chain()
    chain_vols(chain, fitted_smiles(chain, surface.model, surface), surface)
    first, last = surface.maturities[0], surface.maturities[-1]
    for t in (first, 0.5 * first, 0.5 * (first + last), 1.5 * last):
        strikes = surface.strikes_at_delta(np.array([-0.25, 0.25]), t, [False, True])
        k = np.log(strikes / surface.forward(t))
        vols = surface.vol(k, t)
        surface.half_width(k, t)
        black_greeks(surface.forward(t), strikes, vols, t, np.array([False, True]))
    # A price that underflows, which none of the points above has.
    product_deviations(np.array([20.0]), np.zeros((1, 1)), np.zeros(1), np.full((1, 1), 0.1))


def warm_up() -> None:
    """Run every stage."""
    for _, run in warm_up_stages():
        run()


def known_chain() -> OptionChain:
    """Return an inverse-option chain priced from a fixed smile: 4 expiries of 21 strikes, a tick of spread a side."""
    return OptionChain(
        underlying="WARM-UP",
        venue="native",
        source="known",
        as_of_ms=_AS_OF_MS,
        sequence=0,
        premium=Premium.COIN,
        expiries=tuple(_expiry(days) for days in _DAYS),
        rules=TradingRules(tick=_TICK),
    )


def known_smiles() -> tuple[Smile, ...]:
    """Return what is read from the known chain, without the kernels that read it."""
    return tuple(_smile(days) for days in _DAYS)


def _known_surface() -> VolSurface:
    """Return the last two slices, with a residual: fitted by nobody, so that answering queries compiles no fitter."""
    expiries = [_AS_OF_MS + days * MS_PER_DAY for days in _DAYS[-2:]]
    t = np.array([year_fraction(_AS_OF_MS, expiry_ms) for expiry_ms in expiries])
    residual = SplineResidual(scale=0.1, spacing=0.5, first=-2, coefficients=(0.001,) * 5)
    slices = tuple(
        SurfaceSlice(
            expiry_ms=expiry_ms,
            t=years,
            forward=_FORWARD,
            forward_sd=0.01,
            discount_factor=1.0,
            curve=SviCurve(a=0.1 * years, b=0.2 * years, rho=-0.2, m=0.0, sigma=0.5, spline=residual),
        )
        for expiry_ms, years in zip(expiries, t.tolist(), strict=True)
    )
    sd = np.full(t.shape, 0.01)
    rates = rate_curve(t, np.full(t.shape, _FORWARD), sd, np.ones(t.shape))
    return VolSurface("WARM-UP", _AS_OF_MS, DEFAULT_MODEL, slices, rates)


def _expiry(days: int) -> ExpiryQuotes:
    expiry_ms = _AS_OF_MS + days * MS_PER_DAY
    t = year_fraction(_AS_OF_MS, expiry_ms)
    strike = np.repeat(_STRIKES, 2)
    is_call = np.tile([True, False], _STRIKES.shape[0])
    k = np.log(strike / _FORWARD)
    coin = black_price(_FORWARD, strike, _known_vol(k, t), t, is_call) / _FORWARD
    unknown = np.full(strike.shape, np.nan)
    return ExpiryQuotes(
        expiry_ms=expiry_ms,
        strike=strike,
        is_call=is_call,
        bid=np.maximum(coin * 0.99 - _TICK, 0.0),
        ask=coin * 1.01 + _TICK,
        bid_size=unknown,
        ask_size=unknown,
        timestamp_ms=np.full(strike.shape, _AS_OF_MS, dtype=np.int64),
        forward=np.full(strike.shape, _FORWARD),
    )


def _smile(days: int) -> Smile:
    expiry_ms = _AS_OF_MS + days * MS_PER_DAY
    t = year_fraction(_AS_OF_MS, expiry_ms)
    k = np.log(_STRIKES / _FORWARD)
    vol = _known_vol(k, t)
    return Smile(
        expiry_ms=expiry_ms,
        t=t,
        forward=_FORWARD,
        forward_sd=0.01,
        discount_factor=1.0,
        strike=frozen(_STRIKES),
        is_call=frozen(k >= 0.0, np.bool_),
        k=frozen(k),
        bid_vol=frozen(0.99 * vol),
        ask_vol=frozen(1.01 * vol),
        mid_vol=frozen(vol),
        noise=frozen(np.full(k.shape, 0.005)),
        dropped={},
    )


def _known_vol(k: FloatArray, t: float) -> FloatArray:
    return np.asarray(0.6 - 0.1 * k + 0.15 * k * k / np.sqrt(t + 0.05))


def _solve_one_step() -> None:
    """Take a step of each of the ways to solve a surface, from a start that needs no fit."""
    smiles = known_smiles()
    fit = SviFit.of(smiles, SurfaceQuotes(smiles).problem(Objective.MIX))
    ssvi_starts(fit.problem, -1, fit.svi)
    fit.joint(1)


def _start_from_quotes_and_from_before() -> None:
    smiles = known_smiles()
    quotes = SurfaceQuotes(smiles)
    fit = SviFit.of(smiles, quotes.problem(Objective.MIX))
    slice_starts(fit.problem, fit.svi)
    replace_invalid(fit.problem, fit.svi)
    pull_shapes(fit.problem, fit.svi)
    known = _known_before(smiles)
    with_prior(fit.problem, quotes.noise, known, False, FitOptions().prior_strength)
    aged_start(known.raw, known.ratio, fit.svi, known.kept)


def _prepare_residual_and_publish() -> None:
    """Do what is before and after the residual's own fit, on a start that needs none."""
    smiles = known_smiles()
    quotes = SurfaceQuotes(smiles)
    fit = SviFit.of(smiles, quotes.problem(Objective.BAND))
    ssvi_starts(fit.problem, -1, fit.svi)
    hidden_violation(fit.svi, *scan_template(PROOF_DENSITY), HALF_MARGINS)
    knots = residual_knots(fit.svi, quotes.k[quotes.offsets[:-1]], quotes.k[quotes.offsets[1:] - 1])
    known = _known_before(smiles)
    coefficients = carried_coefficients(knots, known.knots, known.coefficients)
    residual_problem(fit.problem, fit.svi, knots)
    tabulate_scan(fit.svi, knots, empty_scan(len(smiles), RESIDUAL_STAGE))
    without_hidden_arbitrage(fit.problem._replace(knots=knots), fit.svi, coefficients)
    published_curves(fit.svi, knots, coefficients)


def _known_before(smiles: tuple[Smile, ...]) -> PreviousSlices:
    curve = _known_surface().slices[0].curve
    return previous_slices(smiles, [SliceState(s.expiry_ms, s.t, curve) for s in smiles])


def _certify_known_surface() -> None:
    certify(_known_surface().states)


def _estimate_known_errors() -> None:
    smiles = known_smiles()
    known = _known_surface().slices[0]
    slice_uncertainties(smiles, tuple(replace(known, expiry_ms=s.expiry_ms, t=s.t) for s in smiles), unadjusted)


def _judge_known_quotes() -> None:
    """Ask what is asked of quotes of expiries that the surface before had."""
    surface, smiles = _known_surface(), known_smiles()
    innovations = innovations_of(smiles, surface)
    read_regime(RegimeState(), innovations, smiles, surface, _AS_OF_MS)
    flagged = unconfirmed(innovations, 1.0)
    reach = DEFAULT_RULES.judged_deviations
    lone = lone_moves(innovations, flagged, 1.0, reach)
    worst_distortion(lone, np.full(len(innovations.expiries), np.nan), 1.0, reach)


def _fit_cold_and_warm(*names: str) -> None:
    smiles = known_smiles()
    for model in (MODELS[name] for name in names):
        cold = model.fit(smiles, (), FitOptions())
        states = [SliceState(s.expiry_ms, s.t, curve) for s, curve in zip(smiles, cold.curves, strict=True)]
        model.fit(smiles, states, FitOptions())


def _follow_known_chain() -> None:
    _fit_cold_and_warm("svi_spline", "svi")
    chain = known_chain()
    first = maintain_surface(chain)
    later = replace(chain, as_of_ms=chain.as_of_ms + 1)
    maintain_surface(later, previous=first.fit.surface, state=first.state)
