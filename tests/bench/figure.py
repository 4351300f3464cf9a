"""A measured figure, and how figures are printed and kept."""

import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Figure:
    """``naive`` is the same measured in the same run on the textbook service (naive_service.py), where it has one."""

    name: str
    value: float
    unit: str
    naive: float | None = None

    @property
    def times_naive(self) -> float | None:
        """How many times the naive figure is larger (smaller, for rates)."""
        if self.naive is None:
            return None
        return self.value / self.naive if self.unit.endswith("/s") else self.naive / self.value


def percentiles(name: str, seconds: Sequence[float], naive: Sequence[float] = ()) -> list[Figure]:
    """Return p50 and p99 in milliseconds; of a handful of naive runs only the median means anything."""
    milliseconds = 1e3 * np.asarray(seconds)
    middle = 1e3 * float(np.median(naive)) if naive else None
    return [
        Figure(f"{name}, p50", float(np.percentile(milliseconds, 50)), "ms", middle),
        Figure(f"{name}, p99", float(np.percentile(milliseconds, 99)), "ms"),
    ]


def print_table(figures: Iterable[Figure]) -> None:
    """Print a line a figure."""
    print(f"{'':72} {'measured':>12}         {'naive':>10} {'ratio':>7}")
    for each in figures:
        naive = "" if each.naive is None else f"{each.naive:10.4g} {each.times_naive:6.0f}x"
        print(f"{each.name:72} {each.value:12.4g} {each.unit:8}{naive}", flush=True)


def write_json(figures: Iterable[Figure], path: Path) -> None:
    """Keep the figures and what they were measured on."""
    machine = {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }
    path.write_text(json.dumps({"machine": machine, "figures": [asdict(each) for each in figures]}, indent=1) + "\n")


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
