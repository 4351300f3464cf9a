"""The health of an underlying as a person reads it at night: the verdict first, then a line a subject."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from app.service.document import DriftDocument, SurfaceMessage
from app.service.event import EventMessage

WIDTH: Final = 100
LABEL: Final = 13
"""Columns of the subject at the left."""
UNITS_MS: Final = (("days", 86_400_000), ("h", 3_600_000), ("min", 60_000))
COVERAGE_SLACK: Final = 0.05
"""A bucket this far below the stated level is marked: a hundred quotes scatter by about half as much."""


def screen(
    surface: SurfaceMessage,
    problems: Sequence[str],
    last_failure: str | None,
    counters: Mapping[str, int] | None,
    events: Sequence[EventMessage],
) -> list[str]:
    """Return the lines."""
    verdict = "HEALTHY" if not problems else "NOT HEALTHY"
    subjects = [
        ("", [f"{surface.underlying} is {verdict}", *(f"- {problem}" for problem in problems)]),
        ("surface", _surface(surface)),
        ("gate", [f"{surface.status}{f': {surface.reason}' if surface.reason else ''}"]),
        ("last failure", [last_failure] if last_failure else []),
        ("fit", _fit(surface)),
        ("certificate", _certificate(surface)),
        ("regime", [f"{surface.regime or 'unknown'}{f': {surface.regime_reason}' if surface.regime_reason else ''}"]),
        ("drift", list(_drift(surface.drift))),
        ("coverage", list(_coverage(surface))),
        ("chains", _chains(counters)),
        ("last events", [f"{each.at[:19]}Z {each.kind}: {each.message}" for each in events] or ["none is kept"]),
    ]
    return [line for subject, said in subjects for line in _lines(subject, said)]


def duration(ms: int) -> str:
    """Return a duration in the largest unit of which it has two or more."""
    for unit, unit_ms in UNITS_MS:
        if ms >= 2 * unit_ms:
            return f"{ms / unit_ms:.0f} {unit}"
    return f"{ms / 1e3:.1f} s"


def _lines(subject: str, said: Sequence[str]) -> Iterator[str]:
    for i, sentence in enumerate(said):
        indent = (subject if i == 0 else "").ljust(LABEL) if subject else ""
        yield from textwrap.wrap(
            sentence, WIDTH, initial_indent=indent, subsequent_indent=" " * (LABEL + 2 if subject else 2)
        )


def _surface(surface: SurfaceMessage) -> list[str]:
    fitted = sum(each.parameters is not None for each in surface.slices)
    age = f"{duration(surface.age_ms)} old{', STALE' if surface.stale else ''}"
    return [
        f"version {surface.version}, as of {surface.as_of}, {age}",
        f"model {surface.model}, {fitted} of {len(surface.slices)} expiries, {surface.fit.quotes_used} quotes",
    ]


def _fit(surface: SurfaceMessage) -> list[str]:
    fit = surface.fit
    return [
        f"rmse {100 * fit.rmse_vol:.3f} vol points, worst {100 * fit.max_error_vol:.2f},"
        f" {fit.inside_spread:.1%} of the quotes inside bid and ask"
    ]


def _certificate(surface: SurfaceMessage) -> list[str]:
    proof = surface.certificate
    gap = "no neighbours" if proof.min_calendar_gap is None else f"{proof.min_calendar_gap:.3g}"
    free = "free of arbitrage" if proof.arbitrage_free else "NOT free of arbitrage"
    return [
        f"{free} ({proof.method}): least g {proof.min_butterfly_g:.3g}, least calendar gap {gap},"
        f" steepest wing {proof.max_wing_slope:.3g} of 2"
    ]


def _drift(drift: DriftDocument) -> Iterator[str]:
    if drift.vol_rms is None:
        yield "no surface before"
        return
    tenors = ", ".join(f"{each.tenor} {100 * each.vol_rms:.3f}" for each in drift.per_tenor)
    yield f"{100 * drift.vol_rms:.3f} vol points since the surface before" + (f": {tenors}" if tenors else "")
    for alarm in drift.alarms:
        yield (
            f"ALARM {alarm.monitor} of the {alarm.tenor} {alarm.series}: {alarm.statistic:.2f},"
            f" limit {alarm.limit:g}, at {alarm.raised_at[:19]}Z"
        )


def _coverage(surface: SurfaceMessage) -> Iterator[str]:
    confidence = surface.confidence
    if confidence is None or confidence.coverage is None:
        yield "not known: no chain has followed a surface yet"
        return
    yield f"{confidence.coverage:.1%} of the quotes within bars of {confidence.level:.0%}"
    buckets = [
        f"{name} {share:.1%}{' LOW' if share < confidence.level - COVERAGE_SLACK else ''}"
        for name, share in sorted(confidence.per_bucket.items())
    ]
    if buckets:
        yield ", ".join(buckets)


def _chains(counters: Mapping[str, int] | None) -> list[str]:
    if counters is None:
        return ["not shown: the key is not for every underlying"]
    settled = {name: count for name, count in counters.items() if name != "received"}
    balance = counters["received"] - sum(settled.values())
    told = f"{counters['received']} received = " + " + ".join(f"{count} {name}" for name, count in settled.items())
    return [told if balance == 0 else f"{told}: {balance:+d} UNACCOUNTED FOR"]
