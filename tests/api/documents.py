"""Surfaces made up for tests of what is around them: two flat smiles."""

from typing import Any

import msgspec

from app.service.document import (
    UNITS,
    CertificateDocument,
    DriftDocument,
    FitQuality,
    ParameterDrift,
    RateCurveDocument,
    SliceDocument,
    SurfaceDocument,
    SurfaceQuality,
    TenorDrift,
    VolGrid,
    encode_document,
)
from app.service.iso_time import iso_utc
from app.service.ports import PublishedSurface

DAY_MS = 86_400_000
AS_OF_MS = 1_785_607_084_320
"""2026-08-01T17:58:04.320Z."""


def document(underlying: str = "BTC", as_of_ms: int = AS_OF_MS, sequence: int = 0, **changes: Any) -> SurfaceDocument:
    fitted = SurfaceDocument(
        underlying=underlying,
        as_of=iso_utc(as_of_ms),
        sequence=sequence,
        source="desk",
        venue="native",
        premium="coin",
        status="ok",
        reason=None,
        model="svi_spline",
        units=UNITS,
        slices=[one_slice(as_of_ms, 30, 0.002, 40), one_slice(as_of_ms, 58, 0.004, 10), unfit_slice(as_of_ms)],
        fit=SurfaceQuality(0.003, 0.011, 0.98, 50, {"one_sided": 12}),
        certificate=CertificateDocument(True, "exact", 0.01, 1e-6, 1.2, {}, []),
        drift=DriftDocument(0.0042, [], [TenorDrift("1m", 0.005)], [ParameterDrift("1m", "a", 0.001)]),
        rate_curve=RateCurveDocument(62_000.0, [30 / 365, 58 / 365], [0.0, 0.0], [0.0, 0.0]),
        vol_grid=VolGrid([7.0, 30.0], ["25P", "ATM", "25C"], [[None, None, None], [0.52, 0.5, 0.51]]),
    )
    return msgspec.structs.replace(fitted, **changes)


def one_slice(as_of_ms: int, days: int, rmse_vol: float, quotes: int) -> SliceDocument:
    t = days / 365.0
    parameters = {"a": 0.25 * t, "b": 0.0, "rho": 0.0, "m": 0.0, "sigma": 0.1}
    quality = FitQuality(rmse_vol, 0.011, 0.98, None)
    expiry = iso_utc(as_of_ms + days * DAY_MS)
    return SliceDocument(expiry, t, 62_000.0, 1.5, 1.0, "ok", None, parameters, quotes, {}, quality)


def unfit_slice(as_of_ms: int) -> SliceDocument:
    expiry, reason = iso_utc(as_of_ms + 90 * DAY_MS), "2 two-sided quotes: at least 5 are needed"
    return SliceDocument(expiry, 90 / 365, None, None, None, "too_few_quotes", reason, None, 0, {"one_sided": 9}, None)


def published(
    underlying: str = "BTC",
    version: int = 100,
    prev_version: int = 0,
    as_of_ms: int = AS_OF_MS,
    sequence: int = 0,
    **changes: Any,
) -> PublishedSurface:
    return PublishedSurface(
        underlying=underlying,
        version=version,
        prev_version=prev_version,
        as_of_ms=as_of_ms,
        sequence=sequence,
        received_ms=as_of_ms + 100,
        calibrated_at_ms=as_of_ms + 200,
        document=encode_document(document(underlying, as_of_ms, sequence, **changes)),
    )
