"""Scores of champion and challengers in the store: kept by workers, read by every API process."""

import logging

from app.service.ports import CorruptPayload
from app.service.score_board import KeptBoard, KeptScores
from app.store.blocking_link import BlockingLink
from app.store.codec import open_scores, seal_scores
from app.store.keys import Keys, chain_order
from app.store.links import Link
from app.store.lua import KEEP_SCORES

log = logging.getLogger(__name__)


class RedisScoreKeeper:
    """See score_board.ScoreKeeper."""

    def __init__(self, link: BlockingLink, keys: Keys) -> None:
        self._link = link
        self._keys = keys

    def read(self, underlying: str) -> KeptBoard:
        """Return what is kept; a damaged board is none: the contest begins anew."""
        sealed, trying = self._link.run("HMGET", self._keys.scores(underlying), "board", "trying")
        try:
            board = open_scores(sealed) if sealed else b""
        except CorruptPayload as corrupt:
            log.error("scores_damaged", extra={"underlying": underlying, "reason": str(corrupt)})
            board = b""
        return KeptBoard(board, trying.decode() if trying else None)

    def begin(self, underlying: str, model: str) -> None:
        """Say that the fit of a challenger begins; keep says that it ended."""
        self._link.run("HSET", self._keys.scores(underlying), "trying", model)

    def keep(self, underlying: str, as_of_ms: int, sequence: int, *, board: bytes, report: bytes) -> bool:
        """Keep board and report, unless those of a newer chain are kept. May be repeated."""
        order = chain_order(as_of_ms, sequence)
        sealed = seal_scores(board), seal_scores(report)
        return bool(self._link.call(KEEP_SCORES, [self._keys.scores(underlying)], [order, *sealed]))


class RedisScoreReader:
    """See score_board.ScoreReader."""

    def __init__(self, link: Link, keys: Keys) -> None:
        self._link = link
        self._keys = keys

    async def scores(self, underlying: str) -> KeptScores:
        """Return what is kept of one underlying. Raises CorruptPayload for a damaged report."""
        report, promoted = await self._link.run_all(
            [
                ("HGET", self._keys.scores(underlying), "report"),
                ("HGET", self._keys.state(underlying), "model"),
            ]
        )
        return KeptScores(open_scores(report) if report else None, promoted.decode() if promoted else None)

    async def reports(self) -> dict[str, bytes]:
        """Return the undamaged reports of every underlying that has one."""
        members = await self._link.run_all([("SMEMBERS", self._keys.underlyings(shard)) for shard in self._keys.shards])
        names = sorted(name.decode() for shard in members for name in shard)
        found = await self._link.run_all([("HGET", self._keys.scores(name), "report") for name in names])
        reports = {}
        for name, sealed in zip(names, found, strict=True):
            try:
                if sealed:
                    reports[name] = open_scores(sealed)
            except CorruptPayload as corrupt:
                log.error("scores_damaged", extra={"underlying": name, "reason": str(corrupt)})
        return reports
