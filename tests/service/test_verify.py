"""A surface fitted again: the same bytes, and what is no longer as it was."""

from dataclasses import replace
from functools import cache

import msgspec
import pytest

from app.quant.chain import OptionChain
from app.quant.gate_rules import GateRules
from app.quant.models import DEFAULT_MODEL, MODELS
from app.quant.models.base import FitOptions
from app.service.audit import chain_sha256
from app.service.document import decode_document, encode_document
from app.service.ports import KeptChain, PublishedSurface
from app.service.recalibrate import CalibrationPolicy, Fitted, recalibrate
from app.service.triggers import parse_triggers
from app.service.verify import Verification, verify
from app.store.codec import decode_chain, encode_chain
from tests.quant.market import recorded_chains
from tests.service.test_recalibrate import POLICY, claim_of

CODE = "0.1.0+0123456789ab"


@cache
def kept(model: str = DEFAULT_MODEL) -> tuple[PublishedSurface, KeptChain]:
    chain: OptionChain = recorded_chains("BTC", 1)[0]
    claim = replace(claim_of(chain, None), chain=encode_chain(chain))
    fitted = recalibrate(claim, decode_chain=decode_chain, policy=CalibrationPolicy(model, code_version=CODE))
    assert isinstance(fitted, Fitted)
    surface = PublishedSurface("BTC", 1, 0, chain.as_of_ms, 0, 0, 0, fitted.document)
    return surface, KeptChain("BTC", 1, chain.as_of_ms, claim.chain, b"")


def verified(surface: PublishedSurface, chain: KeptChain, code_version: str = CODE) -> Verification:
    return verify(surface, chain, None, decode_chain=decode_chain, policy=replace(POLICY, code_version=code_version))


def test_a_document_names_what_it_was_made_from() -> None:
    surface, chain = kept()
    document = decode_document(surface.document)
    assert document.chain_sha256 == chain_sha256(chain.chain)
    assert document.code_version == CODE
    assert document.settings_sha256 == POLICY.settings_sha256("BTC", DEFAULT_MODEL)


def test_settings_that_differ_have_another_hash() -> None:
    policies = [
        POLICY,
        replace(POLICY, options=FitOptions(prior_strength=0.2)),
        replace(POLICY, options=FitOptions(max_iterations=41)),
        replace(POLICY, rules=GateRules(rejected_error=0.3)),
        replace(POLICY, triggers=parse_triggers("BTC=after:30s")),
    ]
    hashes = {each.settings_sha256("BTC", model) for model in MODELS for each in policies}
    assert len(hashes) == len(policies) * len(MODELS)
    assert policies[-1].settings_sha256("ETH", DEFAULT_MODEL) == POLICY.settings_sha256("ETH", DEFAULT_MODEL)
    assert replace(POLICY, code_version=CODE).settings_sha256("BTC", DEFAULT_MODEL) == POLICY.settings_sha256(
        "BTC", DEFAULT_MODEL
    )


@pytest.mark.parametrize("model", [DEFAULT_MODEL, "svi"])
def test_the_same_code_gives_the_same_bytes(model: str) -> None:
    result = verified(*kept(model))
    assert result.is_same
    assert result.differences == ()


def test_a_promoted_model_is_the_one_named() -> None:
    chain = recorded_chains("BTC", 1)[0]
    claim = replace(claim_of(chain, None), chain=encode_chain(chain), model="svi")
    policy = CalibrationPolicy(DEFAULT_MODEL, code_version=CODE)
    fitted = recalibrate(claim, decode_chain=decode_chain, policy=policy)
    assert isinstance(fitted, Fitted)
    surface = PublishedSurface("BTC", 1, 0, chain.as_of_ms, 0, 0, 0, fitted.document)
    result = verified(surface, KeptChain("BTC", 1, chain.as_of_ms, claim.chain, b""))
    assert (result.is_same, result.differences) == (True, ())


def test_other_code_that_fits_alike_is_the_same_and_said() -> None:
    result = verified(*kept(), code_version="0.1.0+ba9876543210")
    assert result.is_same
    (said,) = result.differences
    assert said == f"code version: made by {CODE}, fitted again by 0.1.0+ba9876543210"


def test_other_settings_and_another_chain_are_said() -> None:
    surface, chain = kept()
    other = msgspec.structs.replace(decode_document(surface.document), settings_sha256="0" * 64, chain_sha256="1" * 64)
    result = verified(replace(surface, document=encode_document(other)), chain)
    assert not result.is_same
    assert [each.partition(":")[0] for each in result.differences] == ["settings", "chain"]


def test_a_surface_of_an_older_program_says_so() -> None:
    surface, chain = kept()
    older = msgspec.structs.replace(decode_document(surface.document), code_version=None, settings_sha256=None)
    result = verified(replace(surface, document=encode_document(older)), chain)
    assert [each.partition(":")[0] for each in result.differences] == ["code version"]
