"""What is published about a fit: error, inside share and the worst quote, by expiry and over the surface."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from app.quant.arrays import FloatArray
from app.quant.smile import ExcludedExpiry, ExpiryStatus, Smile
from app.quant.surface import VolSurface


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
    surface: VolSurface,
    excluded: Sequence[ExcludedExpiry],
    unplaced: Mapping[str, int],
) -> FitReport:
    """Return the report of ``surface`` fitted to ``smiles``, one a slice and in their order."""
    error, inside, reports = _slice_reports(smiles, surface)
    for out in excluded:
        reports.append(
            SliceReport(out.expiry_ms, out.t, out.status, out.reason, 0, dict(out.dropped), None, None, None, None)
        )
    return FitReport(
        slices=tuple(sorted(reports, key=lambda r: r.expiry_ms)),
        rmse_vol=float(np.sqrt(np.mean(error * error))),
        max_error_vol=float(np.abs(error).max()),
        inside_spread=float(inside.mean()),
        quotes_used=int(error.shape[0]),
        quotes_dropped=_summed([unplaced, *(s.dropped for s in smiles), *(out.dropped for out in excluded)]),
    )


def _summed(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """Return how many quotes each reason took in all."""
    total: dict[str, int] = {}
    for count in counts:
        for reason, n in count.items():
            total[reason] = total.get(reason, 0) + n
    return total


def _slice_reports(smiles: Sequence[Smile], surface: VolSurface) -> tuple[FloatArray, FloatArray, list[SliceReport]]:
    """Return the vol errors of all quotes, 1 for those inside bid and ask, and the report of each smile."""
    sizes = np.array([len(smile) for smile in smiles])
    k, strike, bid, mid, ask = (
        np.concatenate([getattr(smile, column) for smile in smiles])
        for column in ("k", "strike", "bid_vol", "mid_vol", "ask_vol")
    )
    of_slice = np.repeat(np.arange(sizes.size), sizes)
    model_vol = np.sqrt(surface.stack.variances(of_slice, k) / surface.maturities[of_slice])
    error = model_vol - mid
    inside = ((model_vol >= bid) & (model_vol <= ask)).astype(np.float64)
    end = np.cumsum(sizes)
    start = end - sizes
    size = np.abs(error)
    root_mean_square = np.sqrt(np.add.reduceat(error * error, start) / sizes)
    mean_inside = np.add.reduceat(inside, start) / sizes
    furthest = np.array([first + size[first:last].argmax() for first, last in zip(start, end, strict=True)])
    worst = np.stack([strike, bid, ask, model_vol], axis=1)[furthest].tolist()
    figures = np.stack([root_mean_square, size[furthest], mean_inside], axis=1).tolist()
    reports = [
        SliceReport(
            expiry_ms=smile.expiry_ms,
            t=smile.t,
            status=ExpiryStatus.OK,
            reason=None,
            quotes_used=len(smile),
            quotes_dropped=dict(smile.dropped),
            rmse_vol=rmse,
            max_error_vol=largest,
            inside_spread=share,
            worst=WorstQuote(*quote),
        )
        for smile, (rmse, largest, share), quote in zip(smiles, figures, worst, strict=True)
    ]
    return error, inside, reports
