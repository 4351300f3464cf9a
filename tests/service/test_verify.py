"""A surface fitted again: the same bytes, and what is no longer as it was."""

from dataclasses import replace
from functools import cache

import msgspec
import pytest

from app.quant.chain import OptionChain
from app.quant.models import DEFAULT_MODEL, MODELS
from app.quant.models.base import FitOptions
from app.service.audit import chain_sha256, settings_sha256
from app.service.document import decode_document, encode_document
from app.service.ports import KeptChain, PublishedSurface
from app.service.recalibrate import CalibrationPolicy, Fitted, recalibrate
from app.service.verify import Verification, verify
from app.store.codec import decode_chain, encode_chain
from tests.quant.market import recorded_chains
from tests.service.test_recalibrate import claim_of

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
    return verify(surface, chain, None, decode_chain=decode_chain, code_version=code_version)


def test_a_document_names_what_it_was_made_from() -> None:
    surface, chain = kept()
    document = decode_document(surface.document)
    assert document.chain_sha256 == chain_sha256(chain.chain)
    assert document.code_version == CODE
    assert document.settings_sha256 == settings_sha256(DEFAULT_MODEL, FitOptions())


def test_settings_that_differ_have_another_hash() -> None:
    options = [FitOptions(), FitOptions(prior_strength=0.2), FitOptions(max_iterations=41)]
    assert len({settings_sha256(model, each) for model in MODELS for each in options}) == 3 * len(MODELS)


@pytest.mark.parametrize("model", [DEFAULT_MODEL, "svi"])
def test_the_same_code_gives_the_same_bytes(model: str) -> None:
    result = verified(*kept(model))
    assert result.is_same
    assert result.differences == ()


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
