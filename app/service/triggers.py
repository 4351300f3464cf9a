"""When each underlying is fitted, as an operator writes it: ``BTC=after:30s|outside:0.1|forward:0.002, *=every``.

A policy without a name, and the one named ``*``, is everybody else's; where none is, every chain is fitted.
"""

import math
import re
from dataclasses import dataclass, replace
from typing import Final

from app.quant.trigger_policy import EVERY_CHAIN, TriggerPolicy

EVERYBODY: Final = "*"
EVERY: Final = "every"
CONDITIONS: Final = {"after": ("after_s", "s"), "outside": ("outside", ""), "forward": ("forward", "")}
"""The field of TriggerPolicy that each condition gives, and the unit its number is written with."""
WORDS: Final = (
    f"{EVERY}, or conditions of a fit joined by | (after:30s, outside:0.1, forward:0.002),"
    " for each underlying such as BTC=after:30s|outside:0.1, *=every"
)
_UNDERLYING: Final = re.compile(r"[\w.:-]+|\*")


@dataclass(frozen=True, slots=True)
class Triggers:
    """Trigger policies by underlying, and everybody else's."""

    by_underlying: tuple[tuple[str, TriggerPolicy], ...] = ()
    otherwise: TriggerPolicy = EVERY_CHAIN

    def of(self, underlying: str) -> TriggerPolicy:
        """Return the policy of ``underlying``."""
        return dict(self.by_underlying).get(underlying, self.otherwise)

    def __str__(self) -> str:
        """Return the text that parses to these."""
        named = [f"{name}={_written(policy)}" for name, policy in (*self.by_underlying, (EVERYBODY, self.otherwise))]
        return ", ".join(named) if self.by_underlying else _written(self.otherwise)


def parse_triggers(text: str) -> Triggers:
    """Return the policies that ``text`` names. Raises ValueError where it breaks WORDS, or names one twice."""
    policies: dict[str, TriggerPolicy] = {}
    for entry in text.split(","):
        name, _, policy = entry.strip().rpartition("=")
        name = name.strip() or EVERYBODY
        if name in policies or not _UNDERLYING.fullmatch(name):
            raise ValueError(entry)
        policies[name] = _policy(policy.strip())
    otherwise = policies.pop(EVERYBODY, EVERY_CHAIN)
    return Triggers(tuple(policies.items()), otherwise)


def _policy(text: str) -> TriggerPolicy:
    policy = EVERY_CHAIN
    if text == EVERY:
        return policy
    for condition in text.split("|"):
        name, _, value = condition.strip().partition(":")
        if name not in CONDITIONS:
            raise ValueError(condition)
        field, unit = CONDITIONS[name]
        if getattr(policy, field) is not None or not value.endswith(unit):
            raise ValueError(condition)
        policy = replace(policy, **{field: _positive(value.removesuffix(unit))})
    if policy.outside is not None and policy.outside > 1.0:
        raise ValueError(text)
    return policy


def _positive(text: str) -> float:
    value = float(text)
    if not (value > 0.0 and math.isfinite(value)):
        raise ValueError(text)
    return value


def _written(policy: TriggerPolicy) -> str:
    given = ((name, getattr(policy, field), unit) for name, (field, unit) in CONDITIONS.items())
    return "|".join(f"{name}:{value:g}{unit}" for name, value, unit in given if value is not None) or EVERY
