"""Fit one recorded chain as the first of a series, judged as such, and print the fit: the worker's pure call alone."""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np

from app.feeds.recording import InvalidRecording, RecordedChain, read_recorded
from app.quant.calibration import NoSmile, SurfaceFit
from app.quant.certificate import Certificate, Evidence
from app.quant.chain import OptionChain
from app.quant.maintenance import maintain_surface
from app.quant.models import DEFAULT_MODEL, MODELS
from app.quant.report import SliceReport
from app.quant.surface import SurfaceSlice, VolSurface
from app.quant.year_fraction import days
from app.service.document import encode_document
from app.service.iso_time import iso_utc
from app.service.publish import maintained_document
from app.venues import VENUES

SKEW_DELTA: Final = 0.25
"""Skew is the 25-delta risk reversal: vol of the call minus vol of the put with this forward delta."""
COLUMNS: Final = (16, 7, 12, 9, 7, 8, 8, 8, 6)
"""Widths of the table; what was dropped follows unaligned."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the file, how to read it and what to print."""
    parser.add_argument("file", type=Path, help="a chain as the venue sends it: .json or .jsonl, may be gzipped")
    parser.add_argument("--venue", choices=VENUES, help="whose format it is (default: the file's name begins with it)")
    parser.add_argument("--model", choices=MODELS, default=DEFAULT_MODEL, help=f"default: {DEFAULT_MODEL}")
    parser.add_argument("--line", type=int, help="which chain of a .jsonl file, counted from 1 (default: the last)")
    parser.add_argument("--json", action="store_true", help="print the surface document instead of the table")


def run(arguments: argparse.Namespace) -> int:
    """Print the fit and return 0; a chain that cannot be read or fitted is explained on stderr."""
    try:
        recorded = recorded_body(arguments.file, arguments.venue, arguments.line)
        chain = VENUES[recorded.venue].parse(recorded.body, received_ms=0)
        maintained = maintain_surface(chain, model=arguments.model)
    except (OSError, InvalidRecording) as refused:
        print(refused, file=sys.stderr)
        return os.EX_DATAERR
    except NoSmile as nothing:
        print(f"{arguments.file}: {nothing}", file=sys.stderr)
        for excluded in nothing.excluded:
            print(f"  {_minute(excluded.expiry_ms)} {excluded.status}: {excluded.reason}", file=sys.stderr)
        return os.EX_DATAERR
    if arguments.json:
        print(encode_document(maintained_document(maintained, chain)).decode())
    else:
        print("\n".join(table(maintained.fit, chain)))
    return 0


def recorded_body(path: Path, venue: str | None, line: int | None) -> RecordedChain:
    """Return the chain in ``path``: its ``line``, counted from 1, or the last. Raises InvalidRecording without it."""
    chains = list(read_recorded(path, venue=venue))
    number = len(chains) if line is None else line
    if not 1 <= number <= len(chains):
        raise InvalidRecording(f"{path}: it has {len(chains)} chains, none is number {line}")
    return chains[number - 1]


def table(fit: SurfaceFit, chain: OptionChain) -> Iterator[str]:
    """Yield the lines that a person reads about ``fit``."""
    report = fit.report
    reason = f" ({fit.reason})" if fit.reason else ""
    yield f"{chain.underlying}  {iso_utc(chain.as_of_ms)}  {fit.surface.model}: {fit.status}{reason}"
    yield ""
    yield _row("expiry (UTC)", "days", "forward", "sd", "ATM %", "25d rr", "rmse", "inside", "used") + "  dropped"
    fitted = {each.expiry_ms: each for each in fit.surface.slices}
    for each in report.slices:
        if each.expiry_ms in fitted:
            yield _slice_row(each, fitted[each.expiry_ms], fit.surface)
    yield _row(
        "all", "", "", "", "", "", _points(report.rmse_vol), _percent(report.inside_spread), str(report.quotes_used)
    ) + _dropped(report.quotes_dropped)
    yield ""
    yield "In vol points: ATM, 25d rr (call minus put), rmse against mid vols. sd is that of the forward."
    yield _certificate_line(fit.certificate)
    excluded = [each for each in report.slices if each.expiry_ms not in fitted]
    for each in excluded:
        yield f"excluded {_minute(each.expiry_ms)} {each.status}: {each.reason}{_dropped(each.quotes_dropped)}"


def _slice_row(report: SliceReport, fitted: SurfaceSlice, surface: VolSurface) -> str:
    at_the_money = float(surface.vol(np.zeros(1), fitted.t)[0])
    return _row(
        _minute(report.expiry_ms),
        f"{days(report.t):.2f}",
        f"{fitted.forward:,.2f}",
        f"{fitted.forward_sd:.2f}",
        f"{100.0 * at_the_money:.2f}",
        _risk_reversal(fitted, surface),
        _points(report.rmse_vol),
        _percent(report.inside_spread),
        str(report.quotes_used),
    ) + _dropped(report.quotes_dropped)


def _risk_reversal(fitted: SurfaceSlice, surface: VolSurface) -> str:
    strikes = surface.strikes_at_delta(np.array([SKEW_DELTA, -SKEW_DELTA]), fitted.t, [True, False])
    if not np.isfinite(strikes).all():
        return "-"
    call, put = surface.vol(np.log(strikes / fitted.forward), fitted.t)
    return f"{100.0 * (call - put):+.2f}"


def _certificate_line(certificate: Certificate) -> str:
    if not certificate.arbitrage_free:
        return "certificate: ARBITRAGE: " + "; ".join(certificate.failures)
    if certificate.method is Evidence.GRID:
        return "certificate: no arbitrage seen on a grid, which proves nothing"
    gap = "-" if certificate.min_calendar_gap is None else f"{certificate.min_calendar_gap:.3g}"
    return (
        f"certificate: free of static arbitrage, {certificate.method} proof; smallest butterfly g"
        f" {certificate.min_butterfly_g:.3g}, smallest calendar gap {gap}, largest wing slope"
        f" {certificate.max_wing_slope:.3g} (at most 2)"
    )


def _row(*cells: str) -> str:
    return " ".join(cell.rjust(width) for cell, width in zip(cells, COLUMNS, strict=True))


def _dropped(counts: Mapping[str, int]) -> str:
    named = ", ".join(f"{count} {reason}" for reason, count in Counter(counts).most_common() if count)
    return f"  {named}" if named else ""


def _points(vol: float | None) -> str:
    return "-" if vol is None else f"{100.0 * vol:.3f}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100.0 * share:.1f} %"


def _minute(ms: int) -> str:
    return iso_utc(ms)[:16].replace("T", " ")
