"""What is published about a fit: error, inside share and the worst quote, by expiry and over the surface."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from app.quant.arrays import FloatArray
from app.quant.smile import ExcludedExpiry, ExpiryStatus, Smile
from app.quant.surface import SurfaceSlice


@dataclass(frozen=True, slots=True)
class WorstQuote:
    """The quote whose mid the model misses by most; vols are decimals."""

    strike: float
    bid_vol: float
    ask_vol: float
    model_vol: float


@dataclass(frozen=True, slots=True)
class SliceReport:
    """One expiry of the chain. Errors are decimals of vol, None without a curve."""

    expiry_ms: int
    t: float
    status: ExpiryStatus
    reason: str | None
    quotes_used: int
    quotes_dropped: Mapping[str, int]
    rmse_vol: float | None
    max_error_vol: float | None
    inside_spread: float | None
    worst: WorstQuote | None


@dataclass(frozen=True, slots=True)
class FitReport:
    """All expiries of the chain, ascending, and the same figures over all quotes used."""

    slices: tuple[SliceReport, ...]
    rmse_vol: float
    max_error_vol: float
    inside_spread: float
    quotes_used: int
    quotes_dropped: Mapping[str, int]


def report_fit(
    smiles: Sequence[Smile],
    slices: Sequence[SurfaceSlice],
    excluded: Sequence[ExcludedExpiry],
    unplaced: Mapping[str, int],
) -> FitReport:
    """Return the report of ``slices`` fitted to ``smiles`` (same order, at least one)."""
    errors: list[FloatArray] = []
    insides: list[FloatArray] = []
    reports: list[SliceReport] = []
    dropped: Counter[str] = Counter(unplaced)
    for smile, fitted in zip(smiles, slices, strict=True):
        error, inside, model_vol = _misfit(smile, fitted)
        errors.append(error)
        insides.append(inside)
        reports.append(_slice_report(smile, error, inside, model_vol))
        dropped.update(smile.dropped)
    for out in excluded:
        reports.append(
            SliceReport(out.expiry_ms, out.t, out.status, out.reason, 0, dict(out.dropped), None, None, None, None)
        )
        dropped.update(out.dropped)
    every = np.concatenate(errors)
    return FitReport(
        slices=tuple(sorted(reports, key=lambda r: r.expiry_ms)),
        rmse_vol=float(np.sqrt(np.mean(every * every))),
        max_error_vol=float(np.abs(every).max()),
        inside_spread=float(np.mean(np.concatenate(insides))),
        quotes_used=int(every.shape[0]),
        quotes_dropped=dict(dropped),
    )


def _misfit(smile: Smile, fitted: SurfaceSlice) -> tuple[FloatArray, FloatArray, FloatArray]:
    model_vol = np.sqrt(fitted.curve.total_variance(smile.k) / smile.t)
    inside = ((model_vol >= smile.bid_vol) & (model_vol <= smile.ask_vol)).astype(np.float64)
    return model_vol - smile.mid_vol, inside, model_vol


def _slice_report(smile: Smile, error: FloatArray, inside: FloatArray, model_vol: FloatArray) -> SliceReport:
    j = int(np.abs(error).argmax())
    worst = WorstQuote(float(smile.strike[j]), float(smile.bid_vol[j]), float(smile.ask_vol[j]), float(model_vol[j]))
    return SliceReport(
        expiry_ms=smile.expiry_ms,
        t=smile.t,
        status=ExpiryStatus.OK,
        reason=None,
        quotes_used=len(smile),
        quotes_dropped=dict(smile.dropped),
        rmse_vol=float(np.sqrt(np.mean(error * error))),
        max_error_vol=float(np.abs(error).max()),
        inside_spread=float(inside.mean()),
        worst=worst,
    )
