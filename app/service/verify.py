"""Fit a kept chain once more from what it was fitted from, and compare what comes out, byte by byte."""

from collections.abc import Callable
from dataclasses import dataclass

from app.quant.chain import OptionChain
from app.service.document import decode_document
from app.service.ports import Claim, KeptChain, PublishedSurface
from app.service.recalibrate import CalibrationPolicy, Fitted, recalibrate


@dataclass(frozen=True, slots=True)
class Verification:
    """``published`` is the stored document, ``again`` the one of this fit; None when it gave no surface."""

    version: int
    published: bytes
    again: bytes | None
    reason: str | None = None

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
) -> Verification:
    """Recalibrate ``kept`` as the worker did that published ``surface``, warm from ``previous``."""
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
    policy = CalibrationPolicy(model=decode_document(surface.document).model)
    result = recalibrate(claim, decode_chain=decode_chain, policy=policy)
    if isinstance(result, Fitted):
        return Verification(surface.version, surface.document, result.document)
    return Verification(surface.version, surface.document, None, result.reason)
