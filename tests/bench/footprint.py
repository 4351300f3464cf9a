"""What the processes take: resident memory of each."""

from collections.abc import Iterator
from pathlib import Path

from tests.bench.figure import Figure
from tests.running_service import RunningService


def figures(service: RunningService) -> Iterator[Figure]:
    for pid, line in service.processes().items():
        yield Figure(f"resident memory, {_role(line)}", _resident_mib(pid), "MiB")


def _role(command_line: str) -> str:
    words = command_line.split()
    return " ".join(words[words.index("app") + 1 :][:1]) if "app" in words else Path(words[0]).name


def _resident_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return float(line.split()[1]) / 1024.0
    raise AssertionError(f"process {pid} has no resident memory")
