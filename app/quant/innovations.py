"""What a new chain says about the surface before it: each mid against the vol that stood, at the quote's new moneyness.

The surface is carried along with its forward: a quote is compared at k = ln(strike / new forward), so that a move of
the market alone is no innovation. Everything that judges a surface by quotes that came after it starts here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.quant.arrays import FloatArray, IntArray
from app.quant.smile import Smile
from app.quant.surface import VolSurface


@dataclass(frozen=True, slots=True, eq=False)
class Innovations:
    """Quotes of the expiries that the surface had, by expiry and strike; arrays of one length, vols as decimals.

    ``vol`` stood, ``error`` = mid vol - vol, ``deviations`` = k / sqrt(w(0)) of the surface, ``half_width`` of the
    surface's band there (NaN: none known), ``slice`` counts the expiries of ``expiries`` and ``t`` (the surface's).
    """

    expiries: tuple[int, ...]
    t: FloatArray
    slice: IntArray
    k: FloatArray
    deviations: FloatArray
    vol: FloatArray
    error: FloatArray
    half_width: FloatArray
    noise: FloatArray
    half_spread: FloatArray

    def __len__(self) -> int:
        return int(self.error.shape[0])


def innovations_of(smiles: Sequence[Smile], surface: VolSurface) -> Innovations:
    """Return the innovations of ``smiles`` against ``surface``."""
    slices = {s.expiry_ms: s for s in surface.slices}
    pairs = [(smile, slices[smile.expiry_ms]) for smile in smiles if smile.expiry_ms in slices]
    deviations, vols, widths = [np.empty(0)], [np.empty(0)], [np.empty(0)]
    for smile, stood in pairs:
        w = stood.curve.total_variance(np.append(smile.k, 0.0))
        deviations.append(smile.k / np.sqrt(w[-1]))
        vols.append(np.sqrt(w[:-1] / stood.t))
        widths.append(stood.band.half_width_at(smile.k) if stood.band else np.full(len(smile), np.nan))

    def joined(arrays: Sequence[FloatArray]) -> FloatArray:
        return np.concatenate([np.empty(0), *arrays])

    return Innovations(
        expiries=tuple(smile.expiry_ms for smile, _ in pairs),
        t=np.array([stood.t for _, stood in pairs]),
        slice=np.repeat(np.arange(len(pairs)), [len(smile) for smile, _ in pairs]),
        k=joined([smile.k for smile, _ in pairs]),
        deviations=np.concatenate(deviations),
        vol=np.concatenate(vols),
        error=joined([smile.mid_vol for smile, _ in pairs]) - np.concatenate(vols),
        half_width=np.concatenate(widths),
        noise=joined([smile.noise for smile, _ in pairs]),
        half_spread=joined([0.5 * (smile.ask_vol - smile.bid_vol) for smile, _ in pairs]),
    )
