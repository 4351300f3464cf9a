"""Workers whose clocks are an hour off: leases, waits and versions go by the store's clock alone."""

import glob
import os
import subprocess
import sys

import pytest

from tests.faults.conftest import Crew
from tests.faults.figures import law
from tests.faults.test_worker_dies import settled
from tests.faults.worker_process import QUICK, work_undisturbed
from tests.store.stored import AS_OF_MS, HANGS_AFTER_S, OpenStore, until

CHAINS = 12


@pytest.mark.promise("T20")
@pytest.mark.parametrize("skew", ["-1h", "+1h"])
def test_a_worker_an_hour_off_works_beside_the_others(store: OpenStore, crew: Crew, skew: str) -> None:
    libraries = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
    if not libraries:
        pytest.skip("faketime is not installed")
    # Only the date is wrong: the steady clock, by which timeouts are kept, is not a matter of setting.
    clock = {"LD_PRELOAD": libraries[0], "FAKETIME": skew, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    command = [sys.executable, "-m", "tests.faults.worker_process", store.url, "skewed"]
    skewed = subprocess.Popen(command, env={**os.environ, **clock})
    try:
        crew.start_warm("true", target=work_undisturbed)
        until(lambda: store.run(store.api.fleet.status()).warm_workers == 2)
        fitted_by: set[bytes] = set()
        for step in range(CHAINS):
            for name in ("BTC", "ETH"):
                store.submit(name, AS_OF_MS + step, QUICK)
            for name in ("BTC", "ETH"):
                until(lambda name=name: settled(store, name))  # type: ignore[misc]
                fitted_by.add(store.newest_document(name) or b"")
        counts = [store.counts(name) for name in ("BTC", "ETH")]
        assert [each.fitted for each in counts] == [CHAINS, CHAINS], counts
        assert len(fitted_by) == 2, "both took part"
        law(
            "T20",
            f"chains fitted twice or stuck beside a worker at {skew}",
            sum(each.reclaimed + each.fenced + each.failed + each.pending for each in counts),
            at_most=0,
        )
    finally:
        skewed.terminate()
        assert skewed.wait(HANGS_AFTER_S) == 0
