"""GET /v1/surfaces/{u}/chains/{as_of}."""

import dataclasses

import pytest

from app.api.app import create_app
from app.api.services import ApiServices
from app.service.iso_time import iso_utc
from app.service.ports import KeptChain
from app.store.codec import decode_chain, encode_chain
from app.venues import VENUES
from app.venues.native_body import native_body
from tests.api.conftest import client_of

pytestmark = pytest.mark.anyio

CHAIN = VENUES["native"].parse(VENUES["native"].example, received_ms=0)


class OneChain:
    async def as_of(self, underlying: str, as_of_ms: int) -> KeptChain | None:
        if (underlying, as_of_ms) != ("BTC", CHAIN.as_of_ms):
            return None
        return KeptChain("BTC", 17, as_of_ms, encode_chain(CHAIN), b"")

    async def of_version(self, underlying: str, version: int) -> KeptChain | None:
        raise AssertionError(f"version {version} of {underlying} was asked for: the route goes by time")


async def test_a_chain_is_given_back_by_its_time(services: ApiServices) -> None:
    kept = dataclasses.replace(services, archive=OneChain(), decode_chain=decode_chain)
    async with client_of(create_app(kept)) as client:
        for time in (iso_utc(CHAIN.as_of_ms), str(CHAIN.as_of_ms), "2026-08-01T19:58:04.320+02:00"):
            answer = await client.get(f"/v1/surfaces/BTC/chains/{time}")
            assert (answer.status_code, answer.content) == (200, native_body(CHAIN))
            assert answer.headers["etag"] == '"17"'
        assert (await client.get(f"/v1/surfaces/BTC/chains/{CHAIN.as_of_ms + 1}")).status_code == 404
        assert (await client.get("/v1/surfaces/BTC/chains/yesterday")).status_code == 422
        assert (await client.get(f"/v1/surfaces/ETH/chains/{CHAIN.as_of_ms}")).status_code == 404
