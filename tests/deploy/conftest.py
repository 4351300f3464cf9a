import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.deploy.files import PROMETHEUS
from tests.running_service import RunningService, free_port, running_service

READY_LIMIT_S = 300.0


@dataclass(frozen=True)
class RunningPrometheus:
    """A real server that scrapes the service once a second."""

    http: httpx.Client

    def ask(self, path: str, **parameters: str) -> Any:
        """Return the data of an answer; a query that does not parse fails."""
        answer = self.http.get(path, params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def series(self, expression: str) -> list[Any]:
        """Return the series ``expression`` has now."""
        found = self.ask("/api/v1/query", query=expression)["result"]
        assert isinstance(found, list)
        return found


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service that is sent its recorded market, two chains of each underlying a second."""
    if sys.platform != "linux":
        pytest.skip("processes are found through /proc")
    folder = tmp_path_factory.mktemp("deploy")
    settings = {"DEMO": "1", "SMILEKEEPER_DEMO_SPEED": "600", "SMILEKEEPER_CHALLENGERS": "svi"}
    with running_service(folder / "data", SMILEKEEPER_WORKERS="1", **settings) as running:
        yield running


@pytest.fixture(scope="session")
def prometheus(service: RunningService, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPrometheus]:
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus is not installed")
    folder = tmp_path_factory.mktemp("prometheus")
    config = {  # YAML that happens to be JSON
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(PROMETHEUS / "alerts.yml")],
        "scrape_configs": [
            {"job_name": "smilekeeper", "static_configs": [{"targets": [f"127.0.0.1:{service.port}"]}]},
        ],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))
    address = f"127.0.0.1:{free_port()}"
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [
                program,
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={address}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        with httpx.Client(base_url=f"http://{address}", timeout=60.0) as http:
            _wait_until_ready(http, folder / "log")
            yield RunningPrometheus(http)
    finally:
        server.kill()
        server.wait()


def _wait_until_ready(http: httpx.Client, log: Path) -> None:
    deadline = time.monotonic() + READY_LIMIT_S
    while time.monotonic() < deadline:
        try:
            if http.get("/-/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"Prometheus is not ready:\n{log.read_text()}")
