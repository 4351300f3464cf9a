"""How far a surface moved since the previous one, in vol space at fixed nodes and per parameter.

Raw parameter distance misleads (SVI parameters are weakly identified: sets far apart in R^5 can be one smile), so
the distance that counts is the vol change at nodes fixed in delta and tenor. Parameters are compared in units of their
own errors: with C the covariance of the new fit, taken for the old one's too,

    z_i = (x_i - x'_i) / sqrt(2 C_ii),    joint distance = sqrt((x - x')' (2 C)^-1 (x - x') / p)  (Mahalanobis 1936),

both about 1 where nothing but noise moved and p the number of parameters.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import compress
from types import MappingProxyType
from typing import Final

import numpy as np

from app.quant.arrays import BoolArray, FloatArray
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
        (tenor_bucket(tenor / 365.0), float(_rms(change[i, common[i]])))
        for i, tenor in enumerate(TENOR_DAYS)
        if common[i].any()
    )
    vol_rms = float(_rms(change[common])) if common.any() else None
    compared = _parameter_changes(before, after, covariances)
    if compared is None:
        return Drift(vol_rms, per_node, per_tenor, ())
    return Drift(vol_rms, per_node, per_tenor, tuple(_parameter_drift(compared)), tuple(_joint_drift(compared)))


def mahalanobis(difference: FloatArray, covariance: FloatArray) -> FloatArray:
    """Return the squared distances d' C^-1 d of ``difference`` (..., p) and ``covariance`` (..., p, p), computed in
    units of each parameter's own sd."""
    sd = np.sqrt(np.diagonal(covariance, axis1=-2, axis2=-1))
    scaled = difference / sd
    correlation = covariance / (sd[..., :, None] * sd[..., None, :])
    return np.asarray(np.vecdot(scaled, np.linalg.solve(correlation, scaled[..., None])[..., 0]))


@dataclass(frozen=True, slots=True, eq=False)
class _ParameterChanges:
    """Of the expiries that both surfaces have: tenor bucket, change by parameter, twice the covariance where known."""

    buckets: tuple[str, ...]
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
    old = {s.expiry_ms: s.curve.parameters() for s in before.slices}
    common = [s for s in after.slices if s.expiry_ms in old]
    if not common:
        return None
    new = [s.curve.parameters() for s in common]
    first = old[common[0].expiry_ms]
    numbers = enumerate(new[0].items())
    places = {n: i for i, (n, v) in numbers if isinstance(v, float) and isinstance(first.get(n), float)}
    if not places:
        return None
    at = np.array(list(places.values()))
    change = [[now[n] - old[s.expiry_ms][n] for n in places] for s, now in zip(common, new, strict=True)]
    known = [s.expiry_ms in covariances for s in common]
    return _ParameterChanges(
        buckets=tuple(tenor_bucket(s.t) for s in common),
        names=tuple(places),
        change=np.array(change),
        known=np.array(known, dtype=np.bool_),
        covariance=np.array([2.0 * covariances[s.expiry_ms][at[:, None], at] for s in compress(common, known)]),
    )


def _parameter_drift(compared: _ParameterChanges) -> Iterator[tuple[str, str, float, float | None]]:
    scores = np.full(compared.change.shape, np.nan)
    if compared.known.any():
        deviations = np.sqrt(np.diagonal(compared.covariance, axis1=1, axis2=2))
        scores[compared.known] = compared.change[compared.known] / deviations
    names = sorted(range(len(compared.names)), key=compared.names.__getitem__)
    buckets = np.array(compared.buckets)
    for bucket in sorted(set(compared.buckets)):
        here = buckets == bucket
        changes, known = _rms(compared.change[here]).tolist(), here & compared.known
        zscores = _rms(scores[known]).tolist() if known.any() else None
        for i in names:
            yield bucket, compared.names[i], changes[i], zscores[i] if zscores else None


def _joint_drift(compared: _ParameterChanges) -> Iterator[tuple[str, float]]:
    if not compared.known.any():
        return
    squares = mahalanobis(compared.change[compared.known], compared.covariance) / len(compared.names)
    buckets = np.array(compared.buckets)[compared.known]
    for bucket in sorted(set(buckets.tolist())):
        yield bucket, float(np.sqrt(squares[buckets == bucket].mean()))


def _rms(values: FloatArray) -> FloatArray:
    """Return the root mean square over the first axis."""
    root: FloatArray = np.sqrt(np.mean(values * values, axis=0))
    return root
