"""Rules of the gate: bounds and pairs hold wherever they are made."""

from dataclasses import fields

import pytest

from app.quant.gate_rules import DEFAULT_RULES, ORDERED, GateRules, InvalidRules


@pytest.mark.parametrize("name", [each.name for each in fields(GateRules)])
def test_a_rule_beyond_its_bounds_is_named_with_its_value(name: str) -> None:
    high = next(each.metadata["high"] for each in fields(GateRules) if each.name == name)
    with pytest.raises(InvalidRules, match=rf"^{name} is .*: must be from "):
        GateRules(**{name: high + 1})
    with pytest.raises(InvalidRules, match=f"^{name} is nan"):
        GateRules(**{name: float("nan")})


@pytest.mark.parametrize(("lesser", "greater"), ORDERED)
def test_what_degrades_comes_before_what_rejects(lesser: str, greater: str) -> None:
    same = getattr(DEFAULT_RULES, greater)
    assert getattr(GateRules(**{lesser: same}), lesser) == same
    with pytest.raises(InvalidRules, match=f"^{lesser} is .*: must be at most {greater}"):
        GateRules(**{lesser: same + 0.01})
