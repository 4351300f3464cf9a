"""The numbers of the gate's rules: what each is in, between what it may lie, and why it is what it is."""

from dataclasses import dataclass, field, fields
from typing import Any, Final

from app.quant.errors import QuantError

ORDERED: Final = (
    ("degraded_error", "rejected_error"),
    ("rejected_inside", "degraded_inside"),
    ("rejected_quotes", "degraded_quotes"),
    ("degraded_lone", "rejected_lone"),
)
"""Pairs whose first may not exceed the second: what rejects a surface is worse than what degrades it."""


class InvalidRules(QuantError):
    """Rules that lie beyond their bounds or contradict each other."""


def _rule(default: float, low: float, high: float, meaning: str) -> Any:
    return field(default=default, metadata={"low": low, "high": high, "meaning": meaning})


@dataclass(frozen=True, slots=True)
class GateRules:
    """What the gate judges by; see gate.py. Raises InvalidRules beyond a bound, and for an ORDERED pair that is not."""

    degraded_error: float = _rule(0.05, 0.0, 10.0, "RMS vol error above which a surface is degraded")
    """Ordinary chains fit to 0.015; those around inflation figures, spreads wide open, to 0.12."""
    rejected_error: float = _rule(0.25, 0.0, 10.0, "RMS vol error above which it is rejected")
    degraded_inside: float = _rule(0.80, 0.0, 1.0, "share of vols within bid and ask below which it is degraded")
    """The default model reaches 0.95 on nearly all chains, rigid families 0.6."""
    rejected_inside: float = _rule(0.35, 0.0, 1.0, "share of vols within bid and ask below which it is rejected")
    degraded_bars: float = _rule(
        0.25, 0.0, 100.0, "median half-width at the money over the vol above which it is degraded"
    )
    """Wider bars say little more than that there is a vol."""
    degraded_margin: float = _rule(1e-4, 0.0, 1.0, "least Durrleman g below which it is degraded")
    """A tenth of the margin that fits keep, a hundred million times rounding."""
    degraded_parity: float = _rule(
        0.4, 0.0, 1.0, "share of an expiry's strikes whose put and call contradict above which it is degraded"
    )
    """Contradict the forward that its other strikes agree on. In 553 recorded chains not one strike did; in index
    options with quotes of different moments up to a third, a sixth over all expiries."""
    rejected_parity: float = _rule(
        0.3, 0.0, 1.0, "share of all strikes whose put and call contradict above which it is rejected"
    )
    """No market makes them; a tenth on every premium makes half of the strikes contradict."""
    degraded_factor: float = _rule(
        0.005, 0.0, 10.0, "ln by which an expiry's premiums are surely off by a factor above which it is degraded"
    )
    rejected_factor: float = _rule(
        0.005, 0.0, 10.0, "ln by which all premiums are surely off by one factor above which it is rejected"
    )
    """Five standard deviations are granted: in 553 recorded chains and in 58 expiries of index options both are 0."""
    degraded_quotes: float = _rule(0.5, 0.0, 1.0, "quotes used, in those used before, below which it is degraded")
    """Below, the chain is a part of one."""
    rejected_quotes: float = _rule(0.2, 0.0, 1.0, "quotes used, in those used before, below which it is rejected")
    degraded_damaged: float = _rule(
        0.01, 0.0, 1.0, "share of two-sided quotes that no market makes above which it is degraded"
    )
    """Crossed, beyond the bounds of an option, or confirmed by nobody; one alone is an accident. In 553 recorded chains
    never more than one, in 16,000 quotes of index options one."""
    rejected_unconfirmed: float = _rule(0.08, 0.0, 1.0, "share of quotes nobody confirms above which it is rejected")
    """Single ones are left out, many are a broken feed."""
    rejected_repeated: float = _rule(
        0.1, 0.0, 1.0, "share of quotes in expiries that repeat an earlier chain above which it is rejected"
    )
    """Whole expiries that changed and came back to the last digit: in two recorded days not one did, in an old chain
    each does."""
    degraded_frozen_s: float = _rule(600.0, 0.0, 1e7, "seconds since any quote changed above which it is degraded")
    """A quote that old by its own stamp is not used either (smile.py); stamps that are renewed do not make it young."""
    rejected_jump: float = _rule(1.5, 1.0, 1e3, "half-widths of an unconfirmed move above which it is rejected")
    """From one on it is published as degraded; so is one up to ``large_jump`` within the spread of the quotes around.
    One within the spread around and its own new bar is never rejected. Of 553 recorded chains it rejects none."""
    large_jump: float = _rule(3.0, 1.0, 1e3, "half-widths of a move above which other expiries must confirm it")
    """Below, the mids of one expiry are believed alone: in 553 recorded chains five such moves were of 2 to 2.5."""
    degraded_lone: float = _rule(2.0, 1.0, 1e3, "half-widths a lone expiry moves above which it is degraded")
    rejected_lone: float = _rule(6.0, 1.0, 1e3, "half-widths a lone expiry moves above which it is rejected")
    """Beyond its neighbours in time, at any place of the smile. On two recorded days 2.4 and 2.9 but for the minutes of
    inflation figures, in a crash 1.6; where one side of one expiry was a quarter dearer 2 to 10. A move within its own
    new bar is never rejected: spreads are wide open there."""
    confirming_move: float = _rule(0.5, 0.0, 1.0, "share of a move that its confirmation must have made")
    confirming_reach: float = _rule(0.75, 0.0, 10.0, "deviations within which another expiry's mid confirms a move")
    confirming_quotes: int = _rule(3, 1, 100, "nearest mids whose median must have made a move")
    """One of them alone cannot confirm it."""
    confirming_expiries: float = _rule(0.5, 0.0, 1.0, "share of the other expiries that must confirm a large move")
    believed_after: int = _rule(
        3, 1, 1000, "chains in a row, none sent twice, after which a persistent change is believed"
    )
    """A change that persists is the market's; its own mids must still agree with it."""
    judged_deviations: float = _rule(2.0, 0.0, 10.0, "deviations from the money within which moves are judged")
    """Places further out are judged by nobody: few quotes, wide bars."""
    rejected_forward: float = _rule(
        0.0075, 0.0, 1.0, "move of one forward apart from the others, ln per root of five minutes, that rejects"
    )
    """Carry does not jump: on a day with inflation figures the largest was 0.006."""
    degraded_distortion: float = _rule(
        5.0, 0.0, 1e3, "standard deviations of a forward or premiums off, told by a smile's shape, that degrade it"
    )
    """Where that moves a vol beyond its bar. Two of 553 recorded chains have more, and are degraded for lone expiries,
    too; the next has 4.2."""
    degraded_outvoted: float = _rule(
        0.5, 0.0, 1.0, "share of expiries whose forward, as sent, their options outvote above which it is degraded"
    )
    """Of 553 recorded chains not one expiry; of a feed that stands still, or of another unit, all."""
    rejected_level: float = _rule(
        0.25, 0.0, 10.0, "move of all forwards, ln per root of five minutes, that rejects: another underlying's prices"
    )
    """The worst five minutes of bitcoin's worst days, in March 2020, were about a tenth. A larger one passes where the
    instruments of before trade at it (forward_moves.py)."""
    matters_s: float = _rule(43_200.0, 0.0, 1e7, "seconds an expiry must have left to be missed")
    """Less than half a day, and it may go without."""
    comparable_s: float = _rule(3_600.0, 0.0, 1e7, "age in seconds beyond which a surface is no measure for a new one")

    def __post_init__(self) -> None:
        for each in fields(self):
            value, low, high = getattr(self, each.name), each.metadata["low"], each.metadata["high"]
            if not low <= value <= high:
                raise InvalidRules(f"{each.name} is {value:g}: must be from {low:g} to {high:g}")
        for lesser, greater in ORDERED:
            if getattr(self, lesser) > getattr(self, greater):
                raise InvalidRules(
                    f"{lesser} is {getattr(self, lesser):g}: must be at most {greater}, {getattr(self, greater):g}"
                )


DEFAULT_RULES: Final = GateRules()
