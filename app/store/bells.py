"""Queues on several nodes, or in several slots of one: a thread for each shard waits for new tokens and takes none.

No command of a cluster spans two slots, and a blocking read that takes tokens cannot be called off once another has
given one. So threads read the queues beside the consumer group, and the worker takes where a bell has rung.
"""

import threading

from app.service.ports import StoreUnavailable
from app.store.blocking_link import BlockingLink
from app.store.keys import Keys
from app.store.links import BLOCK_S, FAIL_FAST_S

_TOKENS_READ = 100
"""Tokens in one answer; a longer queue rings again at once."""


class Bells:
    """What rang, and which shards answer. The threads start with the first wait and end with :meth:`close`."""

    def __init__(self, link: BlockingLink, keys: Keys) -> None:
        self._link = link
        self._keys = keys
        self._changed = threading.Condition()
        self._rung = dict.fromkeys(keys.shards)
        self._away: dict[int, StoreUnavailable] = {}
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []

    def wait(self, timeout_s: float) -> None:
        """Return when a bell has rung that was not answered yet, or after ``timeout_s``."""
        with self._changed:
            if not self._threads:
                self._start()
            self._changed.wait_for(lambda: self._rung.keys() - self._away, timeout_s)

    def answered(self) -> int | None:
        """Return the shard that rang first and stop its bell; None in silence."""
        with self._changed:
            for shard in self._rung:
                if shard not in self._away:
                    del self._rung[shard]
                    return shard
            return None

    def ring(self, shard: int) -> None:
        """Say that ``shard`` may have a token; after those that rang before."""
        with self._changed:
            self._rung[shard] = None
            self._changed.notify_all()

    def lost(self, shard: int, failure: StoreUnavailable) -> None:
        """Leave ``shard`` alone until its thread gets an answer again. Raises ``failure`` when no shard is left."""
        with self._changed:
            self._away[shard] = failure
            self._rung.pop(shard, None)
            if len(self._away) == len(self._keys.shards):
                self._away.clear()  # the caller pauses, and then tries them all
                self._rung = dict.fromkeys(self._keys.shards)
                raise failure

    def reachable(self) -> list[int]:
        """Return the shards that answered when last asked."""
        with self._changed:
            return [shard for shard in self._keys.shards if shard not in self._away]

    def close(self) -> None:
        """End the threads, each after the read it is in; the last closes the connections."""
        self._over.set()
        if not self._threads:
            self._link.close()

    def _start(self) -> None:
        for shard in self._keys.shards:
            thread = threading.Thread(target=self._attend, args=(shard,), name=f"bell-{shard}", daemon=True)
            self._threads.append(thread)
        for thread in self._threads:
            thread.start()

    def _attend(self, shard: int) -> None:
        self._listen(shard)
        with self._changed:
            self._threads.remove(threading.current_thread())
            if not self._threads:
                self._link.close()

    def _listen(self, shard: int) -> None:
        queue = self._keys.queue(shard)
        last, block_s = "0-0", BLOCK_S
        while not self._over.is_set():
            reading = ("XREAD", "COUNT", _TOKENS_READ, "BLOCK", round(block_s * 1e3), "STREAMS", queue, last)
            try:
                answer = self._link.run(*reading)
            except StoreUnavailable:
                last, block_s = "0-0", 0.001  # a server that lost its data numbers its tokens anew; ask soon how it is
                self._over.wait(FAIL_FAST_S)
                continue
            block_s = BLOCK_S
            with self._changed:
                back = self._away.pop(shard, None) is not None
            if answer:
                last = answer[0][1][-1][0]
            if answer or back:
                self.ring(shard)
