"""Numbers and names as bodies carry them, with the bounds that keep everything computed from them finite."""

from typing import Annotated, Final

from msgspec import Meta

from app.quant.errors import InvalidChain

MAX_AMOUNT: Final = 1e12
"""Largest price, strike, forward or size taken, in any unit: above every market, far below overflow when squared."""
MIN_STRIKE: Final = 1e-9
"""Smallest strike, forward or futures price taken; its logarithm and its inverse are harmless."""

UNDERLYING_PATTERN: Final = r"^[A-Z0-9][A-Z0-9._-]{0,31}(?!\n)$"
"""A name that is safe as a store key, a path segment and a metric label: up to 32 capitals, digits, dots, underscores
and hyphens. The lookahead is there because ``$`` alone also matches before a final line feed."""
SOURCE_PATTERN: Final = r"^[ -~]{1,64}(?!\n)$"
"""Up to 64 printable ASCII characters."""

Price = Annotated[
    float, Meta(ge=-MAX_AMOUNT, le=MAX_AMOUNT, description="In premium units; null or 0: that side has no quote.")
]
FuturePrice = Annotated[
    float, Meta(ge=0.0, le=MAX_AMOUNT, description="In quote currency; null or 0: that side has no quote.")
]
Size = Annotated[float, Meta(ge=0.0, le=MAX_AMOUNT, description="In contracts.")]
Strike = Annotated[float, Meta(ge=MIN_STRIKE, le=MAX_AMOUNT, description="In quote currency.")]
Underlying = Annotated[str, Meta(pattern=UNDERLYING_PATTERN)]
Source = Annotated[str, Meta(pattern=SOURCE_PATTERN)]


def future_price(price: float | None, pointer: str) -> float:
    """Return one side of a future, NaN where nobody quotes (null or 0).

    Raises InvalidChain at ``pointer`` for a price below MIN_STRIKE: it would become a forward.
    """
    if price is None or price == 0.0:
        return float("nan")
    if price < MIN_STRIKE:
        raise InvalidChain(f"{pointer} is {price!r}: a futures price is at least {MIN_STRIKE}", pointer)
    return price
