"""Recorded chains sent to a running service, at the pace they were recorded at or faster.

Times stay those of the recording, so the surfaces are those of that day, and as old. After the last chain the replay
ends. A second pass would be refused as stale, as an older chain always is, unless it plays on a later day.
"""

import heapq
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path
from threading import Event

import httpx

from app.feeds.chain_client import REFUSED, ChainClient, Interrupted
from app.feeds.later_day import days_later
from app.feeds.recording import RecordedChain, read_recorded


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """What was sent so far: chains by outcome, tries beyond the first, the newest chain's time (ms UTC).

    ``complete`` is true once every chain has been answered; ``last_refusal`` is the service's sentence.
    """

    sent: int = 0
    outcomes: Mapping[str, int] = field(default_factory=dict)
    retries: int = 0
    as_of_ms: int | None = None
    last_refusal: str | None = None
    complete: bool = False


def replay(
    paths: Iterable[Path],
    *,
    url: str,
    speed: float,
    after_ms: int | None = None,
    later_by_days: int = 0,
    api_key: str | None = None,
    on_progress: Callable[[ReplayResult], None] | None = None,
    stop: Event | None = None,
    transport: httpx.BaseTransport | None = None,
    monotonic: Callable[[], float] = time.monotonic,
) -> ReplayResult:
    """Post the chains of all recordings to ``url``, merged by time, ``speed`` times as fast as recorded.

    Every time and date is moved by ``later_by_days`` (later_day.py). Chains that are then as of ``after_ms`` or
    earlier are left out: a service that has them would call them stale.
    ``speed`` inf posts each as soon as the last is answered. A chain that is late, because the service was away, is
    followed by the next without delay until the replay is back on time. ``on_progress`` hears the result so far after
    every chain; setting ``stop`` ends the replay with what was sent.

    Raises ValueError for a speed that is not positive, InvalidRecording, FeedRejected and ServiceAway.
    """
    if not speed > 0.0:
        raise ValueError(f"speed is {speed}: it must be positive")
    stop = stop or Event()
    result = ReplayResult()
    # Series are read side by side, a chain of each in memory, so their length does not matter.
    recorded = heapq.merge(*(read_recorded(path) for path in paths), key=attrgetter("as_of_ms"))
    played = (days_later(chain, later_by_days) for chain in recorded)
    chains = (chain for chain in played if after_ms is None or chain.as_of_ms > after_ms)
    with ChainClient(url, api_key=api_key, stop=stop, transport=transport, monotonic=monotonic) as client:
        started_s: float | None = None
        first_ms = 0
        for chain in chains:
            if started_s is None:
                started_s, first_ms = monotonic(), chain.as_of_ms
            due_s = started_s + (chain.as_of_ms - first_ms) / 1000.0 / speed
            if stop.wait(max(0.0, due_s - monotonic())):
                return result
            try:
                result = _sent(result, client, chain)
            except Interrupted:
                return result
            if on_progress is not None:
                on_progress(result)
    return replace(result, complete=True)


def _sent(before: ReplayResult, client: ChainClient, chain: RecordedChain) -> ReplayResult:
    """Post one chain and return the result with it."""
    answer = client.post(chain.venue, chain.body)
    return ReplayResult(
        sent=before.sent + 1,
        outcomes=Counter(before.outcomes) + Counter([answer.outcome]),
        retries=before.retries + answer.retries,
        as_of_ms=chain.as_of_ms,
        last_refusal=answer.detail if answer.outcome == REFUSED else before.last_refusal,
    )
