"""The previous smiles as quotes: at each expiry known before, its own vols behind the quotes of today."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from app.quant.arrays import FloatArray, IntArray
from app.quant.compiled import kernel
from app.quant.models.base import SliceState
from app.quant.models.quote_loss import MID, OUTSIDE, POINTS, UNBOUNDED_SCALE, WEIGHT, WIDTH, K

PRIOR_NODES: Final = np.linspace(-1.5, 1.5, 9)
"""Where the previous smile is remembered, in standard deviations at the money."""
AT_THE_MONEY: Final = np.zeros(1)


def with_memory(
    offsets: IntArray, quotes: FloatArray, known: Sequence[SliceState | None], prior_strength: float
) -> tuple[IntArray, FloatArray]:
    """Return ``offsets`` and ``quotes`` (rows of quote_loss.py) with those of the smiles that are ``known``.

    The memory weighs prior_strength times the quotes of its slice, whatever their number.
    """
    if prior_strength <= 0.0 or not any(known):
        return offsets, quotes
    nodes = np.empty((len(known), PRIOR_NODES.shape[0]))
    vols = np.empty(nodes.shape)
    for i, state in enumerate(known):
        if state is not None:
            nodes[i] = math.sqrt(state.curve.total_variance(AT_THE_MONEY)[0]) * PRIOR_NODES
            vols[i] = np.sqrt(state.curve.total_variance(nodes[i]) / state.t)
    kept = np.array([state is not None for state in known])
    places = offsets + nodes.shape[1] * np.concatenate([[0], np.cumsum(kept)])
    extended = np.empty((quotes.shape[0], places[-1]))
    remember(offsets, quotes, nodes, vols, prior_strength, places, extended)
    return places, extended


@kernel
def remember(
    offsets: IntArray,
    quotes: FloatArray,
    nodes: FloatArray,
    vols: FloatArray,
    prior_strength: float,
    places: IntArray,
    extended: FloatArray,
) -> None:
    """Write ``quotes`` and, where ``places`` leaves room for them, the ``vols`` at the ``nodes`` of their slice."""
    for i in range(nodes.shape[0]):
        n = offsets[i + 1] - offsets[i]
        total = 0.0
        for j in range(n):
            for row in range(quotes.shape[0]):
                extended[row, places[i] + j] = quotes[row, offsets[i] + j]
            total += quotes[WEIGHT, offsets[i] + j]
        remembered = places[i + 1] - places[i] - n
        for j in range(remembered):
            at = places[i] + n + j
            extended[K, at] = nodes[i, j]
            extended[MID, at] = POINTS * vols[i, j]
            extended[WEIGHT, at] = prior_strength * total / remembered
            extended[OUTSIDE, at] = 0.0
            extended[WIDTH, at] = UNBOUNDED_SCALE
