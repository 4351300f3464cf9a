"""The work protocol in plain Python: what the scripts must do, without a server.

One underlying is an Account; times are the order of events. The lease is not modelled: the caller says who takes over.
"""

from dataclasses import dataclass, field

from app.service.event import EventKind, Notice
from app.service.surface_factors import SurfaceFactors

Order = tuple[int, int]
MAX_ATTEMPTS = 3
BURIED = "3 workers ended while fitting this chain; it is kept as a dead letter"


@dataclass
class Account:
    """State and counters of one underlying."""

    state: str = "idle"
    newest: Order | None = None
    running: Order | None = None
    dirty: bool = False
    attempts: int = 0
    claim: int | None = None
    """Number of the claim that holds the fence."""
    settled: dict[int, str] = field(default_factory=dict)
    last_settled: int | None = None
    surfaces: list[tuple[Order, bytes]] = field(default_factory=list)
    dead: list[Order] = field(default_factory=list)
    counters: dict[str, int] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
    """Messages, oldest first."""
    factors: list[SurfaceFactors] = field(default_factory=list)
    """Of every surface, oldest first."""

    def count(self, name: str, by: int = 1) -> None:
        self.counters[name] = self.counters.get(name, 0) + by

    def say(self, events: tuple[Notice, ...]) -> None:
        for event in events:
            self.count(f"event:{event.kind}")
            self.events.append(event.message)

    @property
    def pending(self) -> int:
        return {"idle": 0, "queued": 1, "running": 1}[self.state] + self.dirty


@dataclass
class Ledger:
    """All underlyings, and the order in which they wait."""

    accounts: dict[str, Account] = field(default_factory=dict)
    waiting: list[str] = field(default_factory=list)
    """Underlyings in state queued, first come first."""
    claims: int = 0

    def submit(self, name: str, order: Order) -> str:
        account = self.accounts.setdefault(name, Account())
        account.count("received")
        if account.newest is not None and order <= account.newest:
            outcome = "duplicate" if order == account.newest else "stale"
            account.count(outcome)
            return outcome
        account.newest = order
        if account.state == "queued" or account.dirty:
            account.count("superseded")
            if account.state == "queued":
                account.attempts = 0
            return "coalesced"
        if account.state == "running":
            account.dirty = True
            return "deferred"
        self._wait(name)
        account.attempts = 0
        return "queued"

    def claim_waiting(self) -> tuple[str, int, int] | None:
        """Return (underlying, number of the claim, attempt) of the first that waits."""
        while self.waiting:
            name = self.waiting.pop(0)
            taken = self._take(name)
            if taken:
                return taken
        return None

    def take_over(self, name: str) -> tuple[str, int, int] | None:
        """Claim a running underlying again; None if it is given up instead."""
        account = self.accounts[name]
        account.count("reclaimed")
        if account.dirty:
            account.count("superseded")
            account.attempts = 0
            account.dirty = False
        return self._take(name)

    def settle(
        self,
        name: str,
        claim: int,
        verdict: str,
        document: bytes,
        events: tuple[Notice, ...],
        factors: SurfaceFactors,
    ) -> str:
        account = self.accounts[name]
        if account.last_settled == claim:
            return account.settled[claim]
        if account.claim != claim:
            account.count("fenced")
            return "fenced"
        assert account.running is not None
        if verdict == "hand_back":
            result = "fenced"  # how a later commit is told
            account.attempts -= 1
            if account.dirty:
                account.count("superseded")
                account.attempts = 0
        elif verdict == "fail":
            result = "failed"
            account.count("failed")
            account.attempts = 0
            account.say(events)
        else:
            account.count("fitted")
            account.attempts = 0
            newer = account.surfaces and account.surfaces[-1][0] > account.running
            result = "kept_newer" if newer else "published"
            if not newer:
                account.surfaces.append((account.running, document))
                account.say(events)
                account.factors.append(factors)
        account.settled[claim] = result
        account.last_settled = claim
        account.claim = account.running = None
        requeue = account.dirty or verdict == "hand_back"
        account.dirty = False
        account.state = "idle"
        if requeue:
            self._wait(name)
        return result

    def revive(self, name: str, order: Order) -> str:
        account = self.accounts[name]
        if order not in account.dead:
            return "missing"
        if account.newest is not None and order < account.newest:
            return "stale"
        if account.state != "idle":
            return "busy"
        account.dead.remove(order)
        account.count("received")
        account.attempts = 0
        self._wait(name)
        return "queued"

    def _wait(self, name: str) -> None:
        self.accounts[name].state = "queued"
        self.waiting.append(name)

    def _take(self, name: str) -> tuple[str, int, int] | None:
        account = self.accounts[name]
        account.attempts += 1
        if account.attempts > MAX_ATTEMPTS:
            assert account.newest is not None
            account.dead.append(account.newest)
            account.count("failed")
            account.count("dead_lettered")
            account.say((Notice(EventKind.DEAD_LETTER, BURIED),))
            account.state, account.attempts, account.claim, account.running = "idle", 0, None, None
            return None
        self.claims += 1
        account.state, account.claim, account.running = "running", self.claims, account.newest
        return name, self.claims, account.attempts
