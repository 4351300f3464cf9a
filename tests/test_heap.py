"""Threads of the API allocate from one arena."""

import ctypes
import subprocess
import sys

import pytest

ALLOCATE_IN_THREADS = """
import ctypes, sys, threading
from app.heap import share_one_arena
if sys.argv[1] == "one":
    share_one_arena()
together = threading.Barrier(3)
def allocate():
    kept = bytearray(100_000)
    together.wait()
threads = [threading.Thread(target=allocate) for _ in range(3)]
for each in threads: each.start()
for each in threads: each.join()
ctypes.CDLL(None).malloc_stats()
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_stats"), reason="no glibc")
@pytest.mark.parametrize("wanted", ["one", "their own"])
def test_threads_share_an_arena_once_told(wanted: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ALLOCATE_IN_THREADS, wanted], check=True, capture_output=True, text=True
    )
    assert (done.stderr.count("Arena ") == 1) == (wanted == "one"), done.stderr
