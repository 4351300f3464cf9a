"""The recorded market as the surfaces that a worker published of it."""

from functools import cache

from app.quant.calibration import SurfaceStatus
from app.service.document import encode_document
from app.service.ports import PublishedSurface
from app.service.publish import maintained_document
from tests.quant.market import maintained_series, recorded_chains


@cache
def published_series(underlying: str, count: int = 64) -> tuple[PublishedSurface, ...]:
    """The surfaces of the first ``count`` recorded chains that were not rejected; versions 10, 20, ..."""
    pairs = zip(recorded_chains(underlying, count), maintained_series(underlying, count), strict=True)
    kept = [(chain, fit) for chain, fit in pairs if fit.fit.status is not SurfaceStatus.REJECTED]
    return tuple(
        PublishedSurface(
            underlying,
            10 * (i + 1),
            10 * i,
            chain.as_of_ms,
            chain.sequence,
            chain.as_of_ms,
            chain.as_of_ms,
            encode_document(maintained_document(fit, chain)),
        )
        for i, (chain, fit) in enumerate(kept)
    )
