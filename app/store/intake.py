"""ChainIntake over the store."""

from app.service.ports import SubmitOutcome
from app.store.keys import Keys, chain_order
from app.store.links import Link
from app.store.lua import INGEST


class RedisChainIntake:
    """Where chains are accepted; see ports.ChainIntake."""

    def __init__(self, link: Link, keys: Keys) -> None:
        self._link = link
        self._keys = keys

    async def submit(self, underlying: str, as_of_ms: int, sequence: int, chain: bytes) -> SubmitOutcome:
        """Store the chain as the underlying's newest and mark it waiting.

        Raises StoreUnavailable, after which the chain may or may not have been taken: sent again it is then a
        duplicate. Raises ValueError for a time or a sequence beyond 64 bits.
        """
        keys = self._keys
        answer = await self._link.call(
            INGEST,
            [
                keys.queue(keys.shard_of(underlying)),
                keys.state(underlying),
                keys.chain(underlying),
                keys.underlyings(keys.shard_of(underlying)),
            ],
            [underlying, chain_order(as_of_ms, sequence), str(as_of_ms), str(sequence), chain],
        )
        return SubmitOutcome(answer.decode())

    async def count_invalid(self, venue: str) -> None:
        """Count a body that was refused before it became a chain."""
        await self._link.run("HINCRBY", self._keys.counters(0), f"invalid:{venue}", 1)
