"""What a fit says to people: each change once, with its numbers, and nothing while nothing changes."""

from dataclasses import replace
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.openapi import EVENT_EXAMPLE
from app.service.document import DriftAlarm, SurfaceDocument
from app.service.event import EventKind, Notice
from app.service.fit_events import published_events, rules_of, unfit_events
from app.service.publish import maintained_document
from app.service.recalibrate import Unfit, recalibrate
from tests.quant.market import maintained_series, recorded_chains
from tests.service.test_recalibrate import POLICY, claim_of, fitted

ALARM = DriftAlarm("cusum", "1w", "level", 9.61, 9.5, "2023-04-12T06:00:00.000Z")


@pytest.fixture(scope="module")
def document() -> SurfaceDocument:
    return msgspec.json.decode(fitted(recorded_chains("BTC", 1)[0], None).document, type=SurfaceDocument)


def changed(document: SurfaceDocument, **changes: object) -> SurfaceDocument:
    alarms = changes.pop("alarms", None)
    if alarms is not None:
        changes["drift"] = msgspec.structs.replace(document.drift, alarms=alarms)
    return msgspec.structs.replace(document, **changes)


def said(events: tuple[Notice, ...]) -> list[tuple[str, str]]:
    return [(event.kind.value, event.message) for event in events]


def test_a_surface_like_the_one_before_says_nothing(document: SurfaceDocument) -> None:
    assert document.status == "ok"
    assert published_events(None, document) == ()
    assert published_events(document, document) == ()


def test_a_shift_is_said_when_it_begins_and_when_it_is_over(document: SurfaceDocument) -> None:
    shift = changed(document, regime="shift", regime_reason="level moved by 0.05, 9.1 times its usual change")
    assert said(published_events(document, shift)) == [
        ("regime", "the market shifted: level moved by 0.05, 9.1 times its usual change")
    ]
    assert published_events(shift, shift) == ()
    assert said(published_events(shift, document)) == [("regime", "the shift is over: the market is calm again")]


def test_the_gate_is_heard_when_status_or_rule_changes(document: SurfaceDocument) -> None:
    thin = changed(document, status="degraded", reason="margin: least Durrleman g is 5e-05, less than 0.0001")
    thinner = changed(thin, reason="margin: least Durrleman g is 4e-05, less than 0.0001")
    wide = changed(thin, reason=f"error: RMS vol error is 0.06, more than 0.05; {thin.reason}")
    (first,) = published_events(document, thin)
    assert first.message == "published degraded: margin: least Durrleman g is 5e-05, less than 0.0001"
    assert (first.values["status"], first.values["rules"]) == ("degraded", "margin")
    assert published_events(thin, thinner) == (), "the same rule, another number"
    (second,) = published_events(thin, wide)
    assert second.values["rules"] == "error, margin"
    assert said(published_events(wide, document)) == [("gate", "published ok again after degraded")]
    assert said(published_events(document, document, rejected_before=2)) == [
        ("gate", "published ok again after 2 rejected in a row")
    ]
    assert published_events(None, thin)[0].values["status_before"] is None


def test_a_held_alarm_is_said_once(document: SurfaceDocument) -> None:
    one = changed(document, alarms=[ALARM])
    again = msgspec.structs.replace(ALARM, raised_at="2023-04-12T06:30:00.000Z")
    assert said(published_events(document, one)) == [("alarm", "drift: cusum of the 1w level is 9.61, beyond 9.5")]
    assert published_events(one, one) == ()
    assert len(published_events(one, changed(document, alarms=[ALARM, again]))) == 1
    assert published_events(one, document) == ()


def test_expiries_that_come_and_go_are_said(document: SurfaceDocument) -> None:
    first, *others = document.slices
    later = changed(document, slices=others)
    (left,) = published_events(document, later)
    assert left.message == f"expiry {first.expiry} left: the chain names it no longer; {len(others)} remain"
    assert published_events(document, changed(later, as_of=first.expiry))[0].message.startswith(
        f"expiry {first.expiry} left: expired"
    )
    (entered,) = published_events(later, document)
    assert (entered.values["change"], entered.values["expiry"]) == ("entered", first.expiry)
    dead = msgspec.structs.replace(first, t=-0.001)
    assert published_events(later, changed(document, slices=[dead, *others])) == (), "it expired before it came"


def test_what_gives_no_surface_is_rejected_or_failed() -> None:
    (rejected,) = unfit_events("inside: share is 0.2, less than 0.35", "rejected", "2023-04-12T06:00:00.000Z")
    assert (rejected.kind, rejected.values["rules"]) == (EventKind.GATE, "inside")
    for outcome in ("no_smile", "corrupt", "error"):
        (failed,) = unfit_events("why", outcome, "2023-04-12T06:00:00.000Z")
        assert failed.kind is EventKind.FAILED
        assert failed.message == f"chain as of 2023-04-12T06:00:00.000Z: no surface ({outcome}): why"


@given(st.lists(st.sampled_from(["margin", "error", "inside", "jump"]), min_size=1, unique=True), st.floats(0, 1))
def test_rules_are_named_without_their_numbers(names: list[str], value: float) -> None:
    assert rules_of("; ".join(f"{name}: it is {value}" for name in names)) == set(names)


def test_a_rejected_chain_and_the_one_after_it_are_heard() -> None:
    first, second, third = recorded_chains("BTC", 3)
    before = fitted(first, None)
    partial = replace(second, expiries=second.expiries[:-1])
    refused = recalibrate(claim_of(partial, before), decode_chain=lambda _: partial, policy=POLICY)
    assert isinstance(refused, Unfit)
    assert [event.values.get("rules") for event in refused.events] == ["missing"]
    after = fitted(third, replace(before, state=refused.state))
    assert ("gate", "published ok again after 1 rejected in a row") in said(after.events)


def test_the_inflation_figures_of_the_recorded_day_are_heard() -> None:
    """The documentation's example among them; its numbers are those of one version of the fit."""
    documents = [
        maintained_document(maintained, chain)
        for maintained, chain in zip(maintained_series("BTC"), recorded_chains("BTC"), strict=True)
    ]
    events = [
        (after.as_of[11:16], event)
        for before, after in pairwise(documents)
        for event in published_events(before, after)
    ]
    at_the_release = [(event.kind, event.message) for at, event in events if "12:30" <= at < "12:40"]
    assert [kind for kind, _ in at_the_release][:2] == ["regime", "gate"]
    documented = EVENT_EXAMPLE["values"]
    assert isinstance(documented, dict)
    names = ("monitor", "tenor", "series", "limit")
    alarms = [event for _, event in events if event.kind == EVENT_EXAMPLE["kind"]]
    example = next(each for each in alarms if all(each.values[name] == documented[name] for name in names))
    assert example.message.startswith("drift: ewma of the 1w level is ")
    assert example.values == {**documented, "statistic": pytest.approx(documented["statistic"], rel=0.15)}
