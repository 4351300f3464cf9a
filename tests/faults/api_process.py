"""The API alone, in a process of its own, over a server that belongs to the test."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from tests.running_service import free_port

UP_WITHIN_S = 60.0


class ApiProcess:
    """A started API; ``address`` is host:port."""

    def __init__(self, redis_url: str) -> None:
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "app", "api"],
            env={**os.environ, "REDIS_URL": redis_url, "SMILEKEEPER_PORT": str(port)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def wait_until_up(self) -> None:
        deadline = time.monotonic() + UP_WITHIN_S
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"http://{self.address}/livez", timeout=2.0).status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.05)
        raise AssertionError(f"the API did not answer within {UP_WITHIN_S:g} s")


@contextmanager
def api_process(redis_url: str) -> Iterator[ApiProcess]:
    """Give an API that answers; it does not outlive the block."""
    api = ApiProcess(redis_url)
    try:
        api.wait_until_up()
        yield api
    finally:
        api.process.kill()
        api.process.wait()
