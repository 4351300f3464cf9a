"""The whole service under twice its nominal load: nothing grows but what is meant to."""

import itertools
import os
import re
import threading
import time
from collections import defaultdict
from pathlib import Path

import httpx
import numpy as np
import pytest
import redis

from app.store.data_folder import running_url
from tests.bench.market import next_chain
from tests.faults.extent import FULL, KINDS
from tests.faults.figures import Figure, keep
from tests.running_service import JSON, RunningService, running_service
from tests.servers import program_of

LASTS_S = float(os.environ.get("FAULTS_SOAK_S") or 60.0)
"""The promise is about half an hour: FAULTS_SOAK_S=1800."""
HISTORY = "20"
WARM_UP_S = 40.0
"""At full speed, until histories, pools and caches (of some hundred fits) have reached their size."""
NAMES = ("BTC", "ETH")
PER_S = 4.0
"""Chains a second, all underlyings together: a market that moves every second, twice over."""
GROWTH_LIMIT_MIB = 1.0 if LASTS_S >= 600.0 else 6.0
"""In ten minutes. A minute's slope is mostly the allocator's noise."""


class Gauges:
    """Resident memory and open files of every process, and the store's memory, sampled over time."""

    def __init__(self, service: RunningService, data_dir: Path) -> None:
        self._processes = {pid: _role(line) for pid, line in service.processes().items()}
        self._store = redis.Redis.from_url(running_url(data_dir), protocol=2)
        self._samples: dict[str, list[tuple[float, float]]] = defaultdict(list)

    def sample(self) -> None:
        now = time.monotonic()
        for pid, role in self._processes.items():
            status = Path(f"/proc/{pid}/status").read_text()
            resident = re.search(r"VmRSS:\s+(\d+)", status)
            assert resident is not None
            self._samples[f"resident MiB, {role}"].append((now, int(resident[1]) / 1024.0))
            self._samples[f"open files, {role}"].append((now, len(os.listdir(f"/proc/{pid}/fd"))))
        used = self._store.info("memory")["used_memory"] / 2.0**20
        self._samples["MiB by the store's own account"].append((now, used))

    def growth(self) -> dict[str, float]:
        """Return the fitted growth in ten minutes, by gauge."""
        return {
            name: 600.0 * float(np.polynomial.polynomial.polyfit(*np.transpose(samples), 1)[1])
            for name, samples in self._samples.items()
        }

    def close(self) -> None:
        self._store.close()


def _role(command_line: str) -> str:
    named = re.search(r"-m app (\w+)", command_line)
    return named[1] if named else "store"


def _feed(base_url: str, warm: threading.Event, over: threading.Event) -> None:
    """Post chains as fast as they are taken until ``warm``, then at the soak's pace."""
    with httpx.Client(base_url=base_url, headers=JSON, timeout=15.0) as http:
        for name in itertools.cycle(NAMES):
            http.post("/v1/chains/deribit", content=next_chain(name))
            if over.wait(1.0 / PER_S if warm.is_set() else 0.0):
                return


@pytest.mark.promise("T21")
@pytest.mark.skipif(not FULL, reason="takes minutes: part of `make faults`")
@pytest.mark.timeout(LASTS_S + WARM_UP_S + 180.0)
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_grows(kind: str, tmp_path: Path) -> None:
    warm, over = threading.Event(), threading.Event()
    settings = {
        "SMILEKEEPER_WORKERS": "1",
        "SMILEKEEPER_HISTORY_LIMIT": HISTORY,
        "SMILEKEEPER_REDIS_BIN": str(program_of(kind)),
    }
    with running_service(tmp_path / "data", **settings) as service:
        feeding = threading.Thread(target=_feed, args=(service.base_url, warm, over))
        feeding.start()
        try:
            time.sleep(WARM_UP_S)
            warm.set()
            gauges = Gauges(service, tmp_path / "data")
            end = time.monotonic() + LASTS_S
            while time.monotonic() < end:
                gauges.sample()
                time.sleep(0.5)
        finally:
            over.set()
            feeding.join()
        gauges.close()
    keep(
        [
            Figure("T21", f"growth in 10 min over {LASTS_S:g} s: {name}", growth, "", GROWTH_LIMIT_MIB, law=False)
            for name, growth in gauges.growth().items()
        ]
    )
