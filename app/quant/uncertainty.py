"""Error bars of a fitted surface: at each node the sd of a mid that the market may show there, times a factor.

The sd has two parts: how well the quotes fix the curve (models/svi_uncertainty.py) and the quotes' own noise nearby
(quote_noise.py), or what the curve misses them by where that is more: quotes that contradict each other beyond their
spreads know the curve by no better. The factor of each bucket of moneyness and tenor is kept by conformal.py from the
chains that follow, so that the published band holds the stated share of their mids whatever the model of the sd leaves
out.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from app.quant.arrays import FloatArray
from app.quant.models.published_numbers import round_significant
from app.quant.models.stacked_svi import StackedSvi
from app.quant.models.svi_coordinates import SLICE_SIZE
from app.quant.models.svi_curve import SviCurve
from app.quant.models.svi_uncertainty import node_sds
from app.quant.smile import Smile
from app.quant.surface import SurfaceSlice
from app.quant.vol_band import DEVIATIONS, VolBand

NODES: Final = np.array([-4.0, -3.0, -2.0, -1.25, -0.6, 0.0, 0.6, 1.25, 2.0, 3.0, 4.0])
"""Where bands are published, in deviations k / sqrt(w(0)) of SVI: denser where quotes are."""
DIGITS: Final = 4
"""Significant digits of a published bar: an error of an error bar below a hundredth of a percent."""

Factors = Callable[[FloatArray, FloatArray], FloatArray]
"""(deviations from the money (m), t (n, 1)) -> factors on the half-width, broadcast to (n, m)."""


def unadjusted(deviations: FloatArray, t: FloatArray) -> FloatArray:  # noqa: ARG001
    """Return 1 everywhere: the factors of a surface that no chain has followed yet."""
    return np.ones(deviations.shape)


@dataclass(frozen=True, slots=True, eq=False)
class SliceUncertainty:
    """A slice's error bars, and the covariance (5, 5) of its raw SVI parameters a, b, rho, m, sigma."""

    band: VolBand
    parameter_covariance: FloatArray


def slice_uncertainties(
    smiles: Sequence[Smile], slices: Sequence[SurfaceSlice], factors: Factors
) -> tuple[SliceUncertainty | None, ...]:
    """Return how well ``slices``, fitted to ``smiles`` (same order), are known.

    None where a curve is not of the SVI family, or has no positive variance at a node.
    """
    known = [(i, s.curve) for i, s in enumerate(slices) if isinstance(s.curve, SviCurve) and s.curve.b > 0.0]
    found: list[SliceUncertainty | None] = [None] * len(slices)
    if not known:
        return tuple(found)
    t = np.array([slices[i].t for i, _ in known])
    places, sds, covariances = _propagated([smiles[i] for i, _ in known], t, [curve for _, curve in known])
    half_widths = DEVIATIONS * factors(NODES, t[:, np.newaxis]) * sds
    for values in (places, sds, half_widths):
        round_significant(values.reshape(-1), DIGITS)
    bands = map(VolBand, *(map(tuple, values.tolist()) for values in (places, sds, half_widths)))
    for (i, _), band, covariance in zip(known, bands, covariances, strict=True):
        if all(map(math.isfinite, band.sd)):
            found[i] = SliceUncertainty(band, covariance)
    return tuple(found)


def widened(band: VolBand, growth: float, factors: Factors, t: float) -> VolBand:
    """Return ``band`` with its sds ``growth`` times as large and half-widths by the ``factors`` of now."""
    sd = growth * np.array(band.sd)
    half_width = (DEVIATIONS * factors(NODES, np.array([[t]])) * sd[None, :])[0]
    for values in (sd, half_width):
        round_significant(values, DIGITS)
    return replace(band, sd=tuple(sd.tolist()), half_width=tuple(half_width.tolist()))


def _propagated(
    smiles: Sequence[Smile], t: FloatArray, curves: Sequence[SviCurve]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    svi = StackedSvi.of(curves)
    ends = np.cumsum([0, *map(len, smiles)])
    k, mid, noise = (np.concatenate([getattr(smile, name) for smile in smiles]) for name in ("k", "mid_vol", "noise"))
    of_curve = np.repeat(np.arange(t.size), np.diff(ends))
    # A curve may have no variance at some quote; it gets no bars then, or misses the quote by all of its vol.
    vol = np.sqrt(np.maximum(svi.total_variance(of_curve, k), 0.0) / t[of_curve])
    doubt = np.maximum(noise, np.abs(mid - vol))
    places, sds = (np.full((len(curves), NODES.shape[0]), np.nan) for _ in range(2))
    covariances = np.empty((len(curves), SLICE_SIZE, SLICE_SIZE))
    node_sds(
        ends,
        k,
        doubt,
        t,
        svi.raw,
        svi.knots,
        svi.unpadded,
        NODES,
        places,
        sds,
        covariances,
    )
    return places, sds, covariances
