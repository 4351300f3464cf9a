from inspect import unwrap

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.quant.models.base import Objective
from app.quant.models.packed_curve import MAX_COEFFICIENTS
from app.quant.models.quote_loss import DEAD_ZONE, HUBER, STUDENT_T, loss, quote_weights
from app.quant.models.residual_fit import residual_knots, residual_problem
from app.quant.models.residual_objective import residual_objective
from app.quant.models.shape_prior import pull_shapes
from app.quant.models.surface_problem import INFINITE, SurfaceProblem
from app.quant.models.surface_quotes import SurfaceQuotes
from app.quant.models.svi_coordinates import from_raw
from app.quant.models.svi_objective import svi_objective
from tests.quant.models.smiles import known_surface, quoted

CURVES = known_surface()
QUOTES = SurfaceQuotes(quoted(CURVES, half_spread=0.002, noise=4.0, seed=3))
SVI = np.empty((len(CURVES), 5))
for _curve, _x in zip(CURVES, SVI, strict=True):
    from_raw(np.array([_curve.a, _curve.b, _curve.rho, _curve.m, _curve.sigma]), _x)
HALF_SPREADS = np.array([0.01, 0.1, 0.3, 1.0, 4.0])
NOISES = np.array([0.2, 0.3, 0.05, 2.0, 1.0])
STEPS = np.array([1e-7, 1e-6, 1e-5, 1e-6, 1e-6])


def difference(function, point: np.ndarray, p: int, h: float) -> float:
    up, down = point.copy(), point.copy()
    up[p] += h
    down[p] -= h
    return (function(up) - function(down)) / (2.0 * h)


def with_shapes(objective: Objective) -> SurfaceProblem:
    problem = QUOTES.problem(objective)
    pull_shapes(problem, SVI)
    return problem


@pytest.mark.parametrize("objective", list(Objective))
@pytest.mark.parametrize("i", [0, 3])
def test_the_svi_gradient_is_the_derivative(objective: Objective, i: int) -> None:
    problem = with_shapes(objective)
    x = SVI[i] * np.array([1.1, 0.8, 0.9, 1.2, 0.9])
    H, g = np.zeros((5, 5)), np.zeros(5)
    svi_objective(problem, i, x, True, H, g)
    scratch = np.empty((5, 5)), np.empty(5)
    for p in range(5):
        slope = difference(lambda y: svi_objective(problem, i, y, False, *scratch), x, p, STEPS[p] * abs(x[p]) * 10)
        assert g[p] == pytest.approx(slope, rel=2e-5, abs=1e-6 * np.abs(g).max())


def test_the_svi_blocks_are_gauss_newton_of_the_residuals() -> None:
    """For squared errors H is J'WJ; J from differences of the weighted misfits, one quote at a time."""
    i = 2
    problem = QUOTES.problem(Objective.MIX)
    x = SVI[i] * 1.05
    H, g = np.zeros((5, 5)), np.zeros(5)
    svi_objective(problem, i, x, True, H, g)
    a, b = problem.offsets[i], problem.offsets[i + 1]
    expected = np.zeros((5, 5))
    for j in range(a, b):
        one = problem._replace(
            offsets=np.array([0] * (i + 1) + [1], dtype=np.int64),
            quotes=np.ascontiguousarray(problem.quotes[:, j : j + 1]),
        )
        single_h, single_g = np.zeros((5, 5)), np.zeros(5)
        value = svi_objective(one, i, x, True, single_h, single_g)
        expected += np.outer(single_g, single_g) / (2.0 * value)
    np.testing.assert_allclose(np.tril(H), np.tril(expected), rtol=1e-8)


@pytest.mark.parametrize("objective", list(Objective))
def test_the_residual_gradient_is_the_derivative(objective: Objective) -> None:
    i = 2
    lowest, highest = QUOTES.k[QUOTES.offsets[:-1]], QUOTES.k[QUOTES.offsets[1:] - 1]
    knots = residual_knots(SVI, lowest, highest)
    problem = residual_problem(QUOTES.problem(objective), SVI, knots)
    count = int(knots[i, 3])
    c = np.zeros(MAX_COEFFICIENTS)
    c[:count] = 0.02 * np.random.default_rng(5).standard_normal(count)
    H, g = np.zeros((MAX_COEFFICIENTS,) * 2), np.zeros(MAX_COEFFICIENTS)
    residual_objective(problem, i, SVI[i], c, True, H, g)
    scratch = np.zeros_like(H), np.zeros_like(g)
    for p in range(count):
        slope = difference(lambda y: residual_objective(problem, i, SVI[i], y, False, *scratch), c, p, 1e-6)
        assert g[p] == pytest.approx(slope, rel=2e-5, abs=1e-6 * np.abs(g).max())
    assert np.linalg.eigvalsh(H[:count, :count] + np.tril(H[:count, :count], -1).T).min() > 0.0


