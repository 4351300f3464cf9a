"""The real service in its own processes: `python -m app run` on a free port with a data folder of its own."""

import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

JSON = {"Content-Type": "application/json"}
READY_LIMIT_S = 300.0
STOP_LIMIT_S = 5.0
"""Ctrl-C ends everything within this; the service promises it."""
HANG_FACTOR = 20.0
"""What takes so many times as long as promised hangs; a machine that is busy with other things may need some of it."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def descendants(pid: int) -> list[int]:
    """Return the living processes that ``pid`` started, and theirs (Linux)."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if fields[0] != "Z":
            parents.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, unseen = [], [pid]
    while unseen:
        children = parents.get(unseen.pop(), [])
        found += children
        unseen += children
    return found


def command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


def is_running(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class RunningService:
    """A started service; ``log`` is what it wrote to stderr, ``ready_after_s`` counts from its start."""

    def __init__(self, data_dir: Path, **settings: str) -> None:
        self.port = free_port()
        self.base_url = f"http://127.0.0.1:{self.port}"
        self.stream_url = f"ws://127.0.0.1:{self.port}/v1/stream"
        self.data_dir = data_dir
        self.log = data_dir.with_suffix(".log")
        environment = {
            **os.environ,
            "DEMO": "0",
            "SMILEKEEPER_PORT": str(self.port),
            "SMILEKEEPER_DATA_DIR": str(data_dir),
            "SMILEKEEPER_LOG_FORMAT": "json",
            "SMILEKEEPER_STORE_ANSWERS_WITHIN_S": "60",  # a machine that is busy with other things is no fault
            **settings,
        }
        self.started = time.monotonic()
        self.ready_after_s = math.nan
        with self.log.open("ab") as log:
            self.supervisor = subprocess.Popen(
                [sys.executable, "-m", "app", "run"], env=environment, stdout=subprocess.DEVNULL, stderr=log
            )

    def wait_until_ready(self) -> float:
        """Return the seconds from the start to the first ready answer."""
        # One client for all attempts: each new one takes 30 ms of a core that the service wants for its own start.
        with httpx.Client(timeout=10.0) as client:
            while time.monotonic() - self.started < READY_LIMIT_S:
                try:
                    if client.get(f"{self.base_url}/readyz").status_code == 200:
                        return time.monotonic() - self.started
                except httpx.TransportError:
                    pass
                if self.supervisor.poll() is not None:
                    break
                time.sleep(0.02)
        raise AssertionError(f"not ready:\n{self.log.read_text()}")

    def processes(self) -> dict[int, str]:
        """Return the command line of every process of the service by pid, the supervisor's first."""
        pids = [self.supervisor.pid, *descendants(self.supervisor.pid)]
        return {pid: command_line(pid) for pid in pids}

    def workers(self) -> list[int]:
        return [pid for pid, line in self.processes().items() if "-m app worker" in line]

    def stop(self, number: int = signal.SIGINT) -> float:
        """Signal the supervisor and return how long it took to end."""
        started = time.monotonic()
        self.supervisor.send_signal(number)
        self.supervisor.wait(timeout=HANG_FACTOR * STOP_LIMIT_S)
        return time.monotonic() - started


@contextmanager
def running_service(data_dir: Path, **settings: str) -> Iterator[RunningService]:
    """Give a ready service; whatever happens, none of its processes outlives the block."""
    service = RunningService(data_dir, **settings)
    try:
        service.ready_after_s = service.wait_until_ready()
        yield service
    finally:
        if service.supervisor.poll() is None:
            service.supervisor.kill()  # its children die with it
            service.supervisor.wait()
