"""An expiry that lost its smile: what becomes of its vols when the surface has only its neighbours to say."""

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np

from app.quant.errors import InvalidQuery
from app.quant.surface import VolSurface
from app.quant.year_fraction import year_fraction


@dataclass(frozen=True, slots=True)
class VanishedExpiry:
    """The largest move of an expiry's vol, in vol and in half-widths of its bar; infinite where there is none left."""

    t: float
    move: float
    half_widths: float


def vanished_expiries(
    surface: VolSurface, previous: VolSurface, expiries: Collection[int], widening: float, reach: float
) -> Iterator[VanishedExpiry]:
    """Yield what ``surface``, which has none of ``expiries``, says where ``previous`` has them and their bars.

    Looked at are the nodes of the bars within ``reach`` deviations; ``widening`` is the factor on the bars for the time
    since ``previous``.
    """
    for s in previous.slices:
        if s.expiry_ms not in expiries or s.band is None:
            continue
        nodes = np.array(s.band.log_moneyness)
        at_the_money = float(s.curve.total_variance(np.zeros(1))[0])
        k = nodes[np.abs(nodes) <= reach * math.sqrt(at_the_money)]
        t = year_fraction(surface.as_of_ms, s.expiry_ms)
        try:
            vols = surface.vol(k, t)
        except InvalidQuery:
            # The expiries that are left have vols so high that nothing beyond them is answered for.
            yield VanishedExpiry(t, math.inf, math.inf)
            continue
        moves = vols - np.sqrt(s.curve.total_variance(k) / s.t)
        sizes = np.abs(moves) / (widening * s.band.half_width_at(k))
        j = int(sizes.argmax())
        yield VanishedExpiry(t, float(moves[j]), float(sizes[j]))
