"""The client as a desk uses it, on the whole service: its chains fitted, its stream whole over a restart of the API."""

import asyncio
import os
import signal

import pytest

from app.client import AsyncClient, ChainOutcome, Client
from tests.e2e.conftest import renamed
from tests.running_service import RunningService

LIMIT_S = 120.0


def test_chains_in_surfaces_out(service: RunningService, recorded: list[bytes]) -> None:
    with Client(service.base_url) as desk:
        surface = desk.post_chain("deribit", renamed(recorded[0], "DESK"), wait_s=30.0)
        assert not isinstance(surface, ChainOutcome)
        assert surface.certificate.arbitrage_free
        vols = desk.evaluate("DESK", tenor_days=[30, 30, 30], delta=["25P", "ATM", "25C"], greeks=True)
        assert vols.status == ["ok"] * 3
        assert all(vol is not None and 0.2 < vol < 2.0 for vol in vols.vol)
        assert [each.version for each in desk.history("DESK")] == [surface.version]
        assert desk.chain("DESK", surface.as_of)["underlying"] == "DESK"
        quotes = desk.quotes("DESK")
        assert quotes == desk.quotes("DESK", version=surface.version) == desk.quotes("DESK", at=surface.as_of)
        assert [sum(each.used) for each in quotes.slices] == [each.quotes_used for each in surface.slices]


@pytest.mark.promise("T16", "T22")
def test_a_stream_outlives_the_api_process(service: RunningService, recorded: list[bytes]) -> None:
    async def follow() -> None:
        async with AsyncClient(service.base_url, retry_for_s=LIMIT_S) as desk, asyncio.timeout(LIMIT_S):
            stream = desk.stream("OUTLIVE")
            versions = ["0"]
            for number, body in enumerate(recorded[:6]):
                if number == 3:
                    (api,) = [pid for pid, line in service.processes().items() if "-m app api" in line]
                    os.kill(api, signal.SIGKILL)
                await desk.post_chain("deribit", renamed(body, "OUTLIVE"))
                heard = await anext(stream)
                assert (heard.follows, heard.surface.prev_version) == (True, versions[-1])
                versions.append(heard.surface.version)
            await stream.aclose()

    asyncio.run(follow())
