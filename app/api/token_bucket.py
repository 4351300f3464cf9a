"""How often a client may ask: a bucket that fills steadily and pays for each message."""


class TokenBucket:
    """``burst`` messages at once, ``rate_per_s`` in the long run."""

    def __init__(self, rate_per_s: float, burst: int) -> None:
        self.rate_per_s = rate_per_s
        self._burst = float(burst)
        self._tokens = float(burst)
        self._filled_at_s: float | None = None

    def take(self, now_s: float) -> bool:
        """Pay for one message at ``now_s`` (a clock that only rises); False when the bucket is empty."""
        elapsed_s = 0.0 if self._filled_at_s is None else now_s - self._filled_at_s
        self._filled_at_s = now_s
        self._tokens = min(self._burst, self._tokens + elapsed_s * self.rate_per_s)
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
