"""SurfaceFit -> SurfaceDocument: the published form of a fit."""

import math
from collections.abc import Mapping

import msgspec

from app.quant.calibration import SurfaceFit
from app.quant.certificate import Certificate
from app.quant.chain import OptionChain
from app.quant.conformal import ConformalState
from app.quant.drift import Drift
from app.quant.maintenance import MaintainedFit
from app.quant.monitors import Alarm
from app.quant.nodes import DELTA_NAMES, TENOR_DAYS, tenor_bucket
from app.quant.rate_curve import RateCurve
from app.quant.report import SliceReport
from app.quant.surface import SurfaceSlice
from app.quant.vol_band import CONFIDENCE_LEVEL, VolBand
from app.service.document import (
    UNITS,
    BandDocument,
    CertificateDocument,
    ConfidenceDocument,
    DriftAlarm,
    DriftDocument,
    FitQuality,
    NodeDrift,
    ParameterDrift,
    PlaceDocument,
    RateCurveDocument,
    RecalibrationDocument,
    SliceDocument,
    SurfaceDocument,
    SurfaceQuality,
    TenorDrift,
    VolGrid,
    WorstQuote,
)
from app.service.iso_time import iso_utc


def maintained_document(maintained: MaintainedFit, chain: OptionChain) -> SurfaceDocument:
    """Return what is published about a fit of ``chain`` that is one of a series."""
    document, state = document_of(maintained.fit, chain), maintained.state
    return msgspec.structs.replace(
        document,
        confidence=_confidence(state.conformal),
        regime=maintained.regime.value,
        regime_reason=maintained.regime_reason,
        recalibration=RecalibrationDocument(
            kind="moved" if maintained.fit.solution is None else "fit",
            reason=maintained.decision.reason,
            fitted_as_of=iso_utc(maintained.fitted_ms),
        ),
        drift=msgspec.structs.replace(document.drift, alarms=[_alarm(alarm) for alarm in state.monitors.alarms]),
    )


def document_of(fit: SurfaceFit, chain: OptionChain) -> SurfaceDocument:
    """Return what is published about ``fit`` of ``chain``."""
    curves = {s.expiry_ms: s for s in fit.surface.slices}
    report = fit.report
    return SurfaceDocument(
        underlying=chain.underlying,
        as_of=iso_utc(chain.as_of_ms),
        sequence=chain.sequence,
        source=chain.source,
        venue=chain.venue,
        premium=chain.premium.value,
        status=fit.status.value,
        reason=fit.reason,
        model=fit.surface.model,
        units=UNITS,
        slices=[_slice(r, curves) for r in report.slices],
        fit=SurfaceQuality(
            rmse_vol=report.rmse_vol,
            max_error_vol=report.max_error_vol,
            inside_spread=report.inside_spread,
            quotes_used=report.quotes_used,
            quotes_dropped=dict(report.quotes_dropped),
        ),
        certificate=_certificate(fit.certificate),
        drift=_drift(fit.drift),
        rate_curve=_rate_curve(fit.surface.rate_curve),
        vol_grid=VolGrid(
            tenor_days=list(TENOR_DAYS),
            delta=list(DELTA_NAMES),
            vol=[[None if math.isnan(v) else v for v in row] for row in fit.nodes.tolist()],
        ),
    )


def _alarm(alarm: Alarm) -> DriftAlarm:
    tenor = tenor_bucket(alarm.tenor_days / 365.0)
    return DriftAlarm(alarm.monitor, tenor, alarm.series, alarm.statistic, alarm.limit, iso_utc(alarm.raised_ms))


def _confidence(state: ConformalState) -> ConfidenceDocument:
    return ConfidenceDocument(CONFIDENCE_LEVEL, state.coverage(), state.coverage_by_bucket())


def _slice(report: SliceReport, curves: Mapping[int, SurfaceSlice]) -> SliceDocument:
    fitted = curves.get(report.expiry_ms)
    return SliceDocument(
        expiry=iso_utc(report.expiry_ms),
        t=report.t,
        forward=fitted.forward if fitted else None,
        forward_sd=fitted.forward_sd if fitted else None,
        discount_factor=fitted.discount_factor if fitted else None,
        status=report.status.value,
        reason=report.reason,
        parameters=fitted.curve.parameters() if fitted else None,
        quotes_used=report.quotes_used,
        quotes_dropped=dict(report.quotes_dropped),
        fit=_quality(report),
        bands=_bands(fitted.band) if fitted and fitted.band else None,
    )


def _bands(band: VolBand) -> BandDocument:
    return BandDocument(list(band.log_moneyness), list(band.sd), list(band.half_width))


def _quality(report: SliceReport) -> FitQuality | None:
    if report.rmse_vol is None or report.max_error_vol is None or report.inside_spread is None:
        return None
    worst = report.worst
    return FitQuality(
        rmse_vol=report.rmse_vol,
        max_error_vol=report.max_error_vol,
        inside_spread=report.inside_spread,
        worst=WorstQuote(worst.strike, worst.bid_vol, worst.ask_vol, worst.model_vol) if worst else None,
    )


def _certificate(certificate: Certificate) -> CertificateDocument:
    return CertificateDocument(
        arbitrage_free=certificate.arbitrage_free,
        method=certificate.method.value,
        min_butterfly_g=certificate.min_butterfly_g,
        min_calendar_gap=certificate.min_calendar_gap,
        max_wing_slope=certificate.max_wing_slope,
        worst={
            kind: PlaceDocument(iso_utc(place.expiry_ms), place.k if math.isfinite(place.k) else None, place.value)
            for kind, place in certificate.worst.items()
        },
        failures=list(certificate.failures),
    )


def _rate_curve(curve: RateCurve) -> RateCurveDocument:
    return RateCurveDocument(curve.spot, curve.t.tolist(), curve.rate.tolist(), curve.discount_rate.tolist())


def _drift(drift: Drift) -> DriftDocument:
    return DriftDocument(
        vol_rms=drift.vol_rms,
        per_node=[NodeDrift(*node) for node in drift.per_node],
        per_tenor=[TenorDrift(*tenor) for tenor in drift.per_tenor],
        per_parameter=[ParameterDrift(*parameter) for parameter in drift.per_parameter],
        mahalanobis=dict(drift.joint),
    )
