"""How far a surface moved since the previous one, in vol space at fixed nodes and per parameter.

Raw parameter distance misleads (SVI parameters are weakly identified: sets far apart in R^5 can be one smile), so
the distance that counts is the vol change at nodes fixed in delta and tenor.
"""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from app.quant.arrays import FloatArray
from app.quant.nodes import DELTA_NAMES, TENOR_DAYS, tenor_bucket
from app.quant.surface import VolSurface


@dataclass(frozen=True, slots=True)
class Drift:
    """Vol changes are decimals. ``vol_rms`` is None without a previous surface or a common node.

    ``per_node`` holds (tenor in days, delta name, change); ``per_tenor`` (bucket, root mean square change over its
    nodes); ``per_parameter`` (bucket, parameter, root mean square change over the expiries both surfaces have).
    """

    vol_rms: float | None
    per_node: tuple[tuple[float, str, float], ...]
    per_tenor: tuple[tuple[str, float], ...]
    per_parameter: tuple[tuple[str, str, float], ...]


NO_DRIFT = Drift(None, (), (), ())


def drift_between(before: VolSurface, nodes_before: FloatArray, after: VolSurface, nodes_after: FloatArray) -> Drift:
    """Return the drift from ``before`` to ``after``; the node arrays are ``node_vols`` of the two."""
    change = nodes_after - nodes_before
    common = np.isfinite(change)
    per_node = tuple(
        (tenor, name, float(change[i, j]))
        for i, tenor in enumerate(TENOR_DAYS)
        for j, name in enumerate(DELTA_NAMES)
        if common[i, j]
    )
    per_tenor = tuple(
        (tenor_bucket(tenor / 365.0), _rms(change[i, common[i]]))
        for i, tenor in enumerate(TENOR_DAYS)
        if common[i].any()
    )
    vol_rms = _rms(change[common]) if common.any() else None
    return Drift(vol_rms, per_node, per_tenor, _parameter_drift(before, after))


def _parameter_drift(before: VolSurface, after: VolSurface) -> tuple[tuple[str, str, float], ...]:
    known = {s.expiry_ms: s.curve.parameters() for s in before.slices}
    changes: dict[tuple[str, str], list[float]] = defaultdict(list)
    for s in after.slices:
        if s.expiry_ms not in known:
            continue
        bucket = tenor_bucket(s.t)
        for name, value in s.curve.parameters().items():
            old = known[s.expiry_ms].get(name)
            if isinstance(value, float) and isinstance(old, float):
                changes[bucket, name].append(value - old)
    return tuple((bucket, name, _rms(np.array(values))) for (bucket, name), values in sorted(changes.items()))


def _rms(values: FloatArray) -> float:
    return float(np.sqrt(np.mean(values * values)))
