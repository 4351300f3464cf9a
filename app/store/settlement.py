"""How a claim is settled: the call of settle.lua, with everything that is written in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from app.service.event import Notice
from app.service.factor_record import slot_of
from app.service.ports import Claim, FitTimings
from app.service.surface_factors import SurfaceFactors
from app.store.codec import seal_state
from app.store.event_records import fields_of_event
from app.store.factor_rows import encode_row
from app.store.keys import EVENTS_KEPT, HISTOGRAM_BOUNDS_US, UPDATES_KEPT, Keys, chain_order
from app.store.lua import SETTLE
from app.store.quarantine import ScriptCall

FACTORS_AGE_S: Final = 7 * 86_400.0 + 3_600.0
"""The longest window of correlations and the longest bar before it."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How much of an underlying's past is kept: so many surfaces and chains, none older than ``age_s``.

    ``factors`` rows of market factors reach farther; 0 keeps none.
    """

    surfaces: int = 500
    chains: int = 100
    """8 kB each for 600 quotes without sizes."""
    age_s: float = 30 * 86_400.0
    factors: int = 7_200
    """12 hours, the window that is usual, where every slot has one, in 0.6 MB; weeks of five-minute chains."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a worker says of its claim. Without a ``document`` (sealed) the chain failed for ``reason``.

    A sealed ``state`` that is empty leaves the one there is.
    """

    outcome: str
    timings: FitTimings | None
    state: bytes
    events: Sequence[Notice]
    document: bytes = b""
    reason: str = ""
    factors: SurfaceFactors | None = None


def settlement(keys: Keys, claim: Claim, answer: Answer, retention: Retention) -> ScriptCall:
    """Return the call that settles ``claim``."""
    shard, underlying, timings = keys.shard_of(claim.underlying), claim.underlying, answer.timings
    published = bool(answer.document)
    factors = answer.factors if retention.factors else None
    return ScriptCall(
        SETTLE,
        [
            keys.queue(shard),
            keys.state(underlying),
            keys.chain(underlying),
            keys.history(underlying),
            keys.updates(shard),
            keys.counters(shard),
            keys.histograms(shard),
            keys.chains(underlying),
            keys.events(shard),
            keys.factors(underlying),
        ],
        [
            claim.token,
            underlying,
            str(claim.fence),
            chain_order(claim.as_of_ms, claim.sequence),
            "surface" if published else "failed",
            answer.outcome,
            answer.document,
            answer.reason,
            _microseconds(timings.calibration_s) if timings else "",
            _microseconds(timings.queue_wait_s) if timings else "",
            HISTOGRAM_BOUNDS_US,
            str(retention.surfaces),
            str(UPDATES_KEPT),
            answer.state,
            claim.chain if published else b"",
            seal_state(claim.state) if published else b"",
            str(retention.chains),
            _microseconds(retention.age_s),
            str(EVENTS_KEPT),
            encode_row(underlying, factors) if factors else b"",
            str(slot_of(factors.as_of_ms)) if factors else "",
            "1" if factors and not factors.moved else "0",
            str(retention.factors),
            _microseconds(FACTORS_AGE_S),
            *[field for event in answer.events for field in fields_of_event(event)],
        ],
    )


def _microseconds(duration_s: float) -> str:
    return str(round(duration_s * 1e6))
