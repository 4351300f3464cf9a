"""The memory of a SABR fit against the same put together by numpy."""

import numpy as np
import pytest

from app.quant.models.base import SliceState
from app.quant.models.quote_loss import QUOTE_ROWS, UNBOUNDED_SCALE
from app.quant.models.sabr_curve import SabrCurve
from app.quant.models.sabr_memory import PRIOR_NODES, with_memory

OFFSETS = np.array([0, 6, 11, 18])
QUOTES = np.random.default_rng(5).uniform(0.1, 2.0, (QUOTE_ROWS, 18))
KNOWN = [
    SliceState(1, 0.05, SabrCurve(0.6, 1.0, -0.4, 3.0, 0.05, 100.0)),
    None,
    SliceState(3, 0.5, SabrCurve(0.5, 1.0, -0.2, 1.0, 0.5, 100.0)),
]


def plain(quotes: np.ndarray, state: SliceState | None, strength: float) -> np.ndarray:
    if state is None:
        return quotes
    nodes = PRIOR_NODES * np.sqrt(state.curve.total_variance(np.zeros(1)))
    vols = 100.0 * np.sqrt(state.curve.total_variance(nodes) / state.t)
    weight = strength * quotes[2].sum() / len(nodes)
    flat = np.ones(len(nodes))
    return np.concatenate([quotes, [nodes, vols, weight * flat, 0.0 * flat, UNBOUNDED_SCALE * flat]], axis=1)


def test_known_smiles_stand_behind_the_quotes_of_their_slice() -> None:
    offsets, quotes = with_memory(OFFSETS, QUOTES, KNOWN, 0.3)
    slices = [plain(*one, 0.3) for one in zip(np.split(QUOTES, OFFSETS[1:-1], axis=1), KNOWN, strict=True)]
    np.testing.assert_array_equal(offsets, np.cumsum([0, *(one.shape[1] for one in slices)]))
    np.testing.assert_allclose(quotes, np.concatenate(slices, axis=1), rtol=1e-12)


@pytest.mark.parametrize(("known", "strength"), [(KNOWN, 0.0), ([None] * 3, 0.3)])
def test_without_a_memory_the_quotes_stay(known: list[SliceState | None], strength: float) -> None:
    offsets, quotes = with_memory(OFFSETS, QUOTES, known, strength)
    assert offsets is OFFSETS
    assert quotes is QUOTES
