"""A weak pull of each slice's shape towards its neighbours', for what thin smiles leave open.

In units of z = k / sqrt(w(0)) and w / w(0) a smile is (s / sqrt(w0), l, ln u - ln w0 / 2, ln v - ln w0 / 2): skew,
curvature and wings free of level and maturity, which change slowly along expiries. SVI has five parameters; with five
quotes, or without quotes in a wing, neighbours decide what the quotes do not.
"""

import math
from typing import Final

import numpy as np

from app.quant.arrays import FloatArray
from app.quant.compiled import inner_kernel, kernel
from app.quant.models.surface_problem import INVERSE_T, SHAPE_CENTRE, SHAPE_WEIGHT, SurfaceProblem

TYPICAL_SHAPE: Final = (-0.05, -1.3, 0.1, -0.1)
"""Median shape of listed crypto smiles; what a lone slice is pulled to."""
LEAST_SHAPE: Final = (-1.0, -4.0, -3.0, -3.0)
MOST_SHAPE: Final = (1.0, 0.5, 1.5, 1.5)
"""What a neighbour's shape is clipped to before it counts."""
TYPICAL_QUOTES: Final = 10.0
"""Quotes whose word the typical shape is worth."""
PULL: Final = (2.5, 0.15, 0.07, 0.07)
"""Squared vol points per squared unit: a tenth of (0.5 vol points / spread of the shape across expiries)^2."""


@inner_kernel
def slice_shapes(svi: FloatArray, shapes: FloatArray) -> None:
    """Write the clipped shapes (n, 4) of slices in coordinates (n, 5)."""
    for i in range(svi.shape[0]):
        root = math.sqrt(svi[i, 0])
        shapes[i, 0] = svi[i, 1] / root
        shapes[i, 1] = svi[i, 2]
        shapes[i, 2] = math.log(svi[i, 3] / root)
        shapes[i, 3] = math.log(svi[i, 4] / root)
        for p in range(4):
            shapes[i, p] = min(max(shapes[i, p], LEAST_SHAPE[p]), MOST_SHAPE[p])


@kernel
def pull_shapes(problem: SurfaceProblem, svi: FloatArray) -> None:
    """Centre each slice's prior on the others' shapes, weighted by quotes and by nearness in ln t."""
    n = svi.shape[0]
    shapes = np.empty((n, 4))
    slice_shapes(svi, shapes)
    centre = np.empty(4)
    for i in range(n):
        total = TYPICAL_QUOTES
        for p in range(4):
            centre[p] = TYPICAL_QUOTES * TYPICAL_SHAPE[p]
        for j in range(n):
            if j == i:
                continue
            distance = abs(math.log(problem.slices[i, INVERSE_T] / problem.slices[j, INVERSE_T]))
            weight = (problem.offsets[j + 1] - problem.offsets[j]) * math.exp(-distance)
            total += weight
            for p in range(4):
                centre[p] += weight * shapes[j, p]
        root = math.sqrt(svi[i, 0])
        for p in range(4):
            value = centre[p] / total
            weight = PULL[p]
            if p == 0:
                value *= root
                weight /= svi[i, 0]
            elif p >= 2:
                value += math.log(root)
            problem.slices[i, SHAPE_CENTRE + p] = value
            problem.slices[i, SHAPE_WEIGHT + p] = weight


def release_shapes(problem: SurfaceProblem) -> None:
    """Take the pull away: for a start whose shapes are already sound, and not those the pull was centred on."""
    problem.slices[:, SHAPE_WEIGHT : SHAPE_WEIGHT + len(PULL)] = 0.0
