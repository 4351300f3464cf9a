"""Fit a kept chain once more from what it was fitted from, and compare what comes out, byte by byte."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from app.quant.chain import OptionChain
from app.quant.models import MODELS
from app.service.audit import chain_sha256
from app.service.document import SurfaceDocument, decode_document
from app.service.ports import Claim, KeptChain, PublishedSurface
from app.service.recalibrate import CalibrationPolicy, Fitted, recalibrate


@dataclass(frozen=True, slots=True)
class Verification:
    """``published`` is the stored document, ``again`` the one of this fit; None when it gave no surface.

    ``differences`` say what is not as it was when the surface was made: chain, code or settings.
    """

    version: int
    published: bytes
    again: bytes | None
    reason: str | None = None
    differences: tuple[str, ...] = ()

    @property
    def is_same(self) -> bool:
        """Return True where every byte is equal."""
        return self.again == self.published

    def first_difference(self) -> int | None:
        """Return the first byte that differs; None where there is none to compare."""
        if self.again is None or self.is_same:
            return None
        pairs = zip(self.published, self.again, strict=False)
        shorter = min(len(self.published), len(self.again))
        return next((place for place, (a, b) in enumerate(pairs) if a != b), shorter)


def verify(
    surface: PublishedSurface,
    kept: KeptChain,
    previous: PublishedSurface | None,
    *,
    decode_chain: Callable[[bytes], OptionChain],
    policy: CalibrationPolicy,
) -> Verification:
    """Recalibrate ``kept`` as the worker did that published ``surface``, from ``previous`` and with its ``policy``.

    The model is the one that was asked for then. The surface's own code version is written into the document again, so
    that other code that fits alike compares equal; that it is other code is said in ``differences``.
    """
    claim = Claim(
        underlying=surface.underlying,
        token="",
        fence=0,
        attempt=1,
        as_of_ms=surface.as_of_ms,
        sequence=surface.sequence,
        received_ms=surface.received_ms,
        chain=kept.chain,
        previous=previous,
        state=kept.state,
    )
    document = decode_document(surface.document)
    model = _model_asked_for(document, policy)
    then = replace(policy, model=model or document.model, model_by_underlying=(), code_version=document.code_version)
    found = _differences(document, kept, known_settings=model is not None, code_version=policy.code_version)
    differences = tuple(found)
    result = recalibrate(claim, decode_chain=decode_chain, policy=then)
    if isinstance(result, Fitted):
        return Verification(surface.version, surface.document, result.document, differences=differences)
    return Verification(surface.version, surface.document, None, result.reason, differences)


def _model_asked_for(document: SurfaceDocument, policy: CalibrationPolicy) -> str | None:
    """Return the model whose settings made the document, which may have fallen back on another; None if none did."""
    wanted, underlying = document.settings_sha256, document.underlying
    return next((model for model in MODELS if policy.settings_sha256(underlying, model) == wanted), None)


def _differences(
    document: SurfaceDocument, kept: KeptChain, *, known_settings: bool, code_version: str | None
) -> Iterator[str]:
    if document.code_version is None:
        yield "code version: the surface names none; it was made by an older program"
    elif document.code_version != code_version:
        yield f"code version: made by {document.code_version}, fitted again by {code_version}"
    if document.settings_sha256 and not known_settings:
        yield f"settings: no model of this program with the settings in force has {document.settings_sha256}"
    found = chain_sha256(kept.chain)
    if document.chain_sha256 and document.chain_sha256 != found:
        yield f"chain: the surface names {document.chain_sha256}, the one kept is {found}"
