"""UpdateFeed over the store: the update logs of all shards, read side by side."""

import asyncio
import time
from collections.abc import Sequence

from app.service.ports import PublishedSurface
from app.store.keys import Keys
from app.store.links import Link
from app.store.shard_reads import ShardReads
from app.store.surfaces import RedisSurfaceReader
from app.store.update_log import UpdateLog


class RedisUpdateFeed:
    """The one subscription of a process, for one task; see ports.UpdateFeed. It begins at its first call."""

    def __init__(self, blocking: Link, reader: RedisSurfaceReader, keys: Keys) -> None:
        self._logs = {shard: UpdateLog(shard, blocking, reader, keys) for shard in keys.shards}
        self._reads = ShardReads({shard: each.read for shard, each in self._logs.items()})
        self._begun = False

    async def next_updates(self, timeout_s: float) -> Sequence[PublishedSurface]:
        """Wait for committed surfaces, a shard's in commit order, each once; empty on timeout."""
        deadline = time.monotonic() + timeout_s
        if not self._begun:
            await asyncio.gather(*(each.begin() for each in self._logs.values()))
            self._begun = True
        while True:
            updates = [surface for read in await self._reads.arrived(deadline) for surface in read]
            if updates or deadline <= time.monotonic():
                return sorted(updates, key=lambda surface: surface.version)

    async def close(self) -> None:
        """End the reads."""
        await self._reads.close()
