"""How many WebSockets each caller has open in this process."""

import contextlib
from collections import Counter
from collections.abc import Iterator

from app.api.problem import TooManyRequests


class ConnectionCount:
    """Open connections by caller: a key's id, or the address of one that has not shown a key yet."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()

    @contextlib.contextmanager
    def one_of(self, caller: str, most: int) -> Iterator[None]:
        """Count one more while the block runs. Raises TooManyRequests beyond ``most``."""
        if self._open[caller] >= most:
            raise TooManyRequests(f"{caller} has {most} connections open: no more are served")
        self._open[caller] += 1
        try:
            yield
        finally:
            self._open[caller] -= 1
            if not self._open[caller]:
                del self._open[caller]
