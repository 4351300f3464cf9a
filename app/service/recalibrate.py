"""What a worker does with a claimed chain: decode, calibrate, publish or say why not."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from app.quant.arrays import FloatArray
from app.quant.calibration import NoSmile, SurfaceFit, SurfaceStatus
from app.quant.chain import OptionChain
from app.quant.errors import QuantError
from app.quant.maintenance import maintain_surface
from app.quant.models.base import FitOptions, FitStatus
from app.quant.surface import VolSurface
from app.service.document import decode_document, encode_document
from app.service.evaluate import nodes_of, surface_of
from app.service.maintenance_state import decode_state, encode_state
from app.service.ports import Claim, CorruptPayload
from app.service.publish import maintained_document

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CalibrationPolicy:
    """Which model is fitted, by underlying, and how."""

    model: str
    model_by_underlying: tuple[tuple[str, str], ...] = ()
    options: FitOptions = field(default_factory=FitOptions)

    def model_for(self, underlying: str) -> str:
        """Return the model of ``underlying``."""
        return dict(self.model_by_underlying).get(underlying, self.model)


@dataclass(frozen=True, slots=True)
class Fitted:
    """A surface to commit with its state; ``outcome`` labels the metric: ok, degraded or fallback."""

    document: bytes
    outcome: str
    state: bytes = b""


@dataclass(frozen=True, slots=True)
class Unfit:
    """No surface, and the sentence that says why; ``outcome``: no_smile, rejected or corrupt.

    ``state`` is for the next chain; empty leaves the one there is.
    """

    reason: str
    outcome: str
    state: bytes = b""


def recalibrate(
    claim: Claim, *, decode_chain: Callable[[bytes], OptionChain], policy: CalibrationPolicy
) -> Fitted | Unfit:
    """Calibrate the claimed chain, warm from the surface it will replace."""
    try:
        chain = decode_chain(claim.chain)
    except CorruptPayload as corrupt:
        return Unfit(f"stored chain cannot be read: {corrupt}", "corrupt")
    previous, nodes = _previous(claim)
    try:
        maintained = maintain_surface(
            chain,
            model=policy.model_for(chain.underlying),
            previous=previous,
            previous_nodes=nodes,
            state=decode_state(claim.state),
            options=policy.options,
        )
    except NoSmile as nothing:
        return Unfit(str(nothing), "no_smile")
    fit = maintained.fit
    if fit.status is SurfaceStatus.REJECTED:
        return Unfit(fit.reason or "rejected", "rejected", encode_state(maintained.state))
    document = encode_document(maintained_document(maintained, chain))
    return Fitted(document, _outcome(fit), encode_state(maintained.state))


def _previous(claim: Claim) -> tuple[VolSurface | None, FloatArray | None]:
    """Return the surface that stands, and its vols at the nodes."""
    if claim.previous is None:
        return None, None
    try:
        document = decode_document(claim.previous.document)
        return surface_of(document), nodes_of(document)
    except (msgspec.DecodeError, QuantError, KeyError) as unreadable:
        # Written by other code than this one: a cold fit replaces it.
        log.warning(
            "previous_surface_unreadable",
            extra={"underlying": claim.underlying, "version": claim.previous.version, "reason": str(unreadable)},
        )
        return None, None


def _outcome(fit: SurfaceFit) -> str:
    if fit.solution.status is FitStatus.FALLBACK:
        return "fallback"
    return fit.status.value
