"""Random operations on the real scripts and on a plain ledger: same answers, same counters, after every step."""

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from app.service.event import EventKind, Notice
from app.service.factor_record import SLOT_MS
from app.service.ports import Claim
from app.service.surface_factors import NO_FACTORS, FactorSeries
from app.store.connect import connect_dead_letters
from app.store.keys import Keys
from tests.servers import RealServer
from tests.store.factor_rows import factors_at, rows_for, rows_of
from tests.store.ledger import Ledger
from tests.store.stored import TIMINGS, OpenStore, assert_conserved

UNDERLYINGS = st.sampled_from(["BTC", "ETH", "SOL"])
TIMES = st.integers(1, 6)
SEQUENCES = st.integers(0, 2)
COUNTERS = (
    "received",
    "fitted",
    "failed",
    "superseded",
    "stale",
    "duplicate",
    "reclaimed",
    "fenced",
    "dead_lettered",
)
KEYS = Keys()


class WorkProtocol(RuleBasedStateMachine):
    """Workers that never lose their lease by time, and one that takes over whatever is running."""

    server: RealServer

    def __init__(self) -> None:
        super().__init__()
        self.server.run("FLUSHALL")
        self.store = OpenStore(self.server.url)
        self.worker = self.store.worker()
        self.thief = self.store.worker("thief", lease_s=0.0)
        self.letters = connect_dead_letters(self.server.url)
        self.ledger = Ledger()
        self.claims: dict[int, Claim] = {}
        """Every claim ever made, by its number in the ledger."""
        self.versions: dict[str, int] = {}
        self.known_factors: dict[str, FactorSeries] = {}

    def teardown(self) -> None:
        self.letters.close()
        self.store.close()

    @rule(name=UNDERLYINGS, as_of=TIMES, sequence=SEQUENCES)
    def submit(self, name: str, as_of: int, sequence: int) -> None:
        assert self.store.submit(name, as_of, sequence) == self.ledger.submit(name, (as_of, sequence))

    @precondition(lambda self: self.ledger.waiting)
    @rule()
    def claim(self) -> None:
        self._claimed(self.worker.claim(1.0), self.ledger.claim_waiting())

    @precondition(lambda self: self._running())
    @rule()
    def take_over(self) -> None:
        """What a worker does that finds leases run out, oldest token first; it may bury what it finds."""
        expected = None
        for name in self._running():
            expected = self.ledger.take_over(name)
            if expected:
                break
        if expected is None:
            expected = self.ledger.claim_waiting()
        self.thief._tokens._reclaim_at = 0.0
        self._claimed(self.thief.claim(1.0 if expected else 0.0), expected)

    @precondition(lambda self: self.claims)
    @rule(
        data=st.data(),
        verdict=st.sampled_from(["commit", "commit", "fail", "hand_back"]),
        kinds=st.lists(st.sampled_from(EventKind), max_size=3),
        moved=st.booleans(),
    )
    def answer(self, data: st.DataObject, verdict: str, kinds: list[EventKind], moved: bool) -> None:
        """By the holder, by one that lost its lease, or once more by one that has answered."""
        number = data.draw(st.sampled_from(sorted(self.claims)), "claim")
        claim = self.claims[number]
        document = b'{"claim":%d}' % number
        events = tuple(Notice(kind, f"{verdict} of claim {number}, event {i}") for i, kind in enumerate(kinds))
        factors = factors_at(SLOT_MS // 2 * claim.as_of_ms, number, moved=moved)
        expected = self.ledger.settle(claim.underlying, number, verdict, document, events, factors)
        if verdict == "commit":
            found = self.worker.commit(claim, document, outcome="ok", timings=TIMINGS, events=events, factors=factors)
            assert found == expected
        elif verdict == "fail":
            assert self.worker.fail(claim, "no", outcome="rejected", timings=TIMINGS, events=events) == expected
        else:
            self.worker.hand_back(claim)

    @precondition(lambda self: any(account.dead for account in self.ledger.accounts.values()))
    @rule(data=st.data())
    def revive(self, data: st.DataObject) -> None:
        letter = data.draw(st.sampled_from(self.letters.kept()), "letter")
        expected = self.ledger.revive(letter.underlying, (letter.as_of_ms, letter.sequence))
        assert self.letters.retry(letter.name) == expected

    @precondition(lambda self: self.ledger.accounts)
    @rule(data=st.data())
    def record(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.ledger.accounts)), "underlying")
        event = Notice(EventKind.PROMOTION, "svi took over", {"rmse_vol": 0.004})
        self.ledger.accounts[name].say((event,))
        self.worker.record(name, event)

    @rule()
    def forget_the_scripts(self) -> None:
        self.server.run("SCRIPT", "FLUSH")

    @invariant()
    def counters_agree(self) -> None:
        status = self.store.run(self.store.api.fleet.status())
        assert sorted(self.ledger.accounts) == [counts.underlying for counts in status.underlyings]
        for counts in status.underlyings:
            account = self.ledger.accounts[counts.underlying]
            assert_conserved(counts)
            assert {name: getattr(counts, name) for name in COUNTERS} == {
                name: account.counters.get(name, 0) for name in COUNTERS
            }
            assert counts.pending == account.pending
            assert sum(counts.calibrations.values()) == counts.fitted + counts.failed
            assert sum(counts.outcomes.values()) == counts.received
            assert counts.events == {kind: account.counters.get(f"event:{kind}", 0) for kind in EventKind}
        assert status.queue_depth == {"0": len(self.ledger.waiting)}
        assert status.dead_letters == sum(len(account.dead) for account in self.ledger.accounts.values())
        tokens = self.server.run("XLEN", KEYS.queue(0))
        assert tokens == len(self.ledger.waiting) + len(self._running()), "one token for each underlying at work"

    @invariant()
    def surfaces_agree(self) -> None:
        for name, account in self.ledger.accounts.items():
            kept = self.store.run(self.store.api.surfaces.after(name, 0, 1_000))
            assert kept is not None
            assert [((s.as_of_ms, s.sequence), s.document) for s in kept] == account.surfaces
            newest = kept[-1].version if kept else 0
            assert newest >= self.versions.get(name, 0)
            self.versions[name] = newest
            if account.state == "idle":
                assert not self.server.run("EXISTS", KEYS.chain(name)), "no chain is kept that nobody waits for"

    @invariant()
    def events_agree(self) -> None:
        for name, account in self.ledger.accounts.items():
            kept = self.store.run(self.store.api.events.page(before=None, limit=1_000, underlyings={name}))
            assert [event.message for event in reversed(kept)] == account.events

    @invariant()
    def factors_agree(self) -> None:
        """For one who reads from time to time as for one who reads first."""
        for name, account in self.ledger.accounts.items():
            known = self.known_factors.get(name, NO_FACTORS)
            found = self.store.run(self.store.api.factors.recorded(name, known))
            fresh = self.store.run(self.store.api.factors.recorded(name, NO_FACTORS))
            assert rows_of(found) == rows_of(fresh) == rows_for(account.factors)
            if found:
                self.known_factors[name] = found.series
                newest = self.store.run(self.store.api.surfaces.newest(name))
                assert newest is not None
                assert found.series.version[-1] == newest.version

    def _running(self) -> list[str]:
        """Underlyings being fitted, in the order of their tokens."""
        running = [(number, name) for name, a in self.ledger.accounts.items() if (number := a.claim) is not None]
        return [name for _, name in sorted(running, key=lambda each: _token_id(self.claims[each[0]]))]

    def _claimed(self, claim: Claim | None, expected: tuple[str, int, int] | None) -> None:
        if expected is None:
            assert claim is None
            return
        assert claim is not None
        name, number, attempt = expected
        account = self.ledger.accounts[name]
        assert (claim.underlying, claim.attempt) == (name, attempt)
        assert (claim.as_of_ms, claim.sequence) == account.running
        previous = account.surfaces[-1][1] if account.surfaces else None
        assert (claim.previous.document if claim.previous else None) == previous
        assert claim.fence > max((c.fence for c in self.claims.values() if c.underlying == name), default=0)
        self.claims[number] = claim


def _token_id(claim: Claim) -> tuple[int, int]:
    milliseconds, _, sequence = claim.token.partition("-")
    return int(milliseconds), int(sequence)


@pytest.fixture
def protocol_on() -> Callable[[RealServer], type[WorkProtocol]]:
    def on(server: RealServer) -> type[WorkProtocol]:
        return type("WorkProtocolOnServer", (WorkProtocol,), {"server": server})

    return on


def test_the_scripts_keep_the_ledger(
    server: RealServer, protocol_on: Callable[[RealServer], type[WorkProtocol]]
) -> None:
    run_state_machine_as_test(
        protocol_on(server),
        settings=settings(
            max_examples=10,
            stateful_step_count=40,
            deadline=None,
            phases=[Phase.explicit, Phase.reuse, Phase.generate],  # a failure is printed whole; shrinking takes minutes
            suppress_health_check=list(HealthCheck),
        ),
    )
