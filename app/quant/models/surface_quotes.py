"""Smiles -> the arrays that the surface kernels read."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from app.quant.arrays import FloatArray, IntArray
from app.quant.models.base import Objective
from app.quant.models.packed_curve import SUPPORT
from app.quant.models.quote_loss import POINTS, QUOTE_ROWS, loss_kind, quote_weights
from app.quant.models.surface_objective import INVERSE_T, SLICE_COLUMNS, SLOPE_MIN, SurfaceProblem
from app.quant.smile import Smile

SLOPE_LEAST: Final = 5e-4
SLOPE_LEAST_SHARE: Final = 0.02
"""Gentlest wing of a fit, absolute and in units of sqrt(w(0)); the smaller of the two."""


class SurfaceQuotes:
    """The quotes of all smiles in a row, in vol points."""

    def __init__(self, smiles: Sequence[Smile]) -> None:
        self.smiles = smiles
        self.t: FloatArray = np.array([smile.t for smile in smiles])
        self.offsets: IntArray = np.zeros(len(smiles) + 1, dtype=np.int64)
        np.cumsum([smile.k.shape[0] for smile in smiles], out=self.offsets[1:])
        self.k: FloatArray = np.concatenate([smile.k for smile in smiles])
        self.mid: FloatArray = POINTS * np.concatenate([smile.mid_vol for smile in smiles])
        bid = np.concatenate([smile.bid_vol for smile in smiles])
        ask = np.concatenate([smile.ask_vol for smile in smiles])
        self.half_spread: FloatArray = (0.5 * POINTS) * (ask - bid)
        self.noise: FloatArray = POINTS * np.concatenate([smile.noise for smile in smiles])

    def __len__(self) -> int:
        return int(self.t.shape[0])

    def problem(self, objective: Objective) -> SurfaceProblem:
        """Return the SVI stage's problem without a prior."""
        n = len(self)
        quotes = np.empty((QUOTE_ROWS, self.k.shape[0]))
        quotes[0] = self.k
        quotes[1] = self.mid
        quotes[2:] = quote_weights(objective, self.half_spread, self.noise, self.offsets)
        slices = np.zeros((n, SLICE_COLUMNS))
        slices[:, INVERSE_T] = 1.0 / self.t
        level = np.sqrt(np.minimum.reduceat(self.mid, self.offsets[:-1]) ** 2 * self.t) / POINTS
        slices[:, SLOPE_MIN] = np.minimum(SLOPE_LEAST, SLOPE_LEAST_SHARE * level)
        return SurfaceProblem(
            loss_kind(objective),
            self.offsets,
            quotes,
            slices,
            np.zeros((n, 4)),
            np.empty(0),
            np.empty((0, SUPPORT)),
            np.empty(0, dtype=np.int64),
        )
