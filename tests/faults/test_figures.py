from pathlib import Path

import pytest

from tests.faults.figures import ELSEWHERE, Figure

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("test", ELSEWHERE)
def test_what_is_said_to_be_proven_elsewhere_has_a_test_there(test: str) -> None:
    assert f"def {test}(" in (TESTS / ELSEWHERE[test][1]).read_text()


def test_a_figure_knows_whether_it_meets_its_target() -> None:
    assert Figure("T2", "retaken", 1.2, "s", at_most=1.5, at_least=None).met
    assert not Figure("T2", "retaken", 1.6, "s", at_most=1.5, at_least=None).met
    assert not Figure("T1", "chains", 3, "", at_most=None, at_least=10).met
