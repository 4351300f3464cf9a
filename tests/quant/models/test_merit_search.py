import numpy as np

from app.quant.models.constraint_rows import empty_rows
from app.quant.models.local_minima import BUTTERFLY, CALENDAR, empty_minima
from app.quant.models.merit_search import WEIGHT_MAX, WEIGHT_RAISE, penalty, raise_weights
from app.quant.models.surface_problem import RESIDUAL_STAGE, SVI_STAGE

ROWS = [(BUTTERFLY, 0, 4.0), (CALENDAR, 1, 50.0), (CALENDAR, 1, 2.0), (CALENDAR, 2, 1e9), (BUTTERFLY, 2, 0.1)]
"""Kind, slice and multiplier."""


def raised(stage: int) -> np.ndarray:
    rows, multipliers, weights = empty_rows(3), np.zeros(len(ROWS)), np.ones((2, 3))
    for a, (kind, i, multiplier) in enumerate(ROWS):
        rows.kind[a], rows.slice[a], multipliers[a] = kind, i, multiplier
    raise_weights(stage, weights, rows, multipliers, len(ROWS))
    return weights


def test_a_residual_pays_for_its_own_constraints_alone() -> None:
    expected = [[WEIGHT_RAISE * 4.0, 1.0, 1.0], [1.0, WEIGHT_RAISE * 50.0, WEIGHT_MAX]]
    np.testing.assert_array_equal(raised(RESIDUAL_STAGE), expected)


def test_svi_slices_share_the_highest_weight_of_a_kind() -> None:
    np.testing.assert_array_equal(raised(SVI_STAGE), [[WEIGHT_RAISE * 4.0] * 3, [WEIGHT_MAX] * 3])


def test_violations_cost_their_own_weight() -> None:
    minima, rng = empty_minima(4), np.random.default_rng(5)
    minima.violation[:] = rng.random((2, 4))
    weights = rng.random((2, 4))
    np.testing.assert_allclose(penalty(weights, minima), np.sum(weights * minima.violation), rtol=1e-14)
