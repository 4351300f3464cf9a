"""A published surface can be accounted for: its chain is given back, and fitted again gives the same bytes."""

import os
import subprocess
import sys

import httpx

from app.venues import VENUES
from app.venues.native_body import native_body
from tests.e2e.conftest import renamed
from tests.running_service import RunningService


def verified(service: RunningService, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "REDIS_URL": "", "SMILEKEEPER_DATA_DIR": str(service.data_dir)}
    program = [sys.executable, "-m", "app", "replay", "--verify", *arguments]
    return subprocess.run(program, env=environment, capture_output=True, text=True, timeout=600, check=False)


def test_a_stored_chain_gives_the_published_bytes_again(
    service: RunningService, http: httpx.Client, recorded: list[bytes]
) -> None:
    bodies = [renamed(body, "AUDIT") for body in recorded[:3]]
    surfaces = [http.post("/v1/chains/deribit?wait_ms=20000", content=body).json() for body in bodies]
    for surface, body in zip(surfaces, bodies, strict=True):
        given_back = http.get(f"/v1/surfaces/AUDIT/chains/{surface['as_of']}")
        assert given_back.content == native_body(VENUES["deribit"].parse(body, received_ms=0))
    for arguments in (["AUDIT"], ["AUDIT", "--version", surfaces[0]["version"]]):
        ran = verified(service, *arguments)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert "the same" in ran.stdout
        assert "not as it was" not in ran.stdout
    assert verified(service, "AUDIT", "--version", "17").returncode == os.EX_DATAERR
