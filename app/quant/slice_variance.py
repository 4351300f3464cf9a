"""Total variance of a slice, checked: what interpolation in maturity is made of."""

from functools import lru_cache
from typing import Final

import numpy as np

from app.quant.arrays import FloatArray
from app.quant.errors import InvalidParameters
from app.quant.models.base import SliceState

REMEMBERED: Final = 512
"""At-the-money variances kept: a query at each strike of a few surfaces asks for the same ones again and again."""


def variances(state: SliceState, k: FloatArray) -> FloatArray:
    """Return w(k), the shape of ``k``. Raises InvalidParameters where the curve's w is not a positive number."""
    w = state.curve.total_variance(k)
    bad = ~((w > 0.0) & np.isfinite(w))
    if bad.any():
        i = int(np.argmax(bad))
        raise InvalidParameters(f"expiry {state.expiry_ms}: total variance {w[i]} at k = {k[i]} must be positive")
    return w


@lru_cache(maxsize=REMEMBERED)
def at_the_money_variance(state: SliceState) -> float:
    """Return w(0), checked as in :func:`variances`."""
    return float(variances(state, np.zeros(1))[0])
