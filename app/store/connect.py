"""Opening the store: one function for each kind of process. Nothing is sent before the first call."""

import os
import secrets
from dataclasses import dataclass
from typing import Final

from app.store.access_keys import KeyCabinet, RedisKeyRing
from app.store.admission import RedisAnswerMemory, RedisRateBuckets
from app.store.blocking_link import WORKER_ANSWER_WITHIN_S, BlockingLink
from app.store.chains import RedisChainArchive
from app.store.dead_letters import DeadLetters
from app.store.event_feed import RedisEventFeed
from app.store.events import RedisEventLog
from app.store.factors import RedisFactorReader
from app.store.fleet import RedisFleet
from app.store.intake import RedisChainIntake
from app.store.keys import DEFAULT_PREFIX, Keys
from app.store.links import ANSWER_WITHIN_S, BLOCK_MARGIN_S, BLOCK_S, Link
from app.store.promotions import RedisPromotionDesk, RedisPromotions
from app.store.scores import RedisScoreKeeper, RedisScoreReader
from app.store.settlement import Retention
from app.store.surfaces import RedisSurfaceReader
from app.store.updates import RedisUpdateFeed
from app.store.work_queue import RedisWorkQueue

API_CONNECTIONS: Final = 32
"""More requests than this wait for a connection within their budget."""
WORKER_CONNECTIONS: Final = 3
"""Main thread, heartbeat and watchdog."""
DEFAULT_RETENTION: Final = Retention()
LONGEST_WAIT_S: Final = 60.0
"""A surface fitted from an accepted chain is then still younger than the two minutes from which it counts as stale."""


@dataclass(frozen=True, slots=True)
class AsyncStore:
    """The ports of an API process, over shared connections. ``updates`` and ``event_feed`` belong to one task each."""

    intake: RedisChainIntake
    surfaces: RedisSurfaceReader
    updates: RedisUpdateFeed
    fleet: RedisFleet
    key_ring: RedisKeyRing
    rate_buckets: RedisRateBuckets
    answers: RedisAnswerMemory
    chains: RedisChainArchive
    events: RedisEventLog
    event_feed: RedisEventFeed
    factors: RedisFactorReader
    scores: RedisScoreReader
    promotions: RedisPromotions
    _links: tuple[Link, ...]

    async def ping(self) -> None:
        """Return if the store answers. Raises StoreUnavailable."""
        await self._links[0].run("PING")

    async def close(self) -> None:
        """Close the connections."""
        await self.updates.close()
        await self.event_feed.close()
        for link in self._links:
            await link.close()


def connect_async(
    url: str,
    *,
    shards: int = 1,
    prefix: str = DEFAULT_PREFIX,
    connections: int = API_CONNECTIONS,
    longest_wait_s: float = LONGEST_WAIT_S,
    answer_within_s: float = ANSWER_WITHIN_S,
) -> AsyncStore:
    """Return the ports of an API process on the server at ``url`` (redis://, rediss:// or unix://)."""
    keys = Keys(prefix, shards)
    link = Link(url, connections=connections, budget_s=answer_within_s)
    waiting = Link(url, connections=shards + 1, budget_s=BLOCK_S + BLOCK_MARGIN_S, fail_fast_s=0.0)
    waiting_for_events = Link(url, connections=shards, budget_s=BLOCK_S + BLOCK_MARGIN_S, fail_fast_s=0.0)
    reader = RedisSurfaceReader(link, keys)
    return AsyncStore(
        intake=RedisChainIntake(link, keys, longest_wait_s=longest_wait_s),
        surfaces=reader,
        updates=RedisUpdateFeed(waiting, RedisSurfaceReader(waiting, keys), keys),
        fleet=RedisFleet(link, keys),
        key_ring=RedisKeyRing(link, keys),
        rate_buckets=RedisRateBuckets(link, keys),
        answers=RedisAnswerMemory(link, keys),
        chains=RedisChainArchive(link, keys),
        events=RedisEventLog(link, keys),
        event_feed=RedisEventFeed(waiting_for_events, keys),
        factors=RedisFactorReader(link, keys),
        scores=RedisScoreReader(link, keys),
        promotions=RedisPromotions(link, keys),
        _links=(link, waiting, waiting_for_events),
    )


def connect_worker(
    url: str,
    *,
    name: str,
    lease_s: float,
    shards: int = 1,
    prefix: str = DEFAULT_PREFIX,
    retention: Retention = DEFAULT_RETENTION,
) -> RedisWorkQueue:
    """Return the work queue of worker ``name``; processes may share a name, as after a restart."""
    return RedisWorkQueue(
        BlockingLink(url, connections=WORKER_CONNECTIONS, budget_s=WORKER_ANSWER_WITHIN_S),
        BlockingLink(url, connections=shards, budget_s=BLOCK_S + BLOCK_MARGIN_S),
        Keys(prefix, shards),
        consumer=f"{name}-{os.getpid()}-{secrets.token_hex(4)}",
        lease_s=lease_s,
        retention=retention,
    )


def connect_dead_letters(url: str, *, shards: int = 1, prefix: str = DEFAULT_PREFIX) -> DeadLetters:
    """Return the dead letters, for an operator's command."""
    return DeadLetters(BlockingLink(url, connections=1, budget_s=WORKER_ANSWER_WITHIN_S), Keys(prefix, shards))


def connect_access_keys(url: str, *, shards: int = 1, prefix: str = DEFAULT_PREFIX) -> KeyCabinet:
    """Return the callers' keys, for an operator's command."""
    return KeyCabinet(BlockingLink(url, connections=1, budget_s=WORKER_ANSWER_WITHIN_S), Keys(prefix, shards))


def connect_scores(url: str, *, shards: int = 1, prefix: str = DEFAULT_PREFIX) -> RedisScoreKeeper:
    """Return where a worker keeps the scores of its challengers."""
    return RedisScoreKeeper(BlockingLink(url, connections=1, budget_s=WORKER_ANSWER_WITHIN_S), Keys(prefix, shards))


def connect_promotions(url: str, *, shards: int = 1, prefix: str = DEFAULT_PREFIX) -> RedisPromotionDesk:
    """Return where a worker or an operator's command promotes models."""
    return RedisPromotionDesk(BlockingLink(url, connections=1, budget_s=WORKER_ANSWER_WITHIN_S), Keys(prefix, shards))
