"""Is it the same market? The instruments that a chain lists, and a sample of those that the last published one did.

Prices move, strikes do not: after any crash the instruments of the minute before are still listed, and new ones beside
them. Of another underlying's chain, or of one in another unit, next to none are. The sample is of the smallest hashes
(Broder 1997, On the resemblance and containment of documents): the share of them that a later chain lists estimates,
without bias, the share of all. It is of those alone that outlive the time a later chain is compared over: what expires
meanwhile is listed by nobody, whoever's chain it is.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.quant.chain import OptionChain

SAMPLE: Final = 64
"""Instruments remembered: a share of 0.8 of them is known to 0.05."""

Instruments = NDArray[np.uint32]
"""A hash of expiry, strike and side of each quote of a chain, in its order."""

_ODD: Final = np.uint64(0x9E3779B97F4A7C15)
_MIXERS: Final = ((np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)), (np.uint64(27), np.uint64(0x94D049BB133111EB)))
_UPPER_HALF: Final = np.uint64(32)


def instruments_of(chain: OptionChain) -> Instruments:
    """Return the instruments of ``chain``, hashed by the finaliser of SplitMix64 (Steele, Lea and Flood 2014)."""
    if not chain.expiries:
        return np.empty(0, dtype=np.uint32)
    expiries = np.array([e.expiry_ms for e in chain.expiries], dtype=np.int64).view(np.uint64)
    expiry = np.repeat(expiries, [len(e) for e in chain.expiries])
    strike = np.concatenate([e.strike for e in chain.expiries]).view(np.uint64)
    is_call = np.concatenate([e.is_call for e in chain.expiries])
    mixed = (expiry * _ODD ^ strike) * _ODD + is_call
    for shift, factor in _MIXERS:
        mixed ^= mixed >> shift
        mixed *= factor
    hashed: Instruments = (mixed >> _UPPER_HALF).astype(np.uint32)
    return hashed


def sample_of(chain: OptionChain, instruments: Instruments, until_ms: float) -> tuple[int, ...]:
    """Return the SAMPLE smallest hashes of the ``instruments`` of ``chain`` that expire after ``until_ms``, ascending;
    all where there are fewer."""
    expiring = sum(len(e) for e in chain.expiries if e.expiry_ms <= until_ms)
    return tuple(np.sort(instruments[expiring:])[:SAMPLE].tolist())


def listed_share(instruments: Instruments, sample: tuple[int, ...]) -> float:
    """Return the share of ``sample`` that is among ``instruments``; 0 of none."""
    if not (sample and instruments.size):
        return 0.0
    # np.isin would take five times as long.
    ascending, wanted = np.sort(instruments), np.array(sample, dtype=np.uint32)
    at = np.minimum(np.searchsorted(ascending, wanted), ascending.size - 1)
    return float((ascending[at] == wanted).mean())
