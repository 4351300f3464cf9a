"""Old chains under fresh stamps: a number that the quotes of an expiry have, and those of the chains published lately.

Prices of half an hour ago make a good surface, so nothing about the fit tells that they are old. But dozens of quotes
that changed do not come back, sizes and all, to the last digit: an expiry whose quotes are those of an earlier chain,
and not those of the last one, is an old one sent again. One that is still as it was is no news and counts as nothing;
only a whole chain in which nothing changes for long is a feed that stands still.
"""

import zlib
from dataclasses import dataclass
from itertools import compress
from typing import Final

import numpy as np

from app.quant.chain import ExpiryQuotes, OptionChain

REMEMBERED: Final = 12
"""Chains: an hour of five-minute ones. Older prices leave the bars, and then the market must confirm them."""

Digests = tuple[int, ...]
"""The CRC-32 of each expiry's quotes: 13 expiries meet one of 156 others by chance once in two million chains."""


@dataclass(frozen=True, slots=True)
class ChainMemory:
    """Digests of the last chains that were published, newest first; chains that changed nothing are one.

    ``since_ms`` is the time of the first chain that was like the newest.
    """

    chains: tuple[Digests, ...] = ()
    since_ms: int = 0

    def after(self, digests: Digests, as_of_ms: int) -> "ChainMemory":
        """Return the memory after a chain of ``as_of_ms`` with ``digests`` was published."""
        if self.chains[:1] == (digests,):
            return self
        return ChainMemory((digests, *self.chains)[:REMEMBERED], as_of_ms)

    def unchanged_s(self, digests: Digests, as_of_ms: int) -> float:
        """Return for how many seconds every quote has been what it is in a chain of ``as_of_ms`` with ``digests``."""
        return (as_of_ms - self.since_ms) / 1e3 if self.chains[:1] == (digests,) else 0.0


def digests_of(chain: OptionChain) -> Digests:
    """Return the digest of each expiry of ``chain``, in its order: strikes, sides, prices and sizes, no times."""
    return tuple(_digest(expiry) for expiry in chain.expiries)


def repeated_share(chain: OptionChain, digests: Digests, memory: ChainMemory) -> float:
    """Return the share of two-sided quotes in expiries that left what they are now and came back to it."""
    if not memory.chains:
        return 0.0
    last, earlier = set(memory.chains[0]), {digest for older in memory.chains[1:] for digest in older}
    back = [d in earlier and d not in last for d in digests]
    if not any(back):
        return 0.0
    two_sided = [int(np.count_nonzero((e.bid > 0.0) & (e.ask > 0.0))) for e in chain.expiries]
    return sum(compress(two_sided, back)) / max(sum(two_sided), 1)


def _digest(quotes: ExpiryQuotes) -> int:
    columns = quotes.strike, quotes.is_call, quotes.bid, quotes.ask, quotes.bid_size, quotes.ask_size
    expiry = quotes.expiry_ms.to_bytes(8, "little", signed=True)
    return zlib.crc32(b"".join((expiry, *(column.tobytes() for column in columns))))
