"""Python's collector of cyclic garbage, as processes that run all day want it.

What a chain makes is freed by its reference counts; the collector only looks for cycles. Left alone it looks several
times a chain, and now and then at everything there is, which holds up a process for some 50 ms.
"""

import gc
from typing import Final

YOUNG_OBJECTS: Final = 10_000
"""More containers than this are made before they are looked at: a few chains' worth, looked at in about a ms."""


def collect_seldom() -> None:
    """Look for garbage after YOUNG_OBJECTS new containers; by default it is 700."""
    gc.set_threshold(YOUNG_OBJECTS)


def keep_what_is_there() -> None:
    """Never look again at the objects there are: a process that is set up keeps its modules until it ends."""
    gc.freeze()
