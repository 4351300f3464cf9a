"""How long to wait before a store that is away is asked again."""

import random
from typing import Final

FIRST_PAUSE_S: Final = 0.05
LONGEST_PAUSE_S: Final = 2.0
"""Between attempts to reach a store that is away; a restarted one is found within about as much."""


class Pause:
    """Pauses that double, with jitter so that workers do not return to a restarted store all at once."""

    def __init__(self) -> None:
        self._longest_s = FIRST_PAUSE_S

    def next_s(self) -> float:
        """Return the next pause."""
        pause_s = self._longest_s * random.uniform(0.5, 1.0)
        self._longest_s = min(2.0 * self._longest_s, LONGEST_PAUSE_S)
        return pause_s

    def forget(self) -> None:
        """Begin with the shortest pause again."""
        self._longest_s = FIRST_PAUSE_S
