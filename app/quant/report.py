"""What is published about a fit: error, inside share and the worst quote, by expiry and over the surface."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from app.quant.arrays import FloatArray
from app.quant.slice_variance import stacked_variance
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
    dropped: Counter[str] = Counter(unplaced)
    for smile in smiles:
        dropped.update(smile.dropped)
    error, inside, reports = _slice_reports(smiles, slices)
    for out in excluded:
        reports.append(
            SliceReport(out.expiry_ms, out.t, out.status, out.reason, 0, dict(out.dropped), None, None, None, None)
        )
        dropped.update(out.dropped)
    return FitReport(
        slices=tuple(sorted(reports, key=lambda r: r.expiry_ms)),
        rmse_vol=float(np.sqrt(np.mean(error * error))),
        max_error_vol=float(np.abs(error).max()),
        inside_spread=float(inside.mean()),
        quotes_used=int(error.shape[0]),
        quotes_dropped=dict(dropped),
    )


def _slice_reports(
    smiles: Sequence[Smile], slices: Sequence[SurfaceSlice]
) -> tuple[FloatArray, FloatArray, list[SliceReport]]:
    """Return the vol errors of all quotes, 1 for those inside bid and ask, and the report of each smile."""
    sizes = np.array([len(smile) for smile in smiles])
    k, bid, mid, ask = (
        np.concatenate([getattr(smile, column) for smile in smiles])
        for column in ("k", "bid_vol", "mid_vol", "ask_vol")
    )
    of_slice = np.repeat(np.arange(sizes.size), sizes)
    t = np.array([smile.t for smile in smiles])
    model_vol = np.sqrt(stacked_variance([s.curve for s in slices], of_slice, k) / t[of_slice])
    error = model_vol - mid
    inside = ((model_vol >= bid) & (model_vol <= ask)).astype(np.float64)
    start = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    mean_square, mean_inside = (np.add.reduceat(column, start) / sizes for column in (error * error, inside))
    size = np.abs(error)
    largest = np.maximum.reduceat(size, start)
    reports = []
    for i, smile in enumerate(smiles):
        first = int(start[i])
        j = int(size[first : first + len(smile)].argmax())
        worst = (smile.strike[j], smile.bid_vol[j], smile.ask_vol[j], model_vol[first + j])
        reports.append(
            SliceReport(
                expiry_ms=smile.expiry_ms,
                t=smile.t,
                status=ExpiryStatus.OK,
                reason=None,
                quotes_used=len(smile),
                quotes_dropped=dict(smile.dropped),
                rmse_vol=math.sqrt(mean_square[i]),
                max_error_vol=float(largest[i]),
                inside_spread=float(mean_inside[i]),
                worst=WorstQuote(*map(float, worst)),
            )
        )
    return error, inside, reports
