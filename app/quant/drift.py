"""How far a surface moved since the previous one, in vol space at fixed nodes and per parameter.

Raw parameter distance misleads (SVI parameters are weakly identified: sets far apart in R^5 can be one smile), so
the distance that counts is the vol change at nodes fixed in delta and tenor. Parameters are compared in units of their
own errors: with C the covariance of the new fit, taken for the old one's too,

    z_i = (x_i - x'_i) / sqrt(2 C_ii),    joint distance = sqrt((x - x')' (2 C)^-1 (x - x') / p)  (Mahalanobis 1936),

both about 1 where nothing but noise moved and p the number of parameters.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import compress
from operator import itemgetter
from types import MappingProxyType
from typing import Final

import numpy as np

from app.quant.arrays import BoolArray, FloatArray, IntArray
from app.quant.nodes import DELTA_NAMES, TENOR_BUCKETS, TENOR_DAYS, tenor_places
from app.quant.surface import VolSurface

NO_COVARIANCES: Final[Mapping[int, FloatArray]] = MappingProxyType({})
_NODE_PLACES: Final = tenor_places(np.array(TENOR_DAYS) / 365.0)


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
        (TENOR_DAYS[i], DELTA_NAMES[j], moved)
        for (i, j), moved in zip(np.argwhere(common).tolist(), change[common].tolist(), strict=True)
    )
    squares = change[common] ** 2
    by_tenor = _root_means(squares[:, None], _NODE_PLACES[np.nonzero(common)[0]])
    per_tenor = tuple((bucket, root) for bucket, (root,) in by_tenor.items())
    vol_rms = math.sqrt(squares.sum() / squares.size) if squares.size else None
    compared = _parameter_changes(before, after, covariances)
    if compared is None:
        return Drift(vol_rms, per_node, per_tenor, ())
    return Drift(vol_rms, per_node, per_tenor, _parameter_drift(compared), _joint_drift(compared))


def mahalanobis(difference: FloatArray, covariance: FloatArray) -> FloatArray:
    """Return the squared distances d' C^-1 d of ``difference`` (..., p) and ``covariance`` (..., p, p), computed in
    units of each parameter's own sd."""
    sd = np.sqrt(np.diagonal(covariance, axis1=-2, axis2=-1))
    scaled = difference / sd
    correlation = covariance / (sd[..., :, None] * sd[..., None, :])
    return np.asarray(np.vecdot(scaled, np.linalg.solve(correlation, scaled[..., None])[..., 0]))


@dataclass(frozen=True, slots=True, eq=False)
class _ParameterChanges:
    """Of the n expiries that both surfaces have, ascending: places in TENOR_BUCKETS, change by parameter, twice the
    covariance where known."""

    places: IntArray
    names: tuple[str, ...]
    change: FloatArray
    """(n, p)"""
    known: BoolArray
    covariance: FloatArray
    """(number known, p, p)"""


def _parameter_changes(
    before: VolSurface, after: VolSurface, covariances: Mapping[int, FloatArray]
) -> _ParameterChanges | None:
    """Return what can be compared, None where nothing can. All slices of a surface have the same parameters."""
    curves = {s.expiry_ms: s.curve for s in before.slices}
    common = [s for s in after.slices if s.expiry_ms in curves]
    if not common:
        return None
    old = [curves[s.expiry_ms].parameters() for s in common]
    new = [s.curve.parameters() for s in common]
    names = [n for n, v in new[0].items() if isinstance(v, float) and isinstance(old[0].get(n), float)]
    if not names:
        return None
    at = np.array([i for i, n in enumerate(new[0]) if n in names])
    known = [s.expiry_ms in covariances for s in common]
    covariance = np.array([covariances[s.expiry_ms] for s in compress(common, known)])
    return _ParameterChanges(
        places=tenor_places(np.array([s.t for s in common])),
        names=tuple(names),
        change=np.array([[now[n] - then[n] for n in names] for then, now in zip(old, new, strict=True)]),
        known=np.array(known, dtype=np.bool_),
        covariance=2.0 * covariance[:, at[:, None], at] if covariance.size else covariance,
    )


def _parameter_drift(compared: _ParameterChanges) -> tuple[tuple[str, str, float, float | None], ...]:
    known, scores = compared.known, dict[str, list[float]]()
    changes = _root_means(compared.change**2, compared.places)
    if known.any():
        deviations = np.sqrt(np.diagonal(compared.covariance, axis1=1, axis2=2))
        scores = _root_means((compared.change[known] / deviations) ** 2, compared.places[known])
    names = sorted(enumerate(compared.names), key=itemgetter(1))
    return tuple(
        (bucket, name, changes[bucket][i], scores[bucket][i] if bucket in scores else None)
        for bucket in sorted(changes)
        for i, name in names
    )


def _joint_drift(compared: _ParameterChanges) -> tuple[tuple[str, float], ...]:
    known = compared.known
    if not known.any():
        return ()
    squares = mahalanobis(compared.change[known], compared.covariance) / len(compared.names)
    distances = _root_means(squares[:, None], compared.places[known])
    return tuple(sorted((bucket, distance) for bucket, (distance,) in distances.items()))


def _root_means(squares: FloatArray, places: IntArray) -> dict[str, list[float]]:
    """Return by tenor bucket the roots of the column means of ``squares`` (n, p), whose ``places`` (n,) ascend."""
    bounds = np.searchsorted(places, np.arange(len(TENOR_BUCKETS) + 1))
    sizes = bounds[1:] - bounds[:-1]
    found = np.flatnonzero(sizes)
    roots = np.sqrt(np.add.reduceat(squares, bounds[found]) / sizes[found, None]).tolist()
    return {TENOR_BUCKETS[place][0]: root for place, root in zip(found.tolist(), roots, strict=True)}
