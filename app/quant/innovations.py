"""What a new chain says about the surface before it: each mid against the vol that stood, at the quote's new moneyness.

The surface is carried along with its forward: a quote is compared at k = ln(strike / new forward), so that a move of
the market alone is no innovation. Everything that judges a surface by quotes that came after it starts here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.quant.arrays import FloatArray, IntArray
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
    """Return the innovations of ``smiles`` against ``surface``.

    Raises InvalidParameters where a slice has no positive variance.
    """
    places = {s.expiry_ms: place for place, s in enumerate(surface.slices)}
    known = [smile for smile in smiles if smile.expiry_ms in places]
    stood = np.array([places[smile.expiry_ms] for smile in known], dtype=np.int64)

    def joined(column: str) -> FloatArray:
        return np.concatenate([np.empty(0), *(getattr(smile, column) for smile in known)])

    of_smile = np.repeat(np.arange(stood.size), [len(smile) for smile in known])
    t, k, of_slice = surface.maturities[stood], joined("k"), stood[of_smile]
    vol = np.sqrt(surface.stack.variances(of_slice, k) / t[of_smile])
    return Innovations(
        expiries=tuple(smile.expiry_ms for smile in known),
        t=t,
        slice=of_smile,
        k=k,
        deviations=k / np.sqrt(surface.stack.at_the_money)[of_slice],
        vol=vol,
        error=joined("mid_vol") - vol,
        half_width=half_widths(surface.bands, of_slice, k),
        noise=joined("noise"),
        half_spread=0.5 * (joined("ask_vol") - joined("bid_vol")),
    )
