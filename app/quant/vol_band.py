"""A slice's error bars: half-widths of the band at nodes of log-moneyness, and what holds between and beyond them."""

from bisect import bisect_right
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np

from app.quant.arrays import FloatArray

CONFIDENCE_LEVEL: Final = 0.95
"""Share of the mids of the chains that follow which the bands are to hold."""
DEVIATIONS: Final = NormalDist().inv_cdf(0.5 + 0.5 * CONFIDENCE_LEVEL)
"""Normal deviations of that level, 1.96."""


@dataclass(frozen=True, slots=True)
class VolBand:
    """At ascending ``log_moneyness`` nodes: ``sd``, one standard deviation of the vol, and ``half_width`` of the band.

    half_width = DEVIATIONS * conformal factor * sd, all decimals of vol.
    """

    log_moneyness: tuple[float, ...]
    sd: tuple[float, ...]
    half_width: tuple[float, ...]

    def half_width_at(self, k: FloatArray) -> FloatArray:
        """Return half-widths at ``k``: linear between nodes, in proportion to |k| beyond the outermost ones."""
        nodes = np.array(self.log_moneyness)
        beyond = np.maximum(np.maximum(k / nodes[0], k / nodes[-1]), 1.0)
        width: FloatArray = np.interp(k, nodes, self.half_width) * beyond
        return width

    @property
    def at_the_money(self) -> float:
        """Half-width at k = 0, as :meth:`half_width_at` has it where nodes lie on both sides."""
        j = bisect_right(self.log_moneyness, 0.0, 1, len(self.log_moneyness) - 1)
        left, right = self.log_moneyness[j - 1], self.log_moneyness[j]
        share = -left / (right - left)
        return (1.0 - share) * self.half_width[j - 1] + share * self.half_width[j]
