from pathlib import Path

import pytest

from tests.faults.figures import ELSEWHERE, HANG_FACTOR, PROMISES, Figure, table

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("test", ELSEWHERE)
def test_what_is_said_to_be_proven_elsewhere_has_a_test_there(test: str) -> None:
    assert f"def {test}(" in (TESTS / ELSEWHERE[test][1]).read_text()


def test_a_figure_knows_whether_it_meets_its_target() -> None:
    assert Figure("T2", "retaken", 1.2, "s", at_most=1.5, at_least=None).met
    assert not Figure("T2", "retaken", 1.6, "s", at_most=1.5, at_least=None).met
    assert not Figure("T1", "chains", 3, "", at_most=None, at_least=10).met


def test_a_time_that_is_missed_fails_only_where_something_hangs() -> None:
    late = Figure("T2", "retaken", 1.6, "s", at_most=1.5, law=False)
    assert (late.met, late.tolerable_in(full=True)) == (False, True)
    hangs = Figure("T2", "retaken", 1.51 * HANG_FACTOR, "s", at_most=1.5, law=False)
    few = Figure("T1", "chains", 0.9 * 10 / HANG_FACTOR, at_least=10, law=False)
    assert [(each.tolerable_in(full=True), each.tolerable_in(full=False)) for each in (hangs, few)] == [
        (False, True)
    ] * 2
    assert not Figure("T1", "chains", 0, at_least=10, law=False).tolerable_in(full=False)
    for full in (False, True):
        assert not Figure("T1", "chains lost", 1, at_most=0).tolerable_in(full=full), "a law is a law"


def test_the_table_has_every_promise_and_says_what_was_missed_or_not_measured() -> None:
    runs = [
        Figure("T2", "retaken", seconds, "s", at_most=1.5, law=False, server=server)
        for seconds, server in ((1.2, "redis"), (1.6, "redis"), (1.1, "valkey"))
    ]
    lines = list(table(runs, {"T2": {"passed": 3}}))
    titles = [line.split()[0] for line in lines if not line.startswith(" ")]
    assert titles[: len(PROMISES)] == list(PROMISES)
    at = next(i for i, line in enumerate(lines) if line.startswith("T2 "))
    assert lines[at].endswith("3 passed")
    assert lines[at + 1].split()[1:] == ["redis", "1.6", "s", "<=", "1.5", "MISSED,", "worst", "of", "2"]
    assert lines[at + 2].split()[1:] == ["valkey", "1.1", "s", "<=", "1.5", "met"]
    assert lines[at + 3].startswith("T3 ")
    assert "NOT MEASURED" in lines[at + 4]
