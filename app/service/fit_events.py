"""What a fit has to say to people: the difference between the surface that stood and the one that replaces it."""

from collections.abc import Iterator

from app.quant.calibration import SurfaceStatus
from app.quant.regime import Regime
from app.service.document import DriftAlarm, SurfaceDocument
from app.service.event import EventKind, Notice, Value


def published_events(
    previous: SurfaceDocument | None, document: SurfaceDocument, *, rejected_before: int = 0
) -> tuple[Notice, ...]:
    """Return the events of publishing ``document`` after ``previous``, with ``rejected_before`` fits rejected between.

    What lasts is said once: a surface that stays degraded by the same rules, or a shift that goes on, is no news.
    """
    return (
        *_regime(previous, document),
        *_gate(previous, document, rejected_before),
        *_alarms(previous, document),
        *_roll(previous, document),
    )


def unfit_events(reason: str, outcome: str, as_of: str) -> tuple[Notice, ...]:
    """Return the event of a chain as of ``as_of`` that gave no surface; ``outcome`` as in recalibrate.Unfit."""
    kind = EventKind.GATE if outcome == SurfaceStatus.REJECTED else EventKind.FAILED
    said = "rejected, the surface before stays" if kind is EventKind.GATE else f"no surface ({outcome})"
    values: dict[str, Value] = {"status": outcome, "as_of": as_of}
    if kind is EventKind.GATE:
        values["rules"] = _named(reason)
    return (Notice(kind, f"chain as of {as_of}: {said}: {reason}", values),)


def rules_of(reason: str | None) -> frozenset[str]:
    """Return the names of the rules in a reason: what stands before the numbers, ``margin`` of ``margin: ...``."""
    return frozenset(part.partition(":")[0] for part in reason.split("; ")) if reason else frozenset()


def _named(reason: str | None) -> str:
    return ", ".join(sorted(rules_of(reason)))


def _regime(previous: SurfaceDocument | None, document: SurfaceDocument) -> Iterator[Notice]:
    was = previous is not None and previous.regime == Regime.SHIFT
    if (document.regime == Regime.SHIFT) == was:
        return
    if was:
        yield Notice(EventKind.REGIME, "the shift is over: the market is calm again", {"regime": document.regime})
    else:
        yield Notice(EventKind.REGIME, f"the market shifted: {document.regime_reason}", {"regime": document.regime})


def _gate(previous: SurfaceDocument | None, document: SurfaceDocument, rejected_before: int) -> Iterator[Notice]:
    ok = SurfaceStatus.OK.value
    before = (previous.status, rules_of(previous.reason)) if previous else (ok, frozenset[str]())
    if (document.status, rules_of(document.reason)) == before and not rejected_before:
        return
    after = f" after {rejected_before} rejected in a row" if rejected_before else ""
    if document.status == ok:
        after = after or f" after {before[0]}"
        message = f"published {ok} again{after}"
    else:
        message = f"published {document.status}{after}: {document.reason}"
    values: dict[str, Value] = {
        "status": document.status,
        "status_before": previous.status if previous else None,
        "rejected_before": rejected_before,
        "rules": _named(document.reason),
        "rmse_vol": document.fit.rmse_vol,
        "inside_spread": document.fit.inside_spread,
    }
    yield Notice(EventKind.GATE, message, values)


def _alarms(previous: SurfaceDocument | None, document: SurfaceDocument) -> Iterator[Notice]:
    known = {_identity(alarm) for alarm in previous.drift.alarms} if previous else set()
    for alarm in document.drift.alarms:
        if _identity(alarm) not in known:
            message = (
                f"drift: {alarm.monitor} of the {alarm.tenor} {alarm.series} is {alarm.statistic:.2f},"
                f" beyond {alarm.limit:g}"
            )
            values: dict[str, Value] = {
                "monitor": alarm.monitor,
                "tenor": alarm.tenor,
                "series": alarm.series,
                "statistic": alarm.statistic,
                "limit": alarm.limit,
            }
            yield Notice(EventKind.ALARM, message, values)


def _identity(alarm: DriftAlarm) -> tuple[str, str, str, str]:
    return alarm.monitor, alarm.tenor, alarm.series, alarm.raised_at


def _roll(previous: SurfaceDocument | None, document: SurfaceDocument) -> Iterator[Notice]:
    """Expiries are compared while they live: a chain may go on naming one that has expired."""
    if previous is None:
        return
    before, now = _alive(previous), _alive(document)
    for expiry in sorted(before - now):
        why = "expired" if expiry <= document.as_of else "the chain names it no longer"
        yield Notice(
            EventKind.ROLL,
            f"expiry {expiry} left: {why}; {len(now)} remain",
            {"change": "left", "expiry": expiry, "expiries": len(now)},
        )
    for expiry in sorted(now - before):
        yield Notice(
            EventKind.ROLL,
            f"expiry {expiry} entered; there are {len(now)}",
            {"change": "entered", "expiry": expiry, "expiries": len(now)},
        )


def _alive(document: SurfaceDocument) -> set[str]:
    return {each.expiry for each in document.slices if each.t > 0.0}
