"""What the fault tests measured against what is promised, and where the rest of the promises is proven."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.faults import extent

PROMISES: Final = {
    "T1": "conservation law under kills, freezes and late chains",
    "T2": "kill -9 of a worker in a fit",
    "T3": "SIGTERM of a worker",
    "T4": "kill -9 of the store",
    "T5": "a frozen store",
    "T6": "a store without memory",
    "T7": "a full disk",
    "T8": "a log cut off anywhere",
    "T9": "flipped bits in the log",
    "T10": "a worker cut off beyond its lease",
    "T11": "duplicates, late chains and chains from the future",
    "T12": "a chain that kills its worker",
    "T13": "a fit that hangs",
    "T16": "resume of a stream",
    "T17": "lost writes and versions",
    "T20": "clocks that are wrong",
    "T21": "nothing grows",
    "T22": "restart of API and workers, one after another",
    "T23": "what the service adds to a fit",
}
"""The promises that the fault tests measure; a table without one of them says so."""

HANG_FACTOR: Final = 10.0
"""How far beyond its target a time fails its test in the full form. A machine that is busy with other things misses a
target now and then, which the table tells and no test is about; what takes ten times as long as promised hangs. In the
short form, which is no measurement, no time fails a test: whatever hangs runs into the limits of the tests' waits."""


@dataclass(frozen=True)
class Figure:
    """A measured value and its target: at most, or at least where ``at_most`` is None.

    A ``law`` holds on every machine. Any other figure depends on how busy the machine is: see HANG_FACTOR.
    """

    promise: str
    what: str
    value: float
    unit: str = ""
    at_most: float | None = None
    at_least: float | None = None
    law: bool = True
    server: str = field(default_factory=lambda: on_server.name)

    @property
    def met(self) -> bool:
        return self._within(1.0)

    @property
    def tolerable(self) -> bool:
        """Whether the test goes on: a law is met, and what is none is not beyond all reason."""
        return self.tolerable_in(full=extent.FULL)

    def tolerable_in(self, *, full: bool) -> bool:
        """Whether the test goes on in the full or the short form, where what is no law has only to be something."""
        if self.law or full:
            return self._within(1.0 if self.law else HANG_FACTOR)
        return self.at_least is None or self.value > 0.0

    @property
    def target(self) -> str:
        bounds = [f"<= {self.at_most:g}"] if self.at_most is not None else []
        return " ".join(bounds + ([f">= {self.at_least:g}"] if self.at_least is not None else []))

    def _within(self, factor: float) -> bool:
        return (self.at_most is None or self.value <= self.at_most * factor) and (
            self.at_least is None or self.value >= self.at_least / factor
        )


class OnServer:
    """The kind of server that the running test is on."""

    name = "valkey"


on_server: Final = OnServer()
MEASURED: Final[list[Figure]] = []

ELSEWHERE: Final = {
    "test_the_scripts_keep_the_ledger": (
        "T1",
        "store/test_conservation.py",
        "any sequence of operations keeps the law",
    ),
    "test_a_full_store_refuses_chains_and_drains": (
        "T6",
        "store/test_failures.py",
        "a full store refuses chains and drains",
    ),
    "test_says_when_to_try_again_without_a_store": ("T6", "api/test_chains.py", "a full store: 503 from the intake"),
    "test_a_frozen_store_is_answered_for_in_time": (
        "T5",
        "api/test_real_store.py",
        "a frozen store: reads go on from memory",
    ),
    "test_refuses_a_chain_from_the_future": ("T11", "api/test_chains.py", "a chain from the future is refused"),
    "test_an_older_chain_is_stale": ("T11", "store/test_protocol.py", "duplicates and late chains change nothing"),
    "test_resume_while_surfaces_are_published_has_no_gap": ("T16", "api/test_stream.py", "resume: gap-free or reset"),
    "test_resume_and_history_through_a_crash_of_the_store": (
        "T16",
        "api/test_real_store.py",
        "resume after a store's crash",
    ),
    "test_every_subscriber_accounts_for_every_update": (
        "T14",
        "api/test_fan_out.py",
        "every subscriber accounts for every update",
    ),
    "test_who_never_reads_holds_nobody_and_is_closed": ("T15", "api/test_fan_out.py", "who never reads is closed"),
    "test_hostile_bodies_are_the_clients_fault": ("T18", "api/test_chains.py", "hostile bodies are 4xx"),
    "test_health_answers_beside_hundreds_of_half_requests": (
        "T19",
        "api/test_server.py",
        "half-open requests are ended",
    ),
    "test_generated_requests_find_no_fault": ("T24", "api/test_schemathesis.py", "generated requests find no fault"),
}
"""Tests that prove the other promises: the promise, their file and what they prove."""


def law(
    promise: str,
    what: str,
    value: float,
    unit: str = "",
    *,
    at_most: float | None = None,
    at_least: float | None = None,
) -> None:
    """Keep a figure that no load of the machine excuses, and fail when it misses its target."""
    keep([Figure(promise, what, value, unit, at_most, at_least)])


def timing(
    promise: str,
    what: str,
    value: float,
    unit: str,
    *,
    at_most: float | None = None,
    at_least: float | None = None,
) -> None:
    """Keep a time or a rate beside its target, and fail only when it is HANG_FACTOR away from it, in the full form."""
    keep([Figure(promise, what, value, unit, at_most, at_least, law=False)])


def keep(figures: Sequence[Figure]) -> None:
    """Keep all figures for the table, and fail when one is not tolerable."""
    MEASURED.extend(figures)
    missed = [f"{each.what}: {each.value:g} {each.unit} is not {each.target}" for each in figures if not each.tolerable]
    assert not missed, "; ".join(missed)


def table(measured: Iterable[Figure], outcomes: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    """Yield the lines of the table: the worst of equal figures, by promise and server, and where the others are.

    ``outcomes`` counts, by promise, how its tests ended.
    """
    groups: dict[tuple[str, str, str], list[Figure]] = defaultdict(list)
    for each in measured:
        groups[each.promise, each.what, each.server].append(each)
    for promise, title in PROMISES.items():
        ended = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.get(promise, {}).items())
        yield f"{promise:4} {title}: {ended or 'NO TEST RAN'}"
        mine = [runs for (of, _, _), runs in sorted(groups.items()) if of == promise]
        yield from map(_row, mine)
        if not mine:
            yield "     NOT MEASURED"
    for test, (promise, file, what) in ELSEWHERE.items():
        yield f"{promise:4} {what:45} {file} {test}"


def _row(runs: Sequence[Figure]) -> str:
    worst = (min if runs[0].at_most is None else max)(runs, key=lambda run: run.value)
    times = f", worst of {len(runs)}" if len(runs) > 1 else ""
    verdict = "met" if worst.met else "MISSED"
    return (
        f"     {worst.what:76} {worst.server:6} {worst.value:10.4g} {worst.unit:4} {worst.target:10} {verdict}{times}"
    )
