"""ChainIntake over the store."""

from app.service.ports import QueueBehind, SubmitOutcome
from app.store.failures import LATER_S
from app.store.keys import Keys, chain_order
from app.store.links import Link
from app.store.lua import INGEST


class RedisChainIntake:
    """Where chains are accepted; see ports.ChainIntake."""

    def __init__(self, link: Link, keys: Keys, *, longest_wait_s: float) -> None:
        self._link = link
        self._keys = keys
        self._longest_wait_s = longest_wait_s

    async def submit(self, underlying: str, as_of_ms: int, sequence: int, chain: bytes) -> SubmitOutcome:
        """Store the chain as the underlying's newest and mark it waiting.

        Raises StoreUnavailable, after which the chain may or may not have been taken: sent again it is then a
        duplicate. Raises QueueBehind, with nothing changed, while a chain of the shard waits for a worker longer than
        it may; what is not newer is answered even then. Raises ValueError for a time or a sequence beyond 64 bits.
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
            [
                underlying,
                chain_order(as_of_ms, sequence),
                str(as_of_ms),
                str(sequence),
                chain,
                str(round(self._longest_wait_s * 1e3)),
            ],
        )
        if isinstance(answer, int):
            raise QueueBehind(
                f"a chain has waited {answer / 1e3:.1f} s for a worker; beyond {self._longest_wait_s:g} s"
                " no new one is accepted",
                LATER_S,
            )
        return SubmitOutcome(answer.decode())

    async def count_invalid(self, venue: str) -> None:
        """Count a body that was refused before it became a chain."""
        await self._link.run("HINCRBY", self._keys.counters(0), f"invalid:{venue}", 1)
