"""Python's collector of cyclic garbage, as processes that run all day want it.

What a chain makes is freed by its reference counts; the collector only looks for cycles. Left alone it looks about
once a chain, for 0.2 ms, and now and then at everything there is, which holds up a process for 50 to 100 ms.
"""

import gc
from typing import Final

YOUNG_OBJECTS: Final = 10_000
"""So many containers more than were freed are there when it looks: after hundreds of chains, for 1 to 2 ms."""


def collect_seldom() -> None:
    """Look for garbage after YOUNG_OBJECTS new containers; by default it is 700."""
    gc.set_threshold(YOUNG_OBJECTS)


def keep_what_is_there() -> None:
    """Never look again at the objects there are: a process that is set up keeps its modules until it ends."""
    gc.freeze()
