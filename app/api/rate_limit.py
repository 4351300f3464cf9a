"""How often a key may ask, over all API processes: a bucket in the store, drawn from a tenth of a second at a time."""

import math
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from app.api.problem import TooManyRequests
from app.service.admission import RateBuckets
from app.service.ports import StoreUnavailable

DRAWS_PER_S: Final = 10.0
"""Trips to the store a busy key costs each process; a draw is what the key may ask in that time."""
BURST_S: Final = 2.0
"""What may come at once, in seconds of the rate."""


class RateLimit:
    """Requests drawn from the store and not yet made, by caller. While the store is away nobody is counted."""

    def __init__(
        self, buckets: RateBuckets, rate_per_s: float, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.rate_per_s = rate_per_s
        self._buckets = buckets
        self._monotonic = monotonic
        self._drawn: Counter[str] = Counter()
        self._empty_until_s: dict[str, float] = {}

    async def pay(self, caller: str) -> None:
        """Pay for one request. Raises TooManyRequests with the seconds until there is one again."""
        if self._drawn[caller] == 0:
            await self._draw(caller)
        self._drawn[caller] -= 1

    async def _draw(self, caller: str) -> None:
        wait_s = self._empty_until_s.get(caller, -math.inf) - self._monotonic()
        if wait_s <= 0.0:
            wanted = max(1, round(self.rate_per_s / DRAWS_PER_S))
            burst = max(1, round(self.rate_per_s * BURST_S))
            try:
                taken, wait_s = await self._buckets.take(caller, wanted, rate_per_s=self.rate_per_s, burst=burst)
            except StoreUnavailable:
                taken = 1
            self._drawn[caller] += taken
            if self._drawn[caller] > 0:
                return
            self._empty_until_s[caller] = self._monotonic() + wait_s
        raise TooManyRequests(f"at most {self.rate_per_s:g} requests a second with one key", wait_s)
