"""Generated requests against the declared schema, over a real server."""

import asyncio
import sys

import pytest

from tests.api.conftest import Serving
from tests.api.memory_store import MemoryStore

pytestmark = pytest.mark.anyio

BEYOND_SCHEMA = "positive_data_acceptance"
"""Which format fits which venue, and that a point names one strike, are rules a schema cannot say."""


async def test_generated_requests_find_no_fault(serving: Serving, store: MemoryStore, tmp_path: object) -> None:
    pytest.importorskip("schemathesis", reason="generates the requests")
    store.publish("BTC")
    run = (sys.executable, "-m", "schemathesis.cli", "run", "--checks=all", f"--exclude-checks={BEYOND_SCHEMA}")
    limits = ("--max-examples=8", "--seed=17", "--request-timeout=5", "--phases=examples,coverage,fuzzing")
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
