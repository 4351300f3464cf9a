"""What a new chain says about the surface before it: each mid against the vol that stood, at the quote's new moneyness.

The surface is carried along with its forward: a quote is compared at k = ln(strike / new forward), so that a move of
the market alone is no innovation. Everything that judges a surface by quotes that came after it starts here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.quant.arrays import FloatArray, IntArray
from app.quant.slice_variance import stacked_variance
from app.quant.smile import Smile
from app.quant.stacked_bands import half_widths
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

    def bounds(self) -> IntArray:
        """Return the first quote of each expiry and, last, the number of quotes."""
        return np.searchsorted(self.slice, np.arange(len(self.expiries) + 1))


def innovations_of(smiles: Sequence[Smile], surface: VolSurface) -> Innovations:
    """Return the innovations of ``smiles`` against ``surface``."""
    slices = {s.expiry_ms: s for s in surface.slices}
    pairs = [(smile, slices[smile.expiry_ms]) for smile in smiles if smile.expiry_ms in slices]

    def joined(column: str) -> FloatArray:
        return np.concatenate([np.empty(0), *(getattr(smile, column) for smile, _ in pairs)])

    n = len(pairs)
    of_pair = np.repeat(np.arange(n), [len(smile) for smile, _ in pairs])
    t, k = np.array([stood.t for _, stood in pairs]), joined("k")
    every, at = np.append(of_pair, np.arange(n)), np.append(k, np.zeros(n))
    w, at_the_money = np.split(stacked_variance([stood.curve for _, stood in pairs], every, at), [k.size])
    vol = np.sqrt(w / t[of_pair])
    return Innovations(
        expiries=tuple(smile.expiry_ms for smile, _ in pairs),
        t=t,
        slice=of_pair,
        k=k,
        deviations=k / np.sqrt(at_the_money)[of_pair],
        vol=vol,
        error=joined("mid_vol") - vol,
        half_width=half_widths([stood.band for _, stood in pairs], of_pair, k),
        noise=joined("noise"),
        half_spread=0.5 * (joined("ask_vol") - joined("bid_vol")),
    )
