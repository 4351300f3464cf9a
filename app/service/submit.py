"""Take a chain: check its clock, store it as the underlying's newest, mark it waiting."""

from collections.abc import Callable
from typing import Final

from app.quant.chain import OptionChain
from app.quant.errors import InvalidChain
from app.service.iso_time import iso_utc
from app.service.ports import ChainIntake, SubmitOutcome

MAX_CLOCK_SKEW_MS: Final = 5_000
"""How far ahead of the service's clock a chain may be. A later one would block every true chain until that time."""


class ClockSkew(InvalidChain):
    """A chain from the future."""


async def submit_chain(
    chain: OptionChain, *, intake: ChainIntake, encode: Callable[[OptionChain], bytes], now_ms: int
) -> SubmitOutcome:
    """Store ``chain`` and return what became of it. Raises ClockSkew and StoreUnavailable."""
    if chain.as_of_ms > now_ms + MAX_CLOCK_SKEW_MS:
        raise ClockSkew(
            f"as_of {iso_utc(chain.as_of_ms)} is {(chain.as_of_ms - now_ms) / 1000:.3f} s ahead of the service's clock;"
            f" at most {MAX_CLOCK_SKEW_MS / 1000:g} s are accepted",
            pointer="/as_of",
        )
    return await intake.submit(chain.underlying, chain.as_of_ms, chain.sequence, encode(chain))
