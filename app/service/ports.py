"""What the use cases need from outside. The store implements these; nothing here knows Redis.

Laws the implementation keeps, per underlying, at every instant and after every crash:
received = fitted + failed + superseded + stale + duplicate + pending; versions only rise; an older chain never
replaces a newer surface; at most one chain waits and at most one is being fitted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from app.service.event import Notice
from app.service.fleet_status import FleetStatus
from app.service.surface_factors import SurfaceFactors


class StoreUnavailable(Exception):
    """The store did not answer, is full or refuses writes. Nothing was accepted; try again after ``retry_after_s``."""

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class QueueBehind(StoreUnavailable):
    """Chains wait longer than they may, so no new one is accepted; ends by itself when workers have caught up."""


class CorruptPayload(Exception):
    """A stored payload whose checksum or version does not match. It is quarantined, never served."""


class SubmitOutcome(StrEnum):
    """What happened to a submitted chain."""

    QUEUED = "queued"
    COALESCED = "coalesced"
    """It replaced a chain that was still waiting; that one counts as superseded."""
    DEFERRED = "deferred"
    """A fit of an older chain is running; this one is next."""
    DUPLICATE = "duplicate"
    STALE = "stale"


@dataclass(frozen=True, slots=True)
class PublishedSurface:
    """A committed surface. ``document`` is the surface as JSON (document.py) without the fields of this envelope.

    ``state`` is what the next fit needs to know besides it (maintenance_state.py), opaque and kept as long as it.
    ``version`` and ``prev_version`` are microseconds of a hybrid clock, prev 0 for the first; times are ms UTC.
    ``received_ms`` is when its chain was accepted.
    """

    underlying: str
    version: int
    prev_version: int
    as_of_ms: int
    sequence: int
    received_ms: int
    calibrated_at_ms: int
    document: bytes
    state: bytes = b""


@dataclass(frozen=True, slots=True)
class Claim:
    """A chain handed to one worker, under a lease. ``fence`` proves at commit that the lease still held.

    ``chain`` is the encoded chain (store/codec.py); ``previous`` the surface it will replace, if any.
    """

    underlying: str
    token: str
    fence: int
    attempt: int
    as_of_ms: int
    sequence: int
    received_ms: int
    chain: bytes
    previous: PublishedSurface | None
    claimed_ms: int = 0
    """When it was handed out, by the store's clock."""
    state: bytes = b""
    """The newest state: the one of ``previous``, or of a chain that failed since and left one."""
    model: str = ""
    """The model promoted for the underlying, which overrides the setting; empty for none."""


class CommitOutcome(StrEnum):
    """What happened to a commit."""

    PUBLISHED = "published"
    KEPT_NEWER = "kept_newer"
    """The store already holds a surface of a newer chain; this one is counted as fitted and not published."""
    FENCED = "fenced"
    """The lease was lost and the chain given to another worker: nothing was changed."""
    FAILED = "failed"
    """The chain is counted as failed; the last good surface stays."""


@dataclass(frozen=True, slots=True)
class FitTimings:
    """Durations in seconds for the fleet's histograms."""

    calibration_s: float
    queue_wait_s: float


class ChainIntake(Protocol):
    """Where chains are accepted (API side, asyncio)."""

    async def submit(self, underlying: str, as_of_ms: int, sequence: int, chain: bytes) -> SubmitOutcome:
        """Store the chain as the underlying's newest and mark it waiting. Raises StoreUnavailable and QueueBehind."""
        ...

    async def count_invalid(self, venue: str) -> None:
        """Count a body that was refused before it became a chain (no underlying to account it to)."""
        ...


