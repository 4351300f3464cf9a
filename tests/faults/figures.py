"""What the fault tests measured against what is promised, and where the rest of the promises is proven."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Figure:
    """A measured value and its target: at most, or at least where ``at_most`` is None."""

    promise: str
    what: str
    value: float
    unit: str
    at_most: float | None
    at_least: float | None

    @property
    def met(self) -> bool:
        return (self.at_most is None or self.value <= self.at_most) and (
            self.at_least is None or self.value >= self.at_least
        )

    @property
    def target(self) -> str:
        bounds = [f"<= {self.at_most:g}"] if self.at_most is not None else []
        return " ".join(bounds + ([f">= {self.at_least:g}"] if self.at_least is not None else []))


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


def figure(
    promise: str,
    what: str,
    value: float,
    unit: str = "",
    *,
    at_most: float | None = None,
    at_least: float | None = None,
) -> None:
    """Keep a figure for the table, and fail when it misses its target."""
    assert_met([Figure(promise, what, value, unit, at_most, at_least)])


def assert_met(figures: Sequence[Figure]) -> None:
    """Keep all figures for the table, and fail when one misses its target."""
    MEASURED.extend(figures)
    missed = [f"{each.what}: {each.value:g} {each.unit} is not {each.target}" for each in figures if not each.met]
    assert not missed, "; ".join(missed)


def table() -> Iterator[str]:
    """Yield the lines of the table."""
    groups: dict[tuple[int, str, str], list[Figure]] = defaultdict(list)
    for each in MEASURED:
        groups[len(each.promise), each.promise, each.what].append(each)
    for _, runs in sorted(groups.items()):
        worst = (min if runs[0].at_most is None else max)(runs, key=lambda run: run.value)
        verdict = "" if worst.met else "  NOT MET"
        times = f"worst of {len(runs)}" if len(runs) > 1 else ""
        yield (
            f"{worst.promise:4} {worst.what:76} {worst.value:10.4g} {worst.unit:4} {worst.target:10} {times}{verdict}"
        )
    for test, (promise, file, what) in ELSEWHERE.items():
        yield f"{promise:4} {what:45} {file} {test}"
