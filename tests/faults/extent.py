"""How far the fault tests go: the short form belongs to every run of the tests, the full one to ``make faults``.

FAULTS=full asks for the full form, FAULTS_SEED=n for another seed than the usual one. A seed is part of a test's name.
"""

import os
from typing import Final

FULL: Final = os.environ.get("FAULTS", "") == "full"
SEED: Final = int(os.environ.get("FAULTS_SEED") or 20261122)
KINDS: Final = ("valkey", "redis") if FULL else ("valkey",)
"""Servers that every test meets; the short form leaves Debian's to the tests that are about the server."""


def seeds(full: int) -> range:
    """Return the seeds of a test: one, or ``full`` of them in the full form."""
    return range(SEED, SEED + (full if FULL else 1))