def test_a_slice_that_is_not_positive_at_a_quote_is_outside_the_domain() -> None:
    x, sunk = np.empty(5), CURVES[1]
    from_raw(np.array([sunk.a - 0.99 * sunk.atm_svi_variance, sunk.b, sunk.rho, sunk.m, sunk.sigma]), x)
    assert svi_objective(QUOTES.problem(Objective.MIX), 1, x, False, np.empty((5, 5)), np.empty(5)) == INFINITE


@given(
    st.sampled_from([DEAD_ZONE, HUBER, STUDENT_T]),
    st.floats(-20, 20),
    st.floats(0.01, 5),
    st.floats(0, 30),
    st.floats(0.05, 5),
)
def test_the_slope_of_a_loss_is_its_derivative(
    kind: int, e: float, weight: float, outside: float, width: float
) -> None:
    value, slope, curvature = unwrap(loss)(kind, e, weight, outside, width)
    h = 1e-6 * max(1.0, abs(e))
    upper, lower = (unwrap(loss)(kind, e + s * h, weight, outside, width)[0] for s in (1, -1))
    assert value >= 0.0
    assert curvature > 0.0
    assert slope == pytest.approx((upper - lower) / (2 * h), rel=1e-4, abs=(weight + outside) * 1e-4)
    assert loss(kind, e, weight, outside, width) == pytest.approx((value, slope, curvature), rel=1e-12)


def test_huber_and_t_weights_are_the_textbooks() -> None:
    """Huber (1.345): 2 -> .6725, 5 -> .269; t (nu = 4), (nu + 1)/(nu + r^2): .5 -> 1.17647, 5 -> .172414."""
    for r, expected in ((2.0, 0.6725), (5.0, 0.269)):
        assert loss(HUBER, r, 1.0, 0.0, 1.345)[2] == pytest.approx(expected, rel=1e-4)
    for r, expected in ((0.5, 1.17647), (2.0, 0.625), (5.0, 0.172414)):
        assert loss(STUDENT_T, r, 1.0, 0.0, 1.0)[2] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("objective", "weight", "outside", "width"),
    [
        (Objective.MIX, 1.0 / np.maximum(HALF_SPREADS, 0.2), None, None),
        (Objective.BAND, None, np.maximum(HALF_SPREADS, 0.02) ** -2.0, 0.9 * HALF_SPREADS),
        (Objective.LEAST_SQUARES, NOISES**-2.0, None, None),
        (Objective.HUBER, NOISES**-2.0, None, 1.345 * NOISES),
        (Objective.STUDENT_T, NOISES**-2.0, None, NOISES),
    ],
)
def test_weights_are_those_of_their_objective(objective, weight, outside, width) -> None:
    found = quote_weights(objective, HALF_SPREADS, NOISES, np.array([0, len(NOISES)]))
    pull = 0.05 / (1.0 + (HALF_SPREADS / 8.0) ** 2)
    np.testing.assert_allclose(found[0], pull if weight is None else weight / weight.mean(), rtol=1e-12)
    np.testing.assert_allclose(found[1], 0.0 if outside is None else 30.0 * outside / outside.mean(), rtol=1e-12)
    if width is not None:
        np.testing.assert_allclose(found[2], width, rtol=1e-12)


@pytest.mark.parametrize("objective", list(Objective))
def test_weights_have_mean_one_in_every_slice(objective: Objective) -> None:
    half_spread, noise = np.array([0.1, 0.5, 1.0, 3.0, 0.2, 0.4]), np.array([0.2, 0.3, 0.5, 1.5, 0.2, 0.2])
    weights = quote_weights(objective, half_spread, noise, np.array([0, 4, 6]))
    which = 1 if objective is Objective.BAND else 0
    for part in (slice(0, 4), slice(4, 6)):
        assert weights[which, part].mean() == pytest.approx(30.0 if objective is Objective.BAND else 1.0)
    assert (np.diff(weights[which, :4]) <= 0.0).all()
