"""The C library's heap, as a process whose threads come and go with large requests wants it."""

import ctypes
from typing import Final

M_ARENA_MAX: Final = -8
"""glibc's number of the parameter (malloc.h)."""


def share_one_arena() -> None:
    """Let threads that start from now on allocate where the first one does; without glibc, do nothing.

    glibc gives each an arena of its own. With every large answer that is handed back to the kernel and fetched again
    page by page, up to a quarter of the answer's time, and none uses what another has freed. Python's threads mostly
    take turns, so they hardly meet in one.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, 1)
