"""When to fit, as an operator writes it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.quant.trigger_policy import EVERY_CHAIN, TriggerPolicy
from app.service.triggers import Triggers, parse_triggers


def test_policies_are_read_by_underlying() -> None:
    triggers = parse_triggers("BTC=after:30s|outside:0.10|forward:0.002, *=every, ETH=after:1.5s")
    assert triggers.of("BTC") == TriggerPolicy(after_s=30.0, outside=0.1, forward=0.002)
    assert triggers.of("ETH") == TriggerPolicy(after_s=1.5)
    assert triggers.of("SOL") == EVERY_CHAIN
    assert parse_triggers("every") == Triggers()
    assert parse_triggers("outside:0.2").of("anything") == TriggerPolicy(outside=0.2)
    assert parse_triggers("BTC=every").of("ETH").fits_every_chain
    assert str(triggers) == "BTC=after:30s|outside:0.1|forward:0.002, ETH=after:1.5s, *=every"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "never",
        "BTC=",
        "after:30",
        "after:-1s",
        "after:infs",
        "after:nans",
        "after_s:3",
        "outside:1.5",
        "forward:0",
        "every|after:3s",
        "after:3s|after:4s",
        "BTC=every, BTC=after:3s",
        "every, *=every",
        "BTC=every,",
        "B TC=every",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        parse_triggers(text)


condition = st.none() | st.integers(1, 1000).map(lambda n: n / 1000)
policies = st.builds(TriggerPolicy, after_s=condition, outside=condition, forward=condition)


@given(st.dictionaries(st.from_regex(r"[A-Z]{3,5}", fullmatch=True), policies, max_size=3), policies)
def test_what_is_written_reads_the_same(named: dict[str, TriggerPolicy], otherwise: TriggerPolicy) -> None:
    triggers = Triggers(tuple(named.items()), otherwise)
    assert parse_triggers(str(triggers)) == triggers
