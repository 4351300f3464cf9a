"""A chain becomes a surface: read smiles, fit, certify, report. The one pure call a worker makes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from app.quant.arbitrage import certify
from app.quant.arrays import FloatArray
from app.quant.certificate import Certificate
from app.quant.chain import OptionChain
from app.quant.drift import NO_DRIFT, Drift, drift_between
from app.quant.errors import QuantError, UnknownModel
from app.quant.models import DEFAULT_MODEL, MODELS
from app.quant.models.base import FitOptions, FitStatus, SmileCurve, SurfaceModel, SurfaceSolution
from app.quant.nodes import node_vols
from app.quant.parity_check import ParityCheck
from app.quant.rate_curve import RateCurve
from app.quant.report import FitReport, report_fit
from app.quant.smile import ChainSmiles, ExcludedExpiry, ExpiryStatus, Smile, read_smiles
from app.quant.surface import SurfaceSlice, VolSurface
from app.quant.uncertainty import Factors, slice_uncertainties, unadjusted
from app.quant.vol_band import VolBand

FALLBACK_MODELS: Final = ("svi", "essvi")
"""Tried in this order when a fit cannot be certified: fewer parameters, then arbitrage-free by construction."""

FELL_BACK: Final = "fell back to"
"""Begins the reason of a surface that another model than the one asked for was fitted with."""


class SurfaceStatus(StrEnum):
    """Whether a fit may be published."""

    OK = "ok"
    DEGRADED = "degraded"
    """Publishable, with a reason: a fallback model, or a model that promises no absence of arbitrage."""
    REJECTED = "rejected"
    """Not publishable: no candidate could be certified. The last good surface stays."""


class NoSmile(QuantError):
    """No expiry of the chain has enough usable quotes; ``excluded`` says why, expiry by expiry."""

    def __init__(self, message: str, excluded: tuple[ExcludedExpiry, ...]) -> None:
        super().__init__(message)
        self.excluded = excluded


@dataclass(frozen=True, slots=True)
class ReadChain:
    """The smiles of a chain, at least one, its expiries without one, and whether its puts and calls agree."""

    smiles: tuple[Smile, ...]
    excluded: tuple[ExcludedExpiry, ...]
    rate_curve: RateCurve
    parity: tuple[ParityCheck, ...] = ()


@dataclass(frozen=True, slots=True)
class SurfaceFit:
    """A fitted surface and everything that is published about it."""

    surface: VolSurface
    status: SurfaceStatus
    reason: str | None
    certificate: Certificate
    report: FitReport
    drift: Drift
    nodes: FloatArray
    solution: SurfaceSolution | None
    """None where the surface was moved to the chain, not fitted to it."""


def calibrate_surface(
    chain: OptionChain,
    *,
    model: str = DEFAULT_MODEL,
    previous: VolSurface | None = None,
    options: FitOptions | None = None,
    factors: Factors = unadjusted,
) -> SurfaceFit:
    """Fit all expiries of ``chain`` jointly, certify the published numbers and give them error bars.

    ``previous`` gives the warm start and the temporal prior. A candidate that is not proven free of arbitrage is
    followed by FALLBACK_MODELS; when none is proven the fit comes back REJECTED. Models that promise no absence of
    arbitrage are published DEGRADED with what the certificate found. ``factors`` scale the error bars.

    Raises UnknownModel, and NoSmile when no expiry has enough quotes.
    """
    read = read_chain(chain, model)
    return calibrate_chain(
        chain, read, model=model, previous=previous, options=options or FitOptions(), factors=factors
    )


def read_chain(chain: OptionChain, model: str) -> ReadChain:
    """Return what ``model`` is fitted to. Raises UnknownModel, and NoSmile when no expiry has enough quotes."""
    if model not in MODELS:
        raise UnknownModel(f"model {model!r} is not one of {', '.join(sorted(MODELS))}")
    read = read_smiles(chain, min_quotes=MODELS[model].min_quotes)
    if not read.smiles or read.rate_curve is None:
        raise NoSmile(_why_no_smile(chain, read), read.excluded)
    return ReadChain(read.smiles, read.excluded, read.rate_curve, read.parity)


def calibrate_chain(
    chain: OptionChain,
    read: ReadChain,
    *,
    model: str,
    previous: VolSurface | None,
    options: FitOptions,
    factors: Factors,
    cold: bool = False,
    previous_nodes: FloatArray | None = None,
) -> SurfaceFit:
    """Do what calibrate_surface does, with ``chain`` already ``read``; ``cold`` without a start at ``previous``.

    ``previous_nodes`` are the ``node_vols`` of ``previous``, for who knows them: finding them again takes a while.
    """
    asked = MODELS[model]
    start = previous.states if previous and not cold else ()
    refusals: list[str] = []
    for candidate in _candidates(asked):
        solution = candidate.fit(read.smiles, start, options)
        slices = _slices(read.smiles, solution.curves, (None,) * len(read.smiles))
        certificate = certify(tuple(s.state for s in slices))
        if certificate.arbitrage_free or not asked.arbitrage_free:
            break
        refusals.append(f"{candidate.name}: {certificate.failures[0]}")
    known = slice_uncertainties(read.smiles, slices, factors)
    slices = _slices(read.smiles, solution.curves, [u.band if u else None for u in known])
    surface = VolSurface(chain.underlying, chain.as_of_ms, candidate.name, slices, read.rate_curve)
    status, reason = _judge(asked, candidate, solution, certificate, refusals)
    nodes = node_vols(surface)
    drift = NO_DRIFT
    if previous:
        covariances = {s.expiry_ms: u.parameter_covariance for s, u in zip(slices, known, strict=True) if u}
        nodes_before = node_vols(previous) if previous_nodes is None else previous_nodes
        drift = drift_between(previous, nodes_before, surface, nodes, covariances)
    report = report_fit(read.smiles, surface, read.excluded, chain.unplaced)
    return SurfaceFit(surface, status, reason, certificate, report, drift, nodes, solution)


def judge_certificate(model: SurfaceModel, certificate: Certificate) -> tuple[SurfaceStatus, str | None]:
    """Return what ``certificate`` alone says about a surface of ``model``."""
    if not model.arbitrage_free:
        if certificate.arbitrage_free:
            return SurfaceStatus.DEGRADED, f"model {model.name} promises no absence of arbitrage; none was found"
        return SurfaceStatus.DEGRADED, f"model {model.name} has arbitrage: {certificate.failures[0]}"
    if not certificate.arbitrage_free:
        return SurfaceStatus.REJECTED, f"{model.name} is not proven free of arbitrage: {certificate.failures[0]}"
    return SurfaceStatus.OK, None


def _candidates(asked: SurfaceModel) -> Iterator[SurfaceModel]:
    yield asked
    if asked.arbitrage_free:
        yield from (MODELS[name] for name in FALLBACK_MODELS if name != asked.name)


def _slices(
    smiles: Sequence[Smile], curves: Sequence[SmileCurve], bands: Sequence[VolBand | None]
) -> tuple[SurfaceSlice, ...]:
    return tuple(
        SurfaceSlice(s.expiry_ms, s.t, s.forward, s.forward_sd, s.discount_factor, curve, band)
        for s, curve, band in zip(smiles, curves, bands, strict=True)
    )


def _judge(
    asked: SurfaceModel,
    used: SurfaceModel,
    solution: SurfaceSolution,
    certificate: Certificate,
    refusals: list[str],
) -> tuple[SurfaceStatus, str | None]:
    if not asked.arbitrage_free:
        return judge_certificate(asked, certificate)
    if not certificate.arbitrage_free:
        return SurfaceStatus.REJECTED, "no candidate was proven free of arbitrage: " + "; ".join(refusals)
    if refusals:
        return SurfaceStatus.DEGRADED, f"{FELL_BACK} {used.name}: " + "; ".join(refusals)
    if solution.status is FitStatus.FALLBACK:
        return SurfaceStatus.DEGRADED, solution.status.value
    return SurfaceStatus.OK, None


def _why_no_smile(chain: OptionChain, read: ChainSmiles) -> str:
    expired = sum(1 for e in read.excluded if e.status is ExpiryStatus.EXPIRED)
    return (
        f"none of {len(chain.expiries)} expiries has enough usable quotes for a smile"
        f" ({expired} expired, {len(read.excluded) - expired} others excluded)"
    )
