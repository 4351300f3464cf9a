"""Real servers for tests. A conftest that wants the ``server`` fixture imports it: ``from tests.servers import *``.

``server`` is a running, empty server, on every kind of server this machine has. ``valkey`` is the bundled one only, for
tests that are about our own code more than about the server. Both are shared by the tests of a module.
"""

import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from app.store.embedded import EmbeddedServer
from app.store.server_program import find_server
from tests.store.stored import until

__all__ = ["RealServer", "server", "shared_server", "shared_valkey", "valkey"]

DEBIAN_SERVER = Path("/usr/bin/redis-server")


class RealServer:
    """An embedded server that a test may kill, freeze, fill and start again."""

    def __init__(self, program: Path | None, *, appendfsync: str = "everysec", folder: Path | None = None) -> None:
        self.folder = folder or Path(tempfile.mkdtemp(prefix="smilekeeper-data-"))
        self.embedded = EmbeddedServer(self.folder, program=program, appendfsync=appendfsync)
        self.url = self.embedded.start()
        self._client: Any = redis.Redis.from_url(self.url, protocol=2)

    def start(self) -> None:
        assert self.embedded.start() == self.url

    def kill(self) -> None:
        """Power off: SIGKILL."""
        process = self.embedded.process
        assert process is not None
        process.kill()
        process.wait()

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def run(self, *command: Any) -> Any:
        """Send one command and return its answer."""
        return self._client.execute_command(*command)

    def write_out(self) -> None:
        """Return when its log holds every write so far, which a kill then leaves there."""
        until(lambda: self._client.info("persistence")["aof_buffer_length"] == 0)

    def append_only_file(self) -> Path:
        """Return the file that the next write is appended to."""
        found = [*self.folder.glob("appendonlydir/*.incr.aof"), *self.folder.glob("appendonly.aof")]
        return max(found, key=lambda path: path.stat().st_mtime)

    def close(self) -> None:
        if self.embedded.is_alive():
            self.thaw()
        self._client.close()
        self.embedded.stop()
        shutil.rmtree(self.folder)

    def _signal(self, number: signal.Signals) -> None:
        process = self.embedded.process
        assert process is not None
        process.send_signal(number)


@pytest.fixture(scope="module", params=["valkey", "redis"])
def shared_server(request: pytest.FixtureRequest) -> Iterator[RealServer]:
    yield from running_server(request.param)


@pytest.fixture(scope="module")
def shared_valkey() -> Iterator[RealServer]:
    yield from running_server("valkey")


@pytest.fixture
def server(shared_server: RealServer) -> RealServer:
    shared_server.run("FLUSHALL")
    return shared_server


@pytest.fixture
def valkey(shared_valkey: RealServer) -> RealServer:
    shared_valkey.run("FLUSHALL")
    return shared_valkey


def running_server(kind: str) -> Iterator[RealServer]:
    running = RealServer(program_of(kind))
    yield running
    running.close()


def program_of(kind: str) -> Path:
    """Return the program of "valkey", the bundled one, or "redis", Debian's; skip the test without it."""
    if kind == "valkey":
        return find_server()
    if not DEBIAN_SERVER.exists():
        pytest.skip(f"{DEBIAN_SERVER} is not installed")
    return DEBIAN_SERVER
