"""Tokens of waiting underlyings: read from the queues' consumer group, or taken over when a lease ran out."""

import time
from collections.abc import Mapping
from typing import Final, NamedTuple

from app.service.ports import StoreUnavailable
from app.store import lua
from app.store.keys import GROUP, Keys
from app.store.links import BlockingLink

RECLAIM_EVERY_S: Final = 0.25
"""How often an idle worker looks for leases that ran out: what a dead worker adds to the lease."""
FORGET_CONSUMER_AFTER_MS: Final = 3_600_000
"""A consumer silent this long belongs to a process that is gone."""


class Token(NamedTuple):
    """An entry of a shard's queue."""

    shard: int
    name: str
    underlying: str


class Tokens:
    """The queues as one consumer sees them. Every method raises StoreUnavailable."""

    def __init__(
        self, link: BlockingLink, blocking: BlockingLink, keys: Keys, *, consumer: str, lease_s: float
    ) -> None:
        self._link = link
        self._blocking = blocking
        self._keys = keys
        self._consumer = consumer
        self._lease_ms = round(lease_s * 1e3)
        self._reclaim_at = 0.0
        self._groups_made = False

    def take(self, timeout_s: float) -> Token | None:
        """Return a token whose lease ran out, else wait for a new one; None after ``timeout_s`` or sooner."""
        try:
            self._make_groups()
            return self._expired() or self._next(timeout_s)
        except StoreUnavailable:
            self._groups_made = False  # a server that lost its data has lost the groups too
            raise

    def leave(self) -> None:
        """Take the consumer out of the groups, where it holds nothing any more."""
        if self._groups_made:  # else nothing was ever taken: a worker may end before it is warm
            self._tidy_groups(self._consumer)

    def _make_groups(self) -> None:
        if not self._groups_made:
            self._tidy_groups(leaving="")
            self._groups_made = True

    def _tidy_groups(self, leaving: str) -> None:
        for shard in self._keys.shards:
            self._link.call(lua.GROUP, [self._keys.queue(shard)], [leaving, str(FORGET_CONSUMER_AFTER_MS)])

    def _expired(self) -> Token | None:
        if time.monotonic() < self._reclaim_at:
            return None
        for shard in self._keys.shards:
            cursor = "0-0"
            while True:
                queue = self._keys.queue(shard)
                answer = self._link.run("XAUTOCLAIM", queue, GROUP, self._consumer, self._lease_ms, cursor, "COUNT", 1)
                if answer[1]:
                    return _token(shard, answer[1][0])
                cursor = answer[0].decode()
                if cursor == "0-0":
                    break
        self._reclaim_at = time.monotonic() + RECLAIM_EVERY_S
        return None

    def _next(self, timeout_s: float) -> Token | None:
        queues = {self._keys.queue(shard).encode(): shard for shard in self._keys.shards}
        block_ms = max(1, round(min(timeout_s, RECLAIM_EVERY_S) * 1e3))
        reading = ("XREADGROUP", "GROUP", GROUP, self._consumer, "COUNT", 1, "BLOCK", block_ms, "STREAMS")
        answer = self._blocking.run(*reading, *queues, *[">"] * len(queues))
        if not answer:
            return None
        mine, *others = [_token(queues[queue], entries[0]) for queue, entries in answer]
        for other in others:  # every shard may give one, and only one can be fitted
            self._link.call(
                lua.PUT_BACK,
                [self._keys.queue(other.shard), self._keys.state(other.underlying)],
                [other.name, other.underlying],
            )
        return mine


def _token(shard: int, entry: tuple[bytes, Mapping[bytes, bytes]]) -> Token:
    name, fields = entry
    return Token(shard, name.decode(), fields[b"underlying"].decode())
