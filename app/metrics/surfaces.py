"""What the newest surfaces say: fit error, drift, arbitrage and age, by underlying and by bucket of tenor.

Expiries are no labels (they are born and die for ever); the buckets 1w, 1m, 3m, 6m, 1y stay.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

from prometheus_client.metrics_core import Metric

from app.metrics.families import Series, gauge
from app.metrics.labels import UnderlyingLabels
from app.quant.monitors import MONITORS
from app.quant.nodes import tenor_bucket
from app.service.document import CertificateDocument, SliceDocument, SurfaceDocument
from app.service.ports import PublishedSurface

BY_MODEL: Final = ("underlying", "model")
BY_TENOR: Final = ("underlying", "model", "tenor")

RMSE: Final = gauge("volsurf_fit_error_rmse_vol", "RMS of model vol less mid vol over the surface.", *BY_MODEL)
MAX_ERROR: Final = gauge("volsurf_fit_error_max_vol", "Largest |model vol - mid vol| over the surface.", *BY_MODEL)
INSIDE: Final = gauge(
    "volsurf_fit_inside_spread_ratio", "Share of quotes whose model vol lies within bid and ask.", *BY_MODEL, merge=min
)
TENOR_RMSE: Final = gauge("volsurf_tenor_fit_error_rmse_vol", "The same over a bucket of tenor.", *BY_TENOR)
TENOR_MAX_ERROR: Final = gauge("volsurf_tenor_fit_error_max_vol", "The same over a bucket of tenor.", *BY_TENOR)
TENOR_INSIDE: Final = gauge(
    "volsurf_tenor_fit_inside_spread_ratio", "The same over a bucket of tenor.", *BY_TENOR, merge=min
)
QUOTES_USED: Final = gauge("volsurf_quotes_used", "Two-sided quotes the surface was fitted to.", "underlying")
QUOTES_DROPPED: Final = gauge("volsurf_quotes_dropped", "Quotes not fitted to, by reason.", "underlying", "reason")
DRIFT: Final = gauge("volsurf_drift_vol_rms", "RMS change of vol since the previous surface.", "underlying")
TENOR_DRIFT: Final = gauge(
    "volsurf_tenor_drift_vol_rms", "The same over the nodes of a bucket of tenor.", "underlying", "tenor"
)
PARAMETER_DRIFT: Final = gauge(
    "volsurf_parameter_drift",
    "RMS change of a parameter since the previous surface over the expiries of a bucket of tenor.",
    *BY_TENOR,
    "parameter",
)
PARAMETER_ZSCORE: Final = gauge(
    "volsurf_parameter_drift_zscore",
    "The same in units of its standard error; parameter=joint is all of them (Mahalanobis); up to 1 is noise alone.",
    *BY_TENOR,
    "parameter",
)
PARAMETER: Final = gauge(
    "volsurf_parameter_value", "A parameter of the first expiry of a bucket of tenor.", *BY_TENOR, "parameter"
)
ALARM: Final = gauge(
    "volsurf_drift_alarm",
    "1 for an hour after this monitor found a slow drift, else 0; one false alarm a week is to be expected.",
    "underlying",
    "monitor",
)
REGIME_SHIFT: Final = gauge(
    "volsurf_regime_shift", "1 when the newest surface is the first of another regime, else 0.", "underlying"
)
COVERAGE: Final = gauge(
    "volsurf_band_coverage_ratio",
    "Share of recent mids that the bands published before them held, by bucket of tenor and moneyness.",
    "underlying",
    "bucket",
    merge=min,
)
VIOLATIONS: Final = gauge(
    "volsurf_arbitrage_violations",
    "1 when the surface breaks a bound of this kind, else 0.",
    "underlying",
    "kind",
)
CERTIFIED: Final = gauge(
    "volsurf_arbitrage_certified",
    "1 when the surface is proven free of static arbitrage, else 0.",
    "underlying",
    merge=min,
)
SOURCE_TIME: Final = gauge(
    "volsurf_surface_source_timestamp_seconds", "as_of of the chain behind the newest surface.", "underlying", merge=min
)
VERSION_TIME: Final = gauge(
    "volsurf_surface_version_timestamp_seconds", "Version of the newest surface.", "underlying", merge=min
)

DECLARED: Final = (
    RMSE,
    MAX_ERROR,
    INSIDE,
    TENOR_RMSE,
    TENOR_MAX_ERROR,
    TENOR_INSIDE,
    QUOTES_USED,
    QUOTES_DROPPED,
    DRIFT,
    TENOR_DRIFT,
    PARAMETER_DRIFT,
    PARAMETER_ZSCORE,
    PARAMETER,
    ALARM,
    REGIME_SHIFT,
    COVERAGE,
    VIOLATIONS,
    CERTIFIED,
    SOURCE_TIME,
    VERSION_TIME,
)

LEE_SLOPE: Final = 2.0
"""Largest slope of total variance in |k| a smile without arbitrage has (Lee 2004)."""


def surface_metrics(
    surfaces: Iterable[tuple[PublishedSurface, SurfaceDocument]], label: UnderlyingLabels
) -> Iterator[Metric]:
    """Return the families of the newest ``surfaces``."""
    series = Series()
    for published, document in surfaces:
        underlying = label(published.underlying)
        series.add(SOURCE_TIME, published.as_of_ms / 1e3, underlying)
        series.add(VERSION_TIME, published.version / 1e6, underlying)
        _add_fit(series, document, underlying)
        _add_tenors(series, document, underlying)
        _add_drift(series, document, underlying)
        if document.regime:
            series.add(REGIME_SHIFT, float(document.regime == "shift"), underlying)
        if document.confidence:
            series.add_all(COVERAGE, document.confidence.per_bucket, underlying)
        for kind, count in _violations(document.certificate).items():
            series.add(VIOLATIONS, count, underlying, kind)
        series.add(CERTIFIED, float(document.certificate.arbitrage_free), underlying)
    yield from series.metrics(DECLARED)


def _add_fit(series: Series, document: SurfaceDocument, underlying: str) -> None:
    series.add(RMSE, document.fit.rmse_vol, underlying, document.model)
    series.add(MAX_ERROR, document.fit.max_error_vol, underlying, document.model)
    series.add(INSIDE, document.fit.inside_spread, underlying, document.model)
    series.add(QUOTES_USED, document.fit.quotes_used, underlying)
    series.add_all(QUOTES_DROPPED, document.fit.quotes_dropped, underlying)


def _add_tenors(series: Series, document: SurfaceDocument, underlying: str) -> None:
    buckets: dict[str, list[SliceDocument]] = defaultdict(list)
    for each in document.slices:
        buckets[tenor_bucket(each.t)].append(each)
    for tenor, slices in buckets.items():
        labels = underlying, document.model, tenor
        fits = [(each.fit, each.quotes_used) for each in slices if each.fit and each.quotes_used]
        if fits:
            quotes = sum(used for _, used in fits)
            square = sum(fit.rmse_vol**2 * used for fit, used in fits) / quotes
            series.add(TENOR_RMSE, math.sqrt(square), *labels)
            series.add(TENOR_MAX_ERROR, max(fit.max_error_vol for fit, _ in fits), *labels)
            series.add(TENOR_INSIDE, sum(fit.inside_spread * used for fit, used in fits) / quotes, *labels)
        parameters = next((each.parameters for each in slices if each.parameters), {})
        for name, value in parameters.items():
            if isinstance(value, float):
                series.add(PARAMETER, value, *labels, name)


def _add_drift(series: Series, document: SurfaceDocument, underlying: str) -> None:
    drift = document.drift
    series.add(DRIFT, drift.vol_rms, underlying)
    for each in drift.per_tenor:
        series.add(TENOR_DRIFT, each.vol_rms, underlying, each.tenor)
    for change in drift.per_parameter:
        labels = underlying, document.model, change.tenor, change.parameter
        series.add(PARAMETER_DRIFT, change.change, *labels)
        series.add(PARAMETER_ZSCORE, change.zscore, *labels)
    raised = {alarm.monitor for alarm in drift.alarms}
    for monitor in MONITORS:
        series.add(ALARM, float(monitor in raised), underlying, monitor)
    for tenor, distance in drift.mahalanobis.items():
        series.add(PARAMETER_ZSCORE, distance, underlying, document.model, tenor, "joint")


def _violations(certificate: CertificateDocument) -> dict[str, float]:
    """Return 1 for each kind of bound that is broken, 0 for the others; ``other`` for a failure of no such kind."""
    if certificate.arbitrage_free:
        return {"butterfly": 0.0, "calendar": 0.0, "wing": 0.0, "other": 0.0}
    gap = certificate.min_calendar_gap
    broken = {
        "butterfly": float(certificate.min_butterfly_g < 0.0),
        "calendar": float(gap is not None and gap < 0.0),
        "wing": float(certificate.max_wing_slope > LEE_SLOPE),
    }
    return {**broken, "other": float(not any(broken.values()))}
