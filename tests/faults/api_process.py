"""The API alone, in a process of its own, over a server that belongs to the test."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from tests.running_service import free_port
from tests.store.stored import HANGS_AFTER_S

UP_WITHIN_S = 300.0


class ApiProcess:
    """A started API; ``address`` is host:port."""

    def __init__(self, redis_url: str, **settings: str) -> None:
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "app", "api"],
            env={**os.environ, "REDIS_URL": redis_url, "SMILEKEEPER_PORT": str(port), **settings},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def wait_until_up(self) -> None:
        deadline = time.monotonic() + UP_WITHIN_S
        with httpx.Client(timeout=10.0) as client:
            while time.monotonic() < deadline:
                assert self.process.poll() is None, f"the API ended with {self.process.returncode}"
                try:
                    if client.get(f"http://{self.address}/livez").status_code == 200:
                        return
                except httpx.TransportError:
                    time.sleep(0.05)
        raise AssertionError(f"the API did not answer within {UP_WITHIN_S:g} s")


@contextmanager
def api_process(redis_url: str, *, store_answers_within_s: float = HANGS_AFTER_S) -> Iterator[ApiProcess]:
    """Give an API that answers; it does not outlive the block."""
    api = ApiProcess(redis_url, SMILEKEEPER_STORE_ANSWERS_WITHIN_S=f"{store_answers_within_s:g}")
    try:
        api.wait_until_up()
        yield api
    finally:
        api.process.kill()
        api.process.wait()
