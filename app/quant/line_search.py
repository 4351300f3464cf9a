"""The search for a least value along the line: how far, how finely, and one step of a golden section."""

import math
from typing import Final

import numpy as np

from app.quant.arrays import FloatArray
from app.quant.compiled import inner_kernel

FAR: Final = 1e4
"""Search to this many times max(1, |m|, a/b) in log-moneyness: a slice is within 1e-4 of its wing limits there."""

FARTHEST: Final = 40.0
"""Largest asinh((k - m)/sigma) of a search: e^40 sigma is beyond any wing."""

GOLDEN: Final = 0.3819660112501051
"""Golden section: the share of the longer side of a bracket at which it is probed."""

SECTIONS: Final = 26
"""Steps of a golden section: the bracket shrinks by 4e-6, the least value is then off by the square of that."""

DROP: Final = 0.25
"""A valley's floor lies below its lowest sample by at most this share of the rise to its neighbours (parabola: 1/8)."""

PER_KNOT: Final = 2
"""Samples from one knot to the next."""


@inner_kernel
def raw_samples(raw: FloatArray, reach: float, samples: float, left: float, right: float) -> FloatArray:
    """Return places even in asinh((k - m)/sigma), out to ``reach`` from m, that are not strictly inside (left, right).

    The last place before and the first after the gap are its ends, so that no valley falls between two searches.
    """
    m, sigma = raw[3], raw[4]
    furthest = min(math.asinh(reach / sigma), FARTHEST)
    step = math.exp(2.0 * furthest / (samples - 1.0))
    z = math.exp(-furthest)
    ks = np.empty(int(samples) + 2)
    n = 0
    inside = False
    for _ in range(int(samples)):
        k = m + 0.5 * sigma * (z - 1.0 / z)
        z *= step
        if not left < k < right:
            if inside:
                ks[n] = right
                n += 1
            ks[n] = k
            n += 1
            inside = False
        elif not inside:
            ks[n] = left
            n += 1
            inside = True
    return ks[:n]


@inner_kernel
def bracket(
    low: float, middle: float, high: float, at_middle: float, k: float, at_k: float
) -> tuple[float, float, float, float]:
    """Return the bracket (low, middle, high) and its least value after a probe at ``k``."""
    if at_k < at_middle:
        return (middle, k, high, at_k) if k > middle else (low, k, middle, at_k)
    return (low, middle, k, at_middle) if k > middle else (k, middle, high, at_middle)


@inner_kernel
def subdivided(knots: FloatArray, count: int) -> FloatArray:
    """Return the knots of a residual of ``count`` coefficients and PER_KNOT - 1 places between neighbours."""
    ks = np.empty(PER_KNOT * (count + 3) + 1)
    for i in range(ks.shape[0] - 1):
        piece = i // PER_KNOT
        ks[i] = knots[piece] + (i % PER_KNOT) / PER_KNOT * (knots[piece + 1] - knots[piece])
    ks[-1] = knots[count + 3]
    return ks
