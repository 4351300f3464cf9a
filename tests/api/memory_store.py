"""The ports in memory: what a store promises, without one. ``away`` makes every call fail."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from app.service.admission import KeptAnswer
from app.service.fleet_status import FleetStatus, UnderlyingCounts
from app.service.ports import PublishedSurface, QueueBehind, StoreUnavailable, SubmitOutcome
from app.service.promotion import Promoting, Promotion, UnknownUnderlying
from app.service.score_board import KeptScores
from tests.api.documents import AS_OF_MS, published
from tests.api.memory_events import MemoryEvents


class MemoryStore:
    """ChainIntake, SurfaceReader, UpdateFeed, Fleet, AnswerMemory, ScoreReader and Promotions in one."""

    def __init__(self) -> None:
        self.away = False
        self.behind = False
        self.warm_workers = 1
        self.chains: list[tuple[str, int, int, bytes]] = []
        self.invalid: dict[str, int] = defaultdict(int)
        self.kept: dict[str, list[PublishedSurface]] = defaultdict(list)
        self.fit_on_submit = False
        self.failures: dict[str, tuple[int, str]] = {}
        self.closed = False
        self.events = MemoryEvents(self._check)
        self.answers: dict[tuple[str, str], KeptAnswer] = {}
        self.scored: dict[str, bytes] = {}
        self.promoted: dict[str, Promoting] = {}
        self.asked_for_updates = 0
        self._updates: asyncio.Queue[PublishedSurface] = asyncio.Queue()

    @property
    def all_heard(self) -> bool:
        """Whether the process has loaded what is kept and heard of all that was published or said."""
        return self.asked_for_updates > 1 and self._updates.empty() and self.events.all_heard

    def publish(
        self,
        underlying: str = "BTC",
        as_of_ms: int | None = None,
        sequence: int = 0,
        *,
        announced: bool = True,
        **changes: Any,
    ) -> PublishedSurface:
        """Commit a surface as a worker would; one that is not ``announced`` is still on its way to listeners."""
        last = self.kept[underlying][-1] if self.kept[underlying] else None
        version = last.version + 10 if last else 100
        as_of_ms = as_of_ms if as_of_ms is not None else (last.as_of_ms + 1000 if last else AS_OF_MS)
        surface = published(underlying, version, last.version if last else 0, as_of_ms, sequence, **changes)
        self.kept[underlying].append(surface)
        if announced:
            self.announce(surface)
        return surface

    def announce(self, surface: PublishedSurface) -> None:
        """Let who listens hear of ``surface``."""
        self._updates.put_nowait(surface)

    def trim(self, underlying: str, keep: int) -> None:
        del self.kept[underlying][:-keep]

    async def submit(self, underlying: str, as_of_ms: int, sequence: int, chain: bytes) -> SubmitOutcome:
        self._check()
        if self.behind:
            raise QueueBehind("a chain has waited 61.0 s for a worker", retry_after_s=5.0)
        newest = max(((c[1], c[2]) for c in self.chains if c[0] == underlying), default=(-1, -1))
        if (as_of_ms, sequence) == newest:
            return SubmitOutcome.DUPLICATE
        if (as_of_ms, sequence) < newest:
            return SubmitOutcome.STALE
        self.chains.append((underlying, as_of_ms, sequence, chain))
        if self.fit_on_submit:
            asyncio.get_running_loop().call_later(0.02, self.publish, underlying, as_of_ms, sequence)
        return SubmitOutcome.QUEUED if newest == (-1, -1) else SubmitOutcome.COALESCED

    async def count_invalid(self, venue: str) -> None:
        self._check()
        self.invalid[venue] += 1

    async def newest(self, underlying: str) -> PublishedSurface | None:
        self._check()
        return self.kept[underlying][-1] if self.kept.get(underlying) else None

    async def underlyings(self) -> Sequence[str]:
        self._check()
        return sorted(self.kept)

    async def history(self, underlying: str, *, before: int | None, limit: int) -> Sequence[PublishedSurface]:
        self._check()
        older = [s for s in self.kept.get(underlying, []) if before is None or s.version < before]
        return older[::-1][:limit]

    async def after(self, underlying: str, version: int, limit: int) -> Sequence[PublishedSurface] | None:
        self._check()
        newer = [s for s in self.kept.get(underlying, []) if s.version > version]
        known = version in {s.version for s in self.kept.get(underlying, [])}
        if not known and not (newer and newer[0].prev_version == version):
            return None
        return newer[:limit]

    async def as_of(self, underlying: str, at_ms: int) -> PublishedSurface | None:
        self._check()
        standing = [s for s in self.kept.get(underlying, []) if s.as_of_ms <= at_ms]
        return standing[-1] if standing else None

    async def next_updates(self, timeout_s: float) -> Sequence[PublishedSurface]:
        self.asked_for_updates += 1
        self._check()
        try:
            async with asyncio.timeout(timeout_s):
                updates = [await self._updates.get()]
        except TimeoutError:
            self._check()
            return []
        while not self._updates.empty():
            updates.append(self._updates.get_nowait())
        return updates

    async def status(self) -> FleetStatus:
        self._check()
        counts = tuple(
            UnderlyingCounts(
                underlying=name,
                received=9,
                fitted=3,
                failed=1,
                superseded=2,
                stale=1,
                duplicate=1,
                pending=1,
                reclaimed=0,
                fenced=0,
                dead_lettered=0,
                outcomes={"queued": 5, "duplicate": 1},
                calibrations={"ok": 3, "no_smile": 1},
                last_failure=self.failures[name][1] if name in self.failures else None,
                last_failure_as_of_ms=self.failures[name][0] if name in self.failures else None,
            )
            for name in sorted({*self.kept, *self.failures})
        )
        waits = ((0.01, 3), (0.1, 7)), 0.31, 8
        return FleetStatus({"0": 2}, {"0": 1.5}, 2, self.warm_workers, counts, {"queue_wait": waits}, 1_000_000)

    async def begin(self, caller: str, key: str, fingerprint: str) -> KeptAnswer | None:
        self._check()
        kept = self.answers.get((caller, key))
        if kept is None:
            self.answers[caller, key] = KeptAnswer(fingerprint, 0, b"")
        return kept

    async def keep(self, caller: str, key: str, answer: KeptAnswer) -> None:
        self._check()
        self.answers[caller, key] = answer

    async def forget(self, caller: str, key: str) -> None:
        self._check()
        del self.answers[caller, key]

    async def scores(self, underlying: str) -> KeptScores:
        self._check()
        promoted = self.promoted.get(underlying)
        return KeptScores(self.scored.get(underlying), promoted.model if promoted else None)

    async def reports(self) -> dict[str, bytes]:
        self._check()
        return dict(self.scored)

    async def promote(self, underlying: str, promoting: Promoting) -> Promotion:
        self._check()
        if underlying not in self.kept:
            raise UnknownUnderlying(f"there never was a chain of {underlying!r}")
        before = self.promoted.get(underlying)
        self.promoted[underlying] = promoting
        return Promotion(underlying, promoting.model, before.model if before else None)

    async def close(self) -> None:
        self.closed = True

    def _check(self) -> None:
        if self.away:
            raise StoreUnavailable("the store does not answer", retry_after_s=1.2)
