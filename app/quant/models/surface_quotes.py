"""Smiles -> the arrays that the surface kernels read."""

from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate
from typing import Final

import numpy as np

from app.quant.arrays import FloatArray, IntArray
from app.quant.models.base import Objective
from app.quant.models.packed_curve import SUPPORT
from app.quant.models.quote_loss import EMPHASES, MID, POINTS, QUOTE_ROWS, WEIGHT, K, loss_kind, weigh_quotes
from app.quant.models.surface_problem import INVERSE_T, SLICE_COLUMNS, SLOPE_MIN, SurfaceProblem
from app.quant.smile import Smile

SLOPE_LEAST: Final = 5e-4
SLOPE_LEAST_SHARE: Final = 0.02
"""Gentlest wing of a fit, absolute and in units of sqrt(w(0)); the smaller of the two."""


class SurfaceQuotes:
    """The quotes of all smiles in a row, in vol points."""

    def __init__(self, smiles: Sequence[Smile]) -> None:
        self.smiles = smiles
        self.t: FloatArray = np.array([smile.t for smile in smiles])
        self.offsets: IntArray = np.array([0, *accumulate([smile.k.shape[0] for smile in smiles])])
        self.k, mid, bid, ask, noise = _columns(smiles)
        self.mid: FloatArray = POINTS * mid
        self.half_spread: FloatArray = (0.5 * POINTS) * (ask - bid)
        self.noise: FloatArray = POINTS * noise

    def __len__(self) -> int:
        return len(self.smiles)

    def weighed(self, objective: Objective) -> FloatArray:
        """Return the rows of quote_loss.py under ``objective``."""
        quotes = np.empty((QUOTE_ROWS, self.k.shape[0]))
        quotes[K] = self.k
        quotes[MID] = self.mid
        weigh_quotes(*EMPHASES[objective], self.half_spread, self.noise, self.offsets, quotes[WEIGHT:])
        return quotes

    def problem(self, objective: Objective) -> SurfaceProblem:
        """Return the SVI stage's problem without a prior."""
        return SurfaceProblem(
            loss_kind(objective),
            self.offsets,
            self.weighed(objective),
            self._slices.copy(),
            np.zeros((len(self), 4)),
            np.empty(0),
            np.empty((0, SUPPORT)),
            np.empty(0, dtype=np.int64),
        )

    @cached_property
    def _slices(self) -> FloatArray:
        slices = np.zeros((len(self), SLICE_COLUMNS))
        level = np.sqrt(np.minimum.reduceat(self.mid, self.offsets[:-1]) ** 2 * self.t) / POINTS
        slices[:, INVERSE_T] = 1.0 / self.t
        slices[:, SLOPE_MIN] = np.minimum(SLOPE_LEAST, SLOPE_LEAST_SHARE * level)
        return slices


def _columns(smiles: Sequence[Smile]) -> FloatArray:
    """Return k, mid, bid and ask vols and noise of all quotes, shape (5, quotes)."""
    k, mid, bid, ask, noise = zip(*[(s.k, s.mid_vol, s.bid_vol, s.ask_vol, s.noise) for s in smiles], strict=True)
    return np.concatenate(k + mid + bid + ask + noise).reshape(5, -1)