class SurfaceReader(Protocol):
    """Where surfaces are read (API side, asyncio). Every method raises StoreUnavailable."""

    async def newest(self, underlying: str) -> PublishedSurface | None:
        """Return the newest surface, or None for an underlying that never had one."""
        ...

    async def underlyings(self) -> Sequence[str]:
        """Return the underlyings known to the store, sorted."""
        ...

    async def history(self, underlying: str, *, before: int | None, limit: int) -> Sequence[PublishedSurface]:
        """Return kept surfaces with version < ``before``, newest first."""
        ...

    async def after(self, underlying: str, version: int, limit: int) -> Sequence[PublishedSurface] | None:
        """Return kept surfaces with version > ``version``, oldest first; None when the chain back to it is broken."""
        ...

    async def as_of(self, underlying: str, at_ms: int) -> PublishedSurface | None:
        """Return the surface that stood at ``at_ms`` (newest with as_of_ms <= at_ms), if kept."""
        ...


@dataclass(frozen=True, slots=True)
class KeptChain:
    """The chain a surface was fitted to (codec.encode_chain), and the state it was fitted from."""

    underlying: str
    version: int
    as_of_ms: int
    chain: bytes
    state: bytes


class ChainArchive(Protocol):
    """The chains that kept surfaces were fitted to (asyncio). Raises StoreUnavailable, CorruptPayload when damaged."""

    async def as_of(self, underlying: str, as_of_ms: int) -> KeptChain | None:
        """Return the chain with exactly this time that was fitted last, if kept."""
        ...

    async def of_version(self, underlying: str, version: int) -> KeptChain | None:
        """Return the chain of one surface, if kept."""
        ...


class UpdateFeed(Protocol):
    """The one subscription of a process (API side, asyncio)."""

    async def next_updates(self, timeout_s: float) -> Sequence[PublishedSurface]:
        """Wait for committed surfaces, in commit order, each once; empty on timeout. Survives a store restart.

        Raises StoreUnavailable while the store is away; the next call goes on where the last one ended.
        """
        ...


class Fleet(Protocol):
    """Readiness and metrics (API side, asyncio)."""

    async def status(self) -> FleetStatus:
        """Return counters, queue and workers. Raises StoreUnavailable."""
        ...


class WorkQueue(Protocol):
    """Where a worker takes work (worker side, blocking). Every method raises StoreUnavailable."""

    def claim(self, timeout_s: float) -> Claim | None:
        """Wait for a waiting underlying and take its newest chain under a lease; None on timeout."""
        ...

    def extend(self, claim: Claim) -> None:
        """Renew the lease (called from the heartbeat thread)."""
        ...

    def commit(
        self,
        claim: Claim,
        document: bytes,
        *,
        outcome: str,
        timings: FitTimings,
        state: bytes = b"",
        events: Sequence[Notice] = (),
        factors: SurfaceFactors | None = None,
    ) -> CommitOutcome:
        """Publish the surface fitted to the claimed chain, with its state, and release the underlying.

        ``events`` and ``factors`` are recorded with the surface's version if and only if it is published, each once.
        """
        ...

    def fail(
        self,
        claim: Claim,
        reason: str,
        *,
        outcome: str,
        timings: FitTimings | None,
        state: bytes = b"",
        events: Sequence[Notice] = (),
    ) -> CommitOutcome:
        """Count the claimed chain as failed for ``reason``; the last good surface stays. Never retried.

        A ``state`` that is not empty is handed to the next claim instead of that of the surface. ``events`` are
        recorded with the failure, each once.
        """
        ...

    def record(self, underlying: str, event: Notice, *, version: int | None = None) -> None:
        """Record an event that belongs to no claim. Repeated after a lost reply it may be recorded twice."""
        ...

    def hand_back(self, claim: Claim) -> None:
        """Give an unfinished chain back to the queue at once (shutdown), without counting an attempt."""
        ...

    def announce(self, worker: str, *, warm: bool, busy_with: str | None, busy_since_ms: int | None = None) -> None:
        """Say that this worker is alive (expires by itself), and what it is fitting since when."""
        ...

    def leave(self, worker: str) -> None:
        """Say that this worker ends."""
        ...
