"""Factors that are easily told apart, and those of a record as they were committed."""

from collections.abc import Iterable

from app.quant.market_factors import MarketFactors
from app.service.factor_record import RecordedFactors, slot_of
from app.service.surface_factors import SurfaceFactors


def factors_at(as_of_ms: int, number: int = 0, *, moved: bool = False) -> SurfaceFactors:
    values = (10.0 + 0.1 * number, 0.5, -0.04, 0.01, -0.06)
    return SurfaceFactors(as_of_ms, degraded=number % 2 == 1, moved=moved, factors=MarketFactors(values, -0.3))


def rows_for(surfaces: Iterable[SurfaceFactors]) -> list[SurfaceFactors]:
    """What is recorded of surfaces, in plain Python: of a slot the last fitted one, else the last moved one."""
    rows: dict[int, SurfaceFactors] = {}
    for each in surfaces:
        slot = slot_of(each.as_of_ms)
        if slot not in rows or not each.moved or rows[slot].moved:
            rows[slot] = each
    return list(rows.values())


def rows_of(recorded: RecordedFactors | None) -> list[SurfaceFactors]:
    if recorded is None:
        return []
    series = recorded.series
    factors = map(MarketFactors, map(tuple, series.values.tolist()), series.smile_slope.tolist())
    columns = (series.as_of_ms.tolist(), series.degraded.tolist(), series.moved.tolist(), factors)
    return list(map(SurfaceFactors, *columns))
