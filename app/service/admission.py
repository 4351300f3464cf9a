"""What the API asks of the store before it does a request's work: may this caller ask now, was this asked before."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """What was answered to a request, which ``fingerprint`` identifies; status 0 while it is still being worked on."""

    fingerprint: str
    status: int
    body: bytes


class RateBuckets(Protocol):
    """One token bucket a caller, shared by all API processes (asyncio). Raises StoreUnavailable."""

    async def take(self, caller: str, wanted: int, *, rate_per_s: float, burst: int) -> tuple[int, float]:
        """Take up to ``wanted`` requests out of the caller's bucket.

        It holds ``burst`` and fills with ``rate_per_s``. Returns how many were taken and, when none, how many seconds
        until there is one.
        """
        ...


class AnswerMemory(Protocol):
    """Answers to requests that carry an Idempotency-Key (asyncio). Every method raises StoreUnavailable."""

    async def begin(self, caller: str, key: str, fingerprint: str) -> KeptAnswer | None:
        """Return what the key was used for before; None says that it is new, and the request is now being worked on."""
        ...

    async def keep(self, caller: str, key: str, answer: KeptAnswer) -> None:
        """Keep the answer for whoever sends the request again."""
        ...

    async def forget(self, caller: str, key: str) -> None:
        """Give the key free: the request failed and may be tried again."""
        ...
