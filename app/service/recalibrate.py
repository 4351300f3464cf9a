"""What a worker does with a claimed chain: decode, calibrate, publish or say why not."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final

import msgspec

from app.quant.arrays import FloatArray
from app.quant.calibration import FELL_BACK, NoSmile, SurfaceFit, SurfaceStatus
from app.quant.chain import OptionChain
from app.quant.errors import QuantError
from app.quant.gate_rules import DEFAULT_RULES, GateRules
from app.quant.maintenance import maintain_surface
from app.quant.models import MODELS
from app.quant.models.base import FitOptions, FitStatus
from app.quant.surface import VolSurface
from app.service.audit import chain_sha256, settings_sha256
from app.service.document import SurfaceDocument, decode_document, encode_document
from app.service.evaluate import nodes_of, surface_of
from app.service.event import Notice
from app.service.fit_events import published_events, unfit_events
from app.service.iso_time import iso_utc
from app.service.maintenance_state import decode_state, encode_state
from app.service.ports import Claim, CorruptPayload
from app.service.publish import maintained_document
from app.service.surface_factors import SurfaceFactors, surface_factors
from app.service.triggers import Triggers

log = logging.getLogger(__name__)

STANDING_KEPT: Final = 32
"""Surfaces kept decoded, some 0.2 MB each: those of the underlyings that a worker is handed in turns."""

UNREADABLE: Final = (msgspec.DecodeError, QuantError, KeyError)
"""What reading a document raises that other code wrote."""


@dataclass(frozen=True, slots=True)
class CalibrationPolicy:
    """Which model is fitted, by underlying, how, when, and what the gate lets through.

    ``code_version`` names this program in its documents.
    """

    model: str
    model_by_underlying: tuple[tuple[str, str], ...] = ()
    options: FitOptions = field(default_factory=FitOptions)
    rules: GateRules = DEFAULT_RULES
    triggers: Triggers = field(default_factory=Triggers)
    code_version: str | None = None

    def model_for(self, underlying: str) -> str:
        """Return the model of ``underlying``."""
        return dict(self.model_by_underlying).get(underlying, self.model)

    def settings_sha256(self, underlying: str, model: str) -> str:
        """Return the SHA-256 of what a fit with ``model`` depends on besides its chain and what came before."""
        return settings_sha256(model, self.options, self.rules, self.triggers.of(underlying))


@dataclass(frozen=True, slots=True)
class Fitted:
    """A surface to commit with its state, events and market factors.

    ``outcome`` labels the metric: ok, degraded, fallback or moved.
    """

    document: bytes
    outcome: str
    state: bytes = b""
    events: tuple[Notice, ...] = ()
    factors: SurfaceFactors | None = None


@dataclass(frozen=True, slots=True)
class Unfit:
    """No surface, and the sentence that says why; ``outcome``: no_smile, rejected, corrupt or error.

    ``state`` is for the next chain; empty leaves the one there is.
    """

    reason: str
    outcome: str
    state: bytes = b""
    events: tuple[Notice, ...] = ()


def unfit(claim: Claim, reason: str, outcome: str, state: bytes = b"") -> Unfit:
    """Return that the claimed chain gave no surface, with the event that says so."""
    return Unfit(reason, outcome, state, unfit_events(reason, outcome, iso_utc(claim.as_of_ms)))


def model_of(claim: Claim, policy: CalibrationPolicy) -> str:
    """Return the model a claimed chain is fitted with: the promoted one, unless this program does not have it."""
    if claim.model in MODELS:
        return claim.model
    if claim.model:
        log.warning("promoted_model_unknown", extra={"underlying": claim.underlying, "model": claim.model})
    return policy.model_for(claim.underlying)


def recalibrate(
    claim: Claim, *, decode_chain: Callable[[bytes], OptionChain], policy: CalibrationPolicy
) -> Fitted | Unfit:
    """Calibrate the claimed chain, warm from the surface it will replace."""
    try:
        chain = decode_chain(claim.chain)
    except CorruptPayload as corrupt:
        return unfit(claim, f"stored chain cannot be read: {corrupt}", "corrupt")
    standing = _previous(claim)
    before = decode_state(claim.state)
    model = model_of(claim, policy)
    policy = replace(policy, model=model, model_by_underlying=())
    try:
        maintained = maintain_surface(
            chain,
            model=model,
            previous=standing.surface if standing else None,
            previous_nodes=standing.nodes if standing else None,
            state=before,
            options=policy.options,
            rules=policy.rules,
            trigger=policy.triggers.of(chain.underlying),
            takes_over=standing is not None and _is_of_another(standing.document, model),
        )
    except NoSmile as nothing:
        return unfit(claim, str(nothing), "no_smile")
    fit = maintained.fit
    if fit.status is SurfaceStatus.REJECTED:
        return unfit(claim, fit.reason or "rejected", "rejected", encode_state(maintained.state))
    document = msgspec.structs.replace(
        maintained_document(maintained, chain),
        chain_sha256=chain_sha256(claim.chain),
        code_version=policy.code_version,
        settings_sha256=policy.settings_sha256(chain.underlying, model),
    )
    rejected_before = before.gate.rejected if before else 0
    events = published_events(standing.document if standing else None, document, rejected_before=rejected_before)
    factors = surface_factors(chain.as_of_ms, document)
    return Fitted(encode_document(document), _outcome(fit), encode_state(maintained.state), events, factors)


def keep_ready(document: bytes) -> None:
    """Decode and pack a surface that was just published: the next chain of its underlying need not wait for it."""
    try:
        _standing_of(document).surface.pack()
    except UNREADABLE as unreadable:
        log.warning("published_surface_unreadable", extra={"reason": str(unreadable)})


@dataclass(frozen=True, slots=True)
class _Standing:
    """The surface that stands: as it was published, as it is evaluated, and its vols at the nodes."""

    document: SurfaceDocument
    surface: VolSurface
    nodes: FloatArray


@lru_cache(maxsize=STANDING_KEPT)
def _standing_of(document: bytes) -> _Standing:
    """Return what the bytes of a document say. Raises UNREADABLE for those of other code than this."""
    decoded = decode_document(document)
    return _Standing(decoded, surface_of(decoded), nodes_of(decoded))


def _is_of_another(document: SurfaceDocument, model: str) -> bool:
    """Return True where another model was asked for when ``document`` was fitted."""
    return document.model != model and not (document.reason or "").startswith(FELL_BACK)


def _previous(claim: Claim) -> _Standing | None:
    if claim.previous is None:
        return None
    try:
        return _standing_of(claim.previous.document)
    except UNREADABLE as unreadable:  # a cold fit replaces it
        log.warning(
            "previous_surface_unreadable",
            extra={"underlying": claim.underlying, "version": claim.previous.version, "reason": str(unreadable)},
        )
        return None


def _outcome(fit: SurfaceFit) -> str:
    if fit.solution is None:
        return "moved"
    if fit.solution.status is FitStatus.FALLBACK:
        return "fallback"
    return fit.status.value
