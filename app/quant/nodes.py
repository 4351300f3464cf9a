"""Fixed nodes of delta and tenor: where surfaces are published model-free and compared with each other."""

from typing import Final

import numpy as np

from app.quant.arrays import FloatArray
from app.quant.surface import VolSurface

TENOR_DAYS: Final = (7.0, 30.0, 90.0, 180.0)
DELTA_NAMES: Final = ("10P", "25P", "ATM", "25C", "10C")
"""Forward deltas; ATM is the strike at the forward."""

TENOR_BUCKETS: Final = (("1w", 14.0), ("1m", 60.0), ("3m", 135.0), ("6m", 270.0), ("1y", float("inf")))
"""Buckets of maturity by their upper bound in days, near the geometric middle of neighbouring tenors."""


def tenor_bucket(t: float) -> str:
    """Return the bucket of a maturity in years."""
    days = t * 365.0
    return next(name for name, upper in TENOR_BUCKETS if days <= upper)


def node_vols(surface: VolSurface) -> FloatArray:
    """Return vols at TENOR_DAYS x DELTA_NAMES, shape (tenors, deltas); NaN for tenors beyond the expiries."""
    vols = np.full((len(TENOR_DAYS), len(DELTA_NAMES)), np.nan)
    deltas, is_call = _wing_deltas()
    wings = [i for i, name in enumerate(DELTA_NAMES) if name != "ATM"]
    for row, tenor in enumerate(TENOR_DAYS):
        t = tenor / 365.0
        if not surface.covers(t):
            continue
        forward = surface.forward(t)
        k = np.zeros(len(DELTA_NAMES))
        k[wings] = np.log(surface.strikes_at_delta(deltas, t, is_call) / forward)
        reachable = np.isfinite(k)
        vols[row, reachable] = surface.vol(k[reachable], t)
    return vols


def _wing_deltas() -> tuple[FloatArray, list[bool]]:
    names = [name for name in DELTA_NAMES if name != "ATM"]
    is_call = [name.endswith("C") for name in names]
    signed = [int(name[:-1]) / 100.0 * (1.0 if call else -1.0) for name, call in zip(names, is_call, strict=True)]
    return np.array(signed), is_call
