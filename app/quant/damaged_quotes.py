"""Quotes that no market makes: one is an accident, several say that the feed is damaged, those that look right as well.

A book whose bid is above its ask would have traded, a price beyond the bounds of any option is nobody's, and a quote
that neither the surface nor its neighbours confirm is a wrong number. They are left out of the fit; what is left is
thinner, and made by whoever made them.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from app.quant.dropped import Dropped
from app.quant.smile import ExcludedExpiry, Smile

DAMAGED: Final = (
    Dropped.NEGATIVE,
    Dropped.CROSSED,
    Dropped.BELOW_INTRINSIC,
    Dropped.ABOVE_BOUND,
    Dropped.UNCONFIRMED,
)
"""What no market quotes. A missing side, an old quote or one in the money is not among them."""
SPARED: Final = (Dropped.IN_THE_MONEY, Dropped.EXPIRY_EXCLUDED)
"""Two-sided quotes that are as they should be and not fitted to."""
ACCIDENTS: Final = 1
"""In 553 recorded chains five had one damaged quote, none had two."""


def damaged_share(smiles: Sequence[Smile], excluded: Sequence[ExcludedExpiry]) -> float:
    """Return the share of damaged quotes in all two-sided ones of a chain; 0 up to ACCIDENTS."""
    dropped = [smile.dropped for smile in smiles] + [each.dropped for each in excluded]
    damaged = _count(dropped, DAMAGED)
    if damaged <= ACCIDENTS:
        return 0.0
    return damaged / (damaged + _count(dropped, SPARED) + sum(len(smile) for smile in smiles))


def _count(dropped: Sequence[Mapping[str, int]], reasons: Sequence[Dropped]) -> int:
    return sum(counts.get(reason, 0) for counts in dropped for reason in reasons)
