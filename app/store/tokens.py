"""Tokens of waiting underlyings: read from the queues' consumer group, or taken over when a lease ran out."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from app.service.ports import StoreUnavailable
from app.store import lua
from app.store.bells import Bells
from app.store.blocking_link import BlockingLink
from app.store.keys import GROUP, Keys

log = logging.getLogger(__name__)

RECLAIM_EVERY_S: Final = 0.25
"""How often an idle worker looks for leases that ran out: what a dead worker adds to the lease."""
FORGET_CONSUMER_AFTER_MS: Final = 3_600_000
"""A consumer silent this long belongs to a process that is gone."""


class Token(NamedTuple):
    """An entry of a shard's queue."""

    shard: int
    name: str
    underlying: str


Question = Callable[[int], Token | None]
"""What a shard is asked for."""


class Tokens:
    """The queues as one consumer sees them. Every method raises StoreUnavailable.

    ``blocking`` has a connection for each shard. While one of several shards is away, the others are worked on.
    """

    def __init__(
        self, link: BlockingLink, blocking: BlockingLink, keys: Keys, *, consumer: str, lease_s: float
    ) -> None:
        self._link = link
        self._blocking = blocking
        self._keys = keys
        self._consumer = consumer
        self._lease_ms = round(lease_s * 1e3)
        self._reclaim_at = 0.0
        self._joined: set[int] = set()
        """Shards whose consumer group is known to be there."""
        self._bells = Bells(blocking, keys) if len(keys.shards) > 1 else None

    def take(self, timeout_s: float) -> Token | None:
        """Return a token whose lease ran out, else wait for a new one; None after ``timeout_s`` or sooner."""
        wait_s = min(timeout_s, RECLAIM_EVERY_S)
        if self._bells is None:
            (shard,) = self._keys.shards
            expired = self._asked(shard, self._expired) if self._reclaim_due() else None
            return expired or self._asked(shard, lambda shard: self._awaited(shard, wait_s))
        token = self._ready(self._bells)
        if token is None:
            self._bells.wait(wait_s)
            token = self._ready(self._bells)
        return token

    def leave(self) -> None:
        """Take the consumer out of the groups, where it holds nothing any more."""
        for shard in self._joined:  # none if nothing was ever asked for: a worker may end before it is warm
            self._tidy_group(shard, leaving=self._consumer)

    def close(self) -> None:
        """Close the connections."""
        if self._bells:
            self._bells.close()
        else:
            self._blocking.close()
        self._link.close()

    def _ready(self, bells: Bells) -> Token | None:
        """Return a token that can be had now, from any shard that answers."""
        for reachable in bells.reachable() if self._reclaim_due() else []:
            token = self._asked_if_there(bells, reachable, self._expired)
            if token:
                self._reclaim_at = 0.0  # the shards after this one were not asked
                return token
        while (shard := bells.answered()) is not None:
            token = self._asked_if_there(bells, shard, self._waiting)
            if token:
                bells.ring(shard)  # it may have more
                return token
        return None

    def _asked_if_there(self, bells: Bells, shard: int, question: Question) -> Token | None:
        try:
            return self._asked(shard, question)
        except StoreUnavailable as failure:
            log.warning("shard_unavailable", extra={"shard": shard, "reason": str(failure)})
            bells.lost(shard, failure)
            return None

    def _reclaim_due(self) -> bool:
        now = time.monotonic()
        if now < self._reclaim_at:
            return False
        self._reclaim_at = now + RECLAIM_EVERY_S
        return True

    def _asked(self, shard: int, question: Question) -> Token | None:
        try:
            if shard not in self._joined:
                self._tidy_group(shard, leaving="")
                self._joined.add(shard)
            return question(shard)
        except StoreUnavailable:
            self._joined.discard(shard)  # a server that lost its data has lost the group too
            raise

    def _tidy_group(self, shard: int, *, leaving: str) -> None:
        self._link.call(lua.GROUP, [self._keys.queue(shard)], [leaving, str(FORGET_CONSUMER_AFTER_MS)])

    def _expired(self, shard: int) -> Token | None:
        queue, cursor = self._keys.queue(shard), "0-0"
        while True:
            answer = self._link.run("XAUTOCLAIM", queue, GROUP, self._consumer, self._lease_ms, cursor, "COUNT", 1)
            if answer[1]:
                self._reclaim_at = 0.0  # there may be more
                return _token(shard, answer[1][0])
            cursor = answer[0].decode()
            if cursor == "0-0":
                return None

    def _awaited(self, shard: int, wait_s: float) -> Token | None:
        return self._read(self._blocking, shard, "BLOCK", max(1, round(wait_s * 1e3)))

    def _waiting(self, shard: int) -> Token | None:
        return self._read(self._link, shard)

    def _read(self, link: BlockingLink, shard: int, *block: str | int) -> Token | None:
        reading = ("XREADGROUP", "GROUP", GROUP, self._consumer, "COUNT", 1, *block)
        answer = link.run(*reading, "STREAMS", self._keys.queue(shard), ">")
        return _token(shard, answer[0][1][0]) if answer else None


def _token(shard: int, entry: tuple[bytes, Mapping[bytes, bytes]]) -> Token:
    name, fields = entry
    return Token(shard, name.decode(), fields[b"underlying"].decode())
