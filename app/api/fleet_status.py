"""The store's own account, for readiness, metrics and the reason why a surface is missing or old."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

import msgspec

from app.api.context import ApiContext
from app.service.fleet_status import FleetStatus, UnderlyingCounts
from app.service.iso_time import iso_utc
from app.service.ports import CorruptPayload, StoreUnavailable
from app.service.score_document import ModelScores, decode_report

log = logging.getLogger(__name__)

STATUS_TIMEOUT_S: Final = 2.0
"""A probe or a scrape waits no longer for the store; their own timeouts are 5 to 10 s."""


async def fleet_status(context: ApiContext) -> FleetStatus | None:
    """Return the store's account, or None when it does not answer in time."""
    try:
        async with asyncio.timeout(STATUS_TIMEOUT_S):
            with context.metrics.store_call("status"):
                return await context.services.fleet.status()
    except (StoreUnavailable, CorruptPayload, TimeoutError):  # readiness and volsurf_store_up say so
        return None


async def model_reports(context: ApiContext) -> Sequence[ModelScores]:
    """Return the readable reports of champions and challengers; none when the store does not answer in time."""
    scores = context.services.scores
    if scores is None:
        return ()
    try:
        async with asyncio.timeout(STATUS_TIMEOUT_S):
            with context.metrics.store_call("reports"):
                kept = await scores.reports()
    except (StoreUnavailable, TimeoutError):  # volsurf_store_up says so
        return ()
    readable = []
    for underlying, report in kept.items():
        try:
            readable.append(decode_report(report))
        except msgspec.DecodeError as error:
            log.warning("scores_unreadable", extra={"underlying": underlying, "reason": str(error)})
    return readable


def counts_of(status: FleetStatus | None, underlying: str) -> UnderlyingCounts | None:
    """Return the account of one underlying."""
    found = status.underlyings if status else ()
    return next((counts for counts in found if counts.underlying == underlying), None)


def failure_after(counts: UnderlyingCounts | None, as_of_ms: int) -> str | None:
    """Return why the last chain failed, if it is newer than ``as_of_ms``; None when nothing newer failed."""
    if counts is None or counts.last_failure is None or counts.last_failure_as_of_ms is None:
        return None
    if counts.last_failure_as_of_ms <= as_of_ms:
        return None
    return f"chain as of {iso_utc(counts.last_failure_as_of_ms)}: {counts.last_failure}"
