"""A claimed chain to bytes: replayed bit for bit, state in and out, and every way not to publish."""

from dataclasses import replace

import msgspec
import pytest

from app.quant.chain import OptionChain
from app.quant.maintenance import MaintenanceState
from app.quant.models import DEFAULT_MODEL
from app.service.document import decode_document, encode_document
from app.service.factor_history import published_factors
from app.service.maintenance_state import VERSION, decode_state, encode_state
from app.service.ports import Claim, CorruptPayload, KeptChain, PublishedSurface
from app.service.recalibrate import CalibrationPolicy, Fitted, Unfit, keep_ready, recalibrate
from app.service.triggers import parse_triggers
from app.service.verify import verify
from tests.quant.market import maintained_series, recorded_chains

POLICY = CalibrationPolicy(model=DEFAULT_MODEL)


def claim_of(chain: OptionChain, before: Fitted | None) -> Claim:
    previous = None
    if before is not None:
        previous = PublishedSurface(chain.underlying, 1, 0, chain.as_of_ms - 1, 0, 0, 0, before.document, before.state)
    state = before.state if before else b""
    return Claim(chain.underlying, "1-1", 1, 1, chain.as_of_ms, chain.sequence, 0, b"", previous, 0, state)


def fitted(chain: OptionChain, before: Fitted | None, policy: CalibrationPolicy = POLICY) -> Fitted:
    answer = recalibrate(claim_of(chain, before), decode_chain=lambda _: chain, policy=policy)
    assert isinstance(answer, Fitted)
    return answer


def test_a_series_replays_bit_for_bit() -> None:
    runs = []
    for _ in range(2):
        answers: list[Fitted] = []
        for chain in recorded_chains("BTC", 4):
            answers.append(fitted(chain, answers[-1] if answers else None))
        runs.append(answers)
    assert runs[0] == runs[1]
    documents = [decode_document(answer.document) for answer in runs[0]]
    confidence = [document.confidence for document in documents]
    assert confidence[0] is not None
    assert confidence[0].coverage is None
    assert confidence[3] is not None
    assert confidence[3].coverage is not None
    assert confidence[3].per_bucket
    assert "confidence_level" in documents[0].units


def test_factors_are_those_that_the_published_document_tells() -> None:
    (chain,) = recorded_chains("BTC", 1)
    answer = fitted(chain, None)
    published = PublishedSurface(chain.underlying, 1, 0, chain.as_of_ms, 0, 0, 0, answer.document)
    assert answer.factors == published_factors(published), "number for number"


def test_a_fit_from_a_surface_kept_ready_is_the_same(caplog: pytest.LogCaptureFixture) -> None:
    first, second = recorded_chains("BTC", 2)
    before = fitted(first, None)
    read_anew = fitted(second, before)
    keep_ready(before.document)
    assert fitted(second, before) == read_anew
    keep_ready(b"{}")
    assert [record.message for record in caplog.records] == ["published_surface_unreadable"]


def test_a_surface_between_fits_says_so_and_replays_bit_for_bit() -> None:
    policy = CalibrationPolicy(model=DEFAULT_MODEL, triggers=parse_triggers("BTC=after:500s"))
    runs = []
    for _ in range(2):
        answers: list[Fitted] = []
        for chain in recorded_chains("BTC", 3):
            answers.append(fitted(chain, answers[-1] if answers else None, policy))
        runs.append(answers)
    assert runs[0] == runs[1]
    assert [answer.outcome for answer in runs[0]] == ["ok", "moved", "ok"]
    first, second, third = (decode_document(answer.document) for answer in runs[0])
    said = [document.recalibration for document in (first, second, third)]
    assert None not in said
    assert [(each.kind, each.fitted_as_of) for each in said if each] == [
        ("fit", first.as_of),
        ("moved", first.as_of),
        ("fit", third.as_of),
    ]
    assert [answer.factors.moved for answer in runs[0] if answer.factors] == [False, True, False]
    assert [each.reason.split()[0] for each in said if each] == ["it", "301.3", "after:"]
    assert [each.parameters for each in second.slices] == [each.parameters for each in first.slices]
    assert [each.forward for each in second.slices] != [each.forward for each in first.slices]


def test_a_moved_surface_is_verified_under_its_policy_only() -> None:
    policy = CalibrationPolicy(model=DEFAULT_MODEL, triggers=parse_triggers("after:500s"))
    first, second = recorded_chains("BTC", 2)
    before = fitted(first, None, policy)
    moved = fitted(second, before, policy)
    previous = claim_of(second, before).previous
    surface = claim_of(second, moved).previous
    assert surface is not None
    kept = KeptChain("BTC", 1, second.as_of_ms, b"", before.state)
    assert verify(surface, kept, previous, decode_chain=lambda _: second, policy=policy).is_same
    assert not verify(surface, kept, previous, decode_chain=lambda _: second, policy=POLICY).is_same


