"""Generated requests against the declared schema, over a real server."""

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.api.conftest import Serving
from tests.api.memory_store import MemoryStore

pytestmark = pytest.mark.anyio

BEYOND_SCHEMA: Final[Mapping[str, str]] = {
    "POST /v1/chains/{venue}": "which of the body's formats goes with which venue (a path parameter); that columns have"
    " one length, expiries ascend by day and names of instruments exist; that as_of is not ahead of the clock",
    "GET /v1/correlations": "that each underlying is named once and that a window has no more than 10,080 bars",
    "GET /v1/surfaces/{underlying}/quotes": "that a surface is named by at or by version, not by both",
    "POST /v1/surfaces/{underlying}/evaluate": "that columns have one length; that each row names one of expiry and"
    " tenor_days and one of strike, delta and log_moneyness; that a delta's sign and its type agree; that an expiry is"
    " within the horizon of the surface",
}
"""Operations that refuse what their schema allows, and the rules across fields that JSON Schema has no words for."""


async def test_generated_requests_find_no_fault(serving: Serving, store: MemoryStore, tmp_path: Path) -> None:
    pytest.importorskip("schemathesis", reason="generates the requests")
    store.publish("BTC")
    (tmp_path / "schemathesis.toml").write_text(
        "[checks]\nenabled = true\n"
        + "".join(
            f'[[operations]]\ninclude-name = "{name}"\nchecks.positive_data_acceptance.enabled = false\n'
            for name in BEYOND_SCHEMA
        )
    )
    # Without --checks all of them are run; named there, they would overrule the file.
    run = (sys.executable, "-m", "schemathesis.cli", "run")
    limits = ("--max-examples=8", "--seed=17", "--request-timeout=60", "--phases=examples,coverage,fuzzing")
    async with serving() as address:
        process = await asyncio.create_subprocess_exec(
            *run,
            *limits,
            f"http://{address}/openapi.json",
            cwd=str(tmp_path),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()[-6_000:]
