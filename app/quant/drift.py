"""How far a surface moved since the previous one, in vol space at fixed nodes and per parameter.

Raw parameter distance misleads (SVI parameters are weakly identified: sets far apart in R^5 can be one smile), so
the distance that counts is the vol change at nodes fixed in delta and tenor. Parameters are compared in units of their
own errors: with C the covariance of the new fit, taken for the old one's too,

    z_i = (x_i - x'_i) / sqrt(2 C_ii),    joint distance = sqrt((x - x')' (2 C)^-1 (x - x') / p)  (Mahalanobis 1936),

both about 1 where nothing but noise moved and p the number of parameters.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

from app.quant.arrays import FloatArray
from app.quant.nodes import DELTA_NAMES, TENOR_DAYS, tenor_bucket
from app.quant.surface import VolSurface

NO_COVARIANCES: Final[Mapping[int, FloatArray]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Drift:
    """Vol changes are decimals. ``vol_rms`` is None without a previous surface or a common node.

    ``per_node`` holds (tenor in days, delta name, change); ``per_tenor`` (bucket, root mean square change over its
    nodes); ``per_parameter`` (bucket, parameter, root mean square change over the expiries both surfaces have, the same
    of z or None where no covariance is known); ``joint`` (bucket, root mean square joint distance).
    """

    vol_rms: float | None
    per_node: tuple[tuple[float, str, float], ...]
    per_tenor: tuple[tuple[str, float], ...]
    per_parameter: tuple[tuple[str, str, float, float | None], ...]
    joint: tuple[tuple[str, float], ...] = ()


NO_DRIFT = Drift(None, (), (), ())


def drift_between(
    before: VolSurface,
    nodes_before: FloatArray,
    after: VolSurface,
    nodes_after: FloatArray,
    covariances: Mapping[int, FloatArray] = NO_COVARIANCES,
) -> Drift:
    """Return the drift from ``before`` to ``after``; the node arrays are ``node_vols`` of the two.

    ``covariances`` are those of the parameters of ``after`` by expiry, in their published order.
    """
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
    return Drift(
        vol_rms,
        per_node,
        per_tenor,
        _parameter_drift(before, after, covariances),
        _joint_drift(before, after, covariances),
    )


def mahalanobis(difference: FloatArray, covariance: FloatArray) -> float:
    """Return the squared distance d' C^-1 d, computed in units of each parameter's own sd."""
    sd = np.sqrt(np.diag(covariance))
    scaled = difference / sd
    return float(scaled @ np.linalg.solve(covariance / np.outer(sd, sd), scaled))


def _parameter_drift(
    before: VolSurface, after: VolSurface, covariances: Mapping[int, FloatArray]
) -> tuple[tuple[str, str, float, float | None], ...]:
    changes: dict[tuple[str, str], list[float]] = defaultdict(list)
    scores: dict[tuple[str, str], list[float]] = defaultdict(list)
    for bucket, expiry_ms, change in _parameter_changes(before, after):
        for i, (name, value) in enumerate(change.items()):
            changes[bucket, name].append(value)
            if expiry_ms in covariances:
                scores[bucket, name].append(value / np.sqrt(2.0 * covariances[expiry_ms][i, i]))
    return tuple(
        (*key, _rms(np.array(values)), _rms(np.array(scores[key])) if key in scores else None)
        for key, values in sorted(changes.items())
    )


def _joint_drift(
    before: VolSurface, after: VolSurface, covariances: Mapping[int, FloatArray]
) -> tuple[tuple[str, float], ...]:
    squares: dict[str, list[float]] = defaultdict(list)
    for bucket, expiry_ms, change in _parameter_changes(before, after):
        if expiry_ms in covariances:
            covariance = 2.0 * covariances[expiry_ms]
            squares[bucket].append(mahalanobis(np.array(list(change.values())), covariance) / len(change))
    return tuple((bucket, float(np.sqrt(np.mean(values)))) for bucket, values in sorted(squares.items()))


def _parameter_changes(before: VolSurface, after: VolSurface) -> Iterator[tuple[str, int, dict[str, float]]]:
    """Yield bucket, expiry and change by parameter of the expiries that both surfaces have."""
    known = {s.expiry_ms: s.curve.parameters() for s in before.slices}
    for s in after.slices:
        old = known.get(s.expiry_ms, {})
        numbers = s.curve.parameters().items()
        change = {n: v - old[n] for n, v in numbers if isinstance(v, float) and isinstance(old.get(n), float)}
        if change:
            yield tenor_bucket(s.t), s.expiry_ms, change


def _rms(values: FloatArray) -> float:
    return float(np.sqrt(np.mean(values * values)))