def test_without_its_state_a_series_learns_anew() -> None:
    first, second, third = recorded_chains("BTC", 3)
    before = fitted(second, fitted(first, None))
    forgetful = fitted(third, replace(before, state=b""))
    assert fitted(third, before).state != forgetful.state
    assert decode_document(fitted(third, before).document).slices[3].parameters is not None
    assert (
        decode_document(forgetful.document).slices[3].parameters
        == decode_document(fitted(third, before).document).slices[3].parameters
    )


def test_a_state_survives_its_bytes() -> None:
    state = maintained_series("BTC")[-1].state
    assert decode_state(encode_state(state)) == state
    assert len(encode_state(state)) < 4_000
    assert decode_state(b"") is None
    assert decode_state(b"\xff" + encode_state(state)[1:]) is None
    assert decode_state(VERSION + b"\x00damaged") is None
    assert decode_state(encode_state(MaintenanceState())) == MaintenanceState()


def test_a_damaged_chain_is_no_surface() -> None:
    def damaged(_: bytes) -> OptionChain:
        raise CorruptPayload("CRC-32 differs")

    answer = recalibrate(claim_of(recorded_chains("BTC", 4)[0], None), decode_chain=damaged, policy=POLICY)
    assert isinstance(answer, Unfit)
    assert (answer.reason, answer.outcome, answer.state) == (
        "stored chain cannot be read: CRC-32 differs",
        "corrupt",
        b"",
    )
    assert [event.kind for event in answer.events] == ["failed"]


def test_a_chain_without_a_smile_is_no_surface() -> None:
    chain = recorded_chains("BTC", 4)[0]
    late = replace(chain, as_of_ms=chain.expiries[-1].expiry_ms + 1)
    answer = recalibrate(claim_of(late, None), decode_chain=lambda _: late, policy=POLICY)
    assert isinstance(answer, Unfit)
    assert answer.outcome == "no_smile"


def test_a_rejected_chain_is_no_surface_and_is_remembered() -> None:
    first, second = recorded_chains("BTC", 2)
    before = fitted(first, None)
    partial = replace(second, expiries=second.expiries[:-1])
    answer = recalibrate(claim_of(partial, before), decode_chain=lambda _: partial, policy=POLICY)
    assert isinstance(answer, Unfit)
    assert answer.outcome == "rejected"
    assert "missing: 1 expiries" in answer.reason
    left = decode_state(answer.state)
    assert left is not None
    assert left.gate.rejected == 1


@pytest.mark.parametrize("model", ["svi", "essvi"])
def test_the_policy_names_the_model(model: str) -> None:
    chain = recorded_chains("BTC", 4)[0]
    policy = CalibrationPolicy(model=DEFAULT_MODEL, model_by_underlying=((chain.underlying, model),))
    answer = recalibrate(claim_of(chain, None), decode_chain=lambda _: chain, policy=policy)
    assert isinstance(answer, Fitted)
    assert decode_document(answer.document).model == model


@pytest.mark.parametrize("model", ["svi", "essvi"])
@pytest.mark.parametrize("underlying", ["BTC", "ETH"])
def test_a_model_that_takes_over_is_published_at_once(model: str, underlying: str) -> None:
    """Its step away from the surface of another model is no jump of the market's."""
    chains = recorded_chains(underlying, 6)
    before: Fitted | None = None
    for chain in chains[:5]:
        before = fitted(chain, before)
    claim = replace(claim_of(chains[5], before), model=model)
    answer = recalibrate(claim, decode_chain=lambda _: chains[5], policy=POLICY)
    assert isinstance(answer, Fitted), answer.reason
    document = decode_document(answer.document)
    assert document.model == model
    assert document.drift.alarms == []


def test_a_surface_that_fell_back_is_of_the_model_that_was_asked_for() -> None:
    first, second = recorded_chains("BTC", 2)
    before = fitted(first, None)
    document = decode_document(before.document)
    fell_back = msgspec.structs.replace(document, model="svi", reason="fell back to svi: svi_spline: g < 0")
    other = msgspec.structs.replace(document, model="svi", reason=None)
    warm, cold = (
        fitted(second, replace(before, document=encode_document(each))).document for each in (fell_back, other)
    )
    assert warm != cold


def test_a_promoted_model_overrides_the_setting_unless_nobody_knows_it(caplog: pytest.LogCaptureFixture) -> None:
    chain = recorded_chains("BTC", 1)[0]
    for promoted, expected in (("svi", "svi"), ("heston", DEFAULT_MODEL)):
        claim = replace(claim_of(chain, None), model=promoted)
        answer = recalibrate(claim, decode_chain=lambda _: chain, policy=POLICY)
        assert isinstance(answer, Fitted)
        assert decode_document(answer.document).model == expected
    assert "promoted_model_unknown" in caplog.text
