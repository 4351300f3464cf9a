"""Factors of several underlyings -> their correlations as a document."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from app.quant.arrays import FloatArray, IntArray
from app.quant.correlation import LEAST_OBSERVATIONS, Correlation, shrunk_correlation
from app.quant.market_factors import FACTORS, FORWARD, LEVEL, TENOR_DAYS
from app.quant.spot_vol import spot_vol
from app.quant.time_bars import bar_ends, last_in_bar, overlap
from app.service.correlation_document import (
    CORRELATION_UNITS,
    Correlations,
    Matrix,
    ObservationsDocument,
    SpotVolDocument,
)
from app.service.iso_time import iso_utc
from app.service.surface_factors import FactorSeries

MS_PER_MINUTE: Final = 60_000
MOST_HALF_LIVES: Final = 30
"""That a window reaches back: what is older weighs less than a billionth."""
LEAST_CHANGE: Final = 1e-12
"""Of a logarithm or a vol: less is rounding, and the series stood still."""


@dataclass(frozen=True, slots=True)
class CorrelationQuery:
    """How far back, in bars of what length, and how fast the past is forgotten; minutes."""

    window_minutes: int = 720
    bar_minutes: float = 5.0
    half_life_minutes: float = 120.0


DEFAULT_QUERY: Final = CorrelationQuery()


@dataclass(frozen=True, slots=True, eq=False)
class _Bars:
    """One underlying at the bars' ends: ``values`` (bars, FACTORS), ``smile_slope`` and ``time_ms``; NaN for none."""

    values: FloatArray
    smile_slope: FloatArray
    time_ms: FloatArray
    degraded: int
    moved: int


def correlations_of(points: Mapping[str, FactorSeries], query: CorrelationQuery) -> Correlations:
    """Return the correlations of the underlyings in ``points``, each of at least one surface.

    The newest bar is the last that the newest surface of all has seen the end of: no clock is asked, and an underlying
    whose surfaces stopped is missing in the bars since.
    """
    bar_ms = round(query.bar_minutes * MS_PER_MINUTE)
    newest_ms = max(int(each.as_of_ms[-1]) for each in points.values())
    minutes = min(query.window_minutes, MOST_HALF_LIVES * query.half_life_minutes)
    ends = bar_ends(newest_ms, bar_ms, round(minutes * MS_PER_MINUTE) // bar_ms + 1)
    bars = {name: _bars(each, ends, bar_ms) for name, each in points.items()}
    age = (ends[-1] - ends[1:]) / MS_PER_MINUTE
    changes = np.hstack([_changes(each) for each in bars.values()])
    found = shrunk_correlation(changes, age, query.half_life_minutes, np.tile(np.arange(len(FACTORS)), len(bars)))
    labels = [f"{name}.{factor}" for name in bars for factor in FACTORS]
    status, reason = _verdict(found, labels, newest_ms - max(int(each.as_of_ms[0]) for each in points.values()))
    return Correlations(
        as_of=iso_utc(int(ends[-1])),
        window_minutes=query.window_minutes,
        bar_minutes=query.bar_minutes,
        half_life_minutes=query.half_life_minutes,
        underlyings=list(bars),
        factors=labels,
        correlation=_matrix(found.value),
        standard_error=_matrix(found.standard_error),
        overlap=_matrix(overlap(np.column_stack([each.time_ms for each in bars.values()]))),
        observations=ObservationsDocument(
            changes=found.observations,
            effective=found.effective,
            of_factor=dict(zip(labels, np.isfinite(changes).sum(axis=0).tolist(), strict=True)),
            degraded={name: each.degraded for name, each in bars.items()},
            moved={name: each.moved for name, each in bars.items()},
        ),
        shrinkage=_matrix(found.shrinkage),
        spot_vol={name: _spot_vol(each, age, query.half_life_minutes) for name, each in bars.items()},
        units=CORRELATION_UNITS,
        status=status,
        reason=reason,
    )


def _bars(points: FactorSeries, ends: IntArray, bar_ms: int) -> _Bars:
    fitted = points[~points.moved]
    place = last_in_bar(fitted.as_of_ms, ends, bar_ms)
    bars, rows = place >= 0, place[place >= 0]
    values = np.full((ends.size, len(FACTORS)), np.nan)
    smile_slope, time_ms = np.full((2, ends.size), np.nan)
    values[bars], smile_slope[bars], time_ms[bars] = (
        fitted.values[rows],
        fitted.smile_slope[rows],
        fitted.as_of_ms[rows],
    )
    within = (ends[0] - bar_ms < points.as_of_ms) & (points.as_of_ms <= ends[-1])
    return _Bars(
        values,
        smile_slope,
        time_ms,
        degraded=int(np.count_nonzero(fitted.degraded[rows])),
        moved=int(np.count_nonzero(points.moved & within)),
    )


def _changes(bars: _Bars) -> FloatArray:
    changes = np.diff(bars.values, axis=0)
    return np.where(np.abs(changes) < LEAST_CHANGE, 0.0, changes)


def _spot_vol(bars: _Bars, age: FloatArray, half_life_minutes: float) -> SpotVolDocument:
    changes = _changes(bars)
    found = spot_vol(changes[:, FORWARD], changes[:, LEVEL], bars.smile_slope[:-1], age, half_life_minutes)
    return SpotVolDocument(
        tenor_days=TENOR_DAYS,
        observations=found.observations,
        effective=found.effective,
        ratio=found.ratio,
        ratio_sd=found.ratio_sd,
        ratio_prior_share=found.ratio_prior_share,
        beta=found.beta,
        beta_sd=found.beta_sd,
        correlation=found.correlation,
        correlation_sd=found.correlation_sd,
        reason=found.reason,
    )


def _verdict(found: Correlation, labels: Sequence[str], kept_ms: int) -> tuple[str, str | None]:
    """Return the status and its reason; surfaces of all underlyings are known of the last ``kept_ms``."""
    needed = f"at least {LEAST_OBSERVATIONS} are needed"
    if not found.used.any():
        worth = (
            f"{found.observations} changes known of all factors at once, worth {found.effective:.1f} of equal weight"
        )
        kept = f"of the last {kept_ms / MS_PER_MINUTE:.0f} minutes surfaces are known"
        return "too_few_observations", f"{worth}: {needed}; {kept}"
    if not found.used.all():
        without = ", ".join(label for label, used in zip(labels, found.used.tolist(), strict=True) if not used)
        return "partial", f"too few moves together with the others of {without}: {needed}"
    return "ok", None


def _matrix(values: FloatArray) -> Matrix:
    return [[None if np.isnan(value) else value for value in row] for row in values.tolist()]
