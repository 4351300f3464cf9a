"""The campaign's short form: sixty perturbed chains, none of which may break anything."""

from tests.bench.campaign import Finding, drawn, examined

SEED = 20261122
CASES = 60


def test_no_perturbed_chain_breaks_anything() -> None:
    statuses = []
    for number in range(CASES):
        case = drawn(SEED, number)
        found = list(examined(case))
        assert not [f for f in found if isinstance(f, Finding)], (number, case.name)
        statuses += found
    assert len(statuses) == CASES
    assert {"ok", "degraded", "rejected", "no smile"} == set(statuses)
