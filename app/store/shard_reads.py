"""Blocking reads of all shards, side by side.

Every shard is read by a task of its own, because no command of a cluster spans two slots, and a shard whose node is
away must not hold up the others. A task outlives the call that began it: giving up a wait loses nothing.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, Generic, TypeVar

from app.service.ports import StoreUnavailable
from app.store.links import BLOCK_S, FAIL_FAST_S

log = logging.getLogger(__name__)

T = TypeVar("T")
SHORTEST_WAIT_S: Final = 0.001


class ShardReads(Generic[T]):
    """The reads under way. ``read`` of each shard waits up to so many seconds; it is for one task.

    While some shards are away the others are read on; only when none is left is StoreUnavailable raised. ``linger_s``
    is how long a first answer waits for others, for a reader that puts them in order.
    """

    def __init__(self, read: Mapping[int, Callable[[float], Coroutine[Any, Any, T]]], linger_s: float = 0.0) -> None:
        self._read = read
        self._linger_s = linger_s
        self._under_way: dict[int, asyncio.Task[T]] = {}
        self._away_until: dict[int, float] = {}

    async def arrived(self, until: float) -> list[T]:
        """Return what was read, at least one shard's, which may be nothing at ``until`` by the monotonic clock."""
        now = time.monotonic()
        for shard, read in self._read.items():
            if shard not in self._under_way and self._away_until.get(shard, 0.0) <= now:
                block_s = min(max(until - now, SHORTEST_WAIT_S), BLOCK_S)
                self._under_way[shard] = asyncio.create_task(read(block_s))
        await asyncio.wait(self._under_way.values(), return_when=asyncio.FIRST_COMPLETED)
        if self._linger_s and len(self._read) > 1:
            await asyncio.sleep(self._linger_s)
        return self._collected()

    async def close(self) -> None:
        """End the reads."""
        for read in self._under_way.values():
            read.cancel()
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)

    def _collected(self) -> list[T]:
        found: list[T] = []
        failure = None
        for shard in [shard for shard, read in self._under_way.items() if read.done()]:
            try:
                found.append(self._under_way.pop(shard).result())
                self._away_until.pop(shard, None)
            except StoreUnavailable as away:
                failure = away
                if shard not in self._away_until and len(self._read) > 1:
                    log.warning("shard_unheard", extra={"shard": shard, "reason": str(away)})
                self._away_until[shard] = time.monotonic() + FAIL_FAST_S
        if failure and not found and len(self._away_until) == len(self._read):
            self._away_until.clear()  # the caller pauses, and then all are tried
            raise failure
        return found
