import numpy as np
import pytest
from scipy.optimize import LinearConstraint, minimize, nnls

from app.quant.models.nonnegative_dual import nonnegative_dual
from app.quant.models.quadratic_program import block_step


@pytest.mark.parametrize("seed", range(20))
def test_the_dual_is_scipys_nonnegative_least_squares(seed: int) -> None:
    """min |A l - y|^2/2 over l >= 0 is the dual with M = A'A, q = A'y (Lawson and Hanson 1974)."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 15))
    a = rng.standard_normal((n + 5, n))
    a /= np.linalg.norm(a, axis=0)
    y = rng.standard_normal(n + 5)
    multipliers = np.empty(n)
    nonnegative_dual(a.T @ a, a.T @ y, multipliers, n)
    expected, _ = nnls(a, y)
    np.testing.assert_allclose(multipliers, expected, atol=1e-6)


@pytest.mark.parametrize("seed", range(6))
def test_a_step_solves_the_constrained_quadratic_program(seed: int) -> None:
    rng = np.random.default_rng(100 + seed)
    slices, parameters, m = 3, 4, 6
    H = np.zeros((slices, parameters, parameters))
    g = rng.standard_normal((slices, parameters))
    for i in range(slices):
        a = rng.standard_normal((parameters, parameters))
        H[i] = a @ a.T + 0.5 * np.eye(parameters)
    rows = rng.standard_normal((m, 2, parameters))
    row_slice = rng.integers(0, slices, m)
    rhs = 0.3 * rng.standard_normal(m)
    step, multipliers = np.zeros((slices, parameters)), np.zeros(m)
    block_step(H, g, np.full(slices, parameters), parameters - 1, 0.0, rows, row_slice, rhs, step, multipliers)

    C = np.zeros((m, slices * parameters))
    for a in range(m):
        for h in range(2):
            i = row_slice[a] - 1 + h
            if i >= 0:
                C[a, i * parameters : (i + 1) * parameters] = rows[a, h]
    full = np.zeros((slices * parameters,) * 2)
    for i in range(slices):
        full[i * parameters : (i + 1) * parameters, i * parameters : (i + 1) * parameters] = H[i]
    p, flat = step.ravel(), g.ravel()
    assert (C @ p - rhs).min() > -1e-6
    assert multipliers.min() >= 0.0
    np.testing.assert_allclose(full @ p + flat, C.T @ multipliers, atol=1e-6)
    reference = minimize(
        lambda z: 0.5 * z @ full @ z + flat @ z,
        np.zeros(p.shape),
        jac=lambda z: full @ z + flat,
        constraints=LinearConstraint(C, rhs, np.inf),
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    np.testing.assert_allclose(p, reference.x, atol=1e-4)


def test_a_frozen_slice_does_not_move_and_bears_no_row() -> None:
    H = np.stack([np.eye(2), np.eye(2)])
    g = np.array([[1.0, 0.0], [5.0, 5.0]])
    rows = np.array([[[1.0, 0.0], [1.0, 0.0]]])
    step, multipliers = np.zeros((2, 2)), np.zeros(1)
    block_step(H, g, np.array([2, 0]), 1, 0.0, rows, np.array([1]), np.array([0.5]), step, multipliers)
    np.testing.assert_allclose(step, [[0.5, 0.0], [0.0, 0.0]], atol=1e-8)
    assert multipliers[0] == pytest.approx(1.5, rel=1e-8)


def test_contradictory_rows_give_large_multipliers_and_a_finite_step() -> None:
    rows = np.array([[[0.0], [1.0]], [[0.0], [-1.0]]])
    step, multipliers = np.zeros((1, 1)), np.zeros(2)
    block_step(
        np.ones((1, 1, 1)), np.zeros((1, 1)), np.array([1]), 0, 0.0, rows, np.array([0, 0]), np.array([1.0, 1.0]), step,
        multipliers,
    )  # fmt: skip
    assert np.isfinite(step).all()
    assert multipliers.max() > 1e6


def test_a_banded_block_gives_the_step_of_the_whole_one_and_its_promise() -> None:
    rng = np.random.default_rng(7)
    parameters, m = 9, 3
    a = np.tril(np.triu(rng.standard_normal((parameters, parameters))), 2)
    H = (a.T @ a + np.eye(parameters))[np.newaxis]
    g, rows, rhs = rng.standard_normal((1, parameters)), rng.standard_normal((m, 2, parameters)), np.full(m, 0.2)
    steps, promises = [], []
    for band in (2, parameters - 1):
        step, multipliers = np.zeros((1, parameters)), np.zeros(m)
        size, row_slice = np.array([parameters]), np.zeros(m, dtype=np.int64)
        promises.append(block_step(H, g, size, band, 0.0, rows, row_slice, rhs, step, multipliers))
        steps.append(step[0])
    np.testing.assert_allclose(steps[0], steps[1], rtol=1e-12)
    assert multipliers.max() > 0.0
    assert promises[0] == pytest.approx(-g[0] @ steps[0] - 0.5 * steps[0] @ H[0] @ steps[0], rel=1e-8)
    assert promises[0] == pytest.approx(promises[1], rel=1e-12)
