"""One line about a surface: what the list shows."""

import msgspec

from app.api.live_surface import Freshness, LiveSurface
from app.service.document import SurfaceDocument, SurfaceQuality
from app.service.iso_time import iso_utc


class SurfaceSummary(msgspec.Struct, frozen=True):
    """``forward`` is the first expiry's; ``atm_vol`` the at-the-money vol at ``atm_tenor_days``, the first covered.

    ``last_failure`` says why a newer chain did not give a surface; null when none failed, or the store is away.
    """

    underlying: str
    version: str
    as_of: str
    calibrated_at: str
    age_ms: int
    stale: bool
    status: str
    reason: str | None
    model: str
    expiries: int
    forward: float | None
    atm_vol: float | None
    atm_tenor_days: float | None
    arbitrage_free: bool
    drift_vol_rms: float | None
    last_failure: str | None
    fit: SurfaceQuality


def summary_of(surface: LiveSurface, freshness: Freshness, last_failure: str | None) -> SurfaceSummary:
    """Return the summary of ``surface``."""
    published, document = surface.published, surface.document
    tenor_days, atm_vol = _at_the_money(document)
    return SurfaceSummary(
        underlying=published.underlying,
        version=str(published.version),
        as_of=document.as_of,
        calibrated_at=iso_utc(published.calibrated_at_ms),
        age_ms=freshness.age_ms(published),
        stale=freshness.is_stale(published),
        status=document.status,
        reason=document.reason,
        model=document.model,
        expiries=sum(each.parameters is not None for each in document.slices),
        forward=next((each.forward for each in document.slices if each.forward is not None), None),
        atm_vol=atm_vol,
        atm_tenor_days=tenor_days,
        arbitrage_free=document.certificate.arbitrage_free,
        drift_vol_rms=document.drift.vol_rms,
        last_failure=last_failure,
        fit=document.fit,
    )


def _at_the_money(document: SurfaceDocument) -> tuple[float | None, float | None]:
    grid = document.vol_grid
    if "ATM" in grid.delta:
        column = grid.delta.index("ATM")
        for tenor_days, row in zip(grid.tenor_days, grid.vol, strict=True):
            if row[column] is not None:
                return tenor_days, row[column]
    return None, None
