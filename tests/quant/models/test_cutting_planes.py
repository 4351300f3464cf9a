import numpy as np
import pytest

from app.quant.models.base import Objective
from app.quant.models.constraint_rows import WING, cut_rows, empty_rows, keep_binding
from app.quant.models.cutting_planes import Margins, find_minima
from app.quant.models.local_minima import BUTTERFLY, CALENDAR, empty_minima
from app.quant.models.packed_curve import MAX_COEFFICIENTS
from app.quant.models.residual_fit import residual_knots, residual_problem
from app.quant.models.scan_grid import empty_scan, tabulate_scan
from app.quant.models.surface_problem import RESIDUAL_STAGE, SVI_STAGE
from app.quant.models.surface_quotes import SurfaceQuotes
from app.quant.models.svi_coordinates import SLICE_SIZE, from_raw
from app.quant.models.svi_curve import SplineResidual, SviCurve, residual_derivatives
from tests.quant.models.smiles import quoted

MARGINS = Margins(1e-3, 1e-4)
RAW = [
    (-0.0410, 0.1331, 0.3060, 0.3586, 0.4153),
    (-0.0405, 0.1360, 0.3060, 0.3586, 0.4153),
    (-0.017, 0.13, 0.25, 0.2, 0.25),
]
"""Vogt's smile (Gatheral and Jacquier 2014), a near copy of it and a smile that crosses both."""
CURVES = [SviCurve(0.05 + a, b, rho, m, sigma) for a, b, rho, m, sigma in RAW]
N = len(RAW)


def slices() -> np.ndarray:
    svi = np.empty((N, SLICE_SIZE))
    for raw, x in zip(RAW, svi, strict=True):
        from_raw(np.array(raw), x)
    return svi


def problem_of():
    return SurfaceQuotes(quoted(CURVES, days=(300, 310, 320))).problem(Objective.MIX)


def dense_minima(values: np.ndarray, k: np.ndarray) -> list[tuple[float, float]]:
    inside = (values[1:-1] < values[:-2]) & (values[1:-1] < values[2:])
    return list(zip(k[1:-1][inside], values[1:-1][inside], strict=True))


def curve(raw: tuple[float, ...], spline: SplineResidual | None = None):
    a, b, rho, m, sigma = raw

    def derivatives(k: np.ndarray):
        w, w1, w2 = SviCurve(a + 0.05, b, rho, m, sigma).derivatives(k)
        w = w - 0.05
        if spline is not None:
            level = a + b * (np.hypot(m, sigma) - rho * m)
            w, w1, w2 = (p + level * q for p, q in zip((w, w1, w2), residual_derivatives(spline, k), strict=True))
        return w, w1, w2

    return derivatives


def g_of(k: np.ndarray, w: np.ndarray, w1: np.ndarray, w2: np.ndarray) -> np.ndarray:
    return (1 - k * w1 / (2 * w)) ** 2 - w1**2 / 4 * (1 / w + 0.25) + w2 / 2


def residuals(svi: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[SplineResidual]]:
    knots = residual_knots(svi, np.full(N, -0.8), np.full(N, 1.4))
    coefficients = np.zeros((N, MAX_COEFFICIENTS))
    rng = np.random.default_rng(1)
    splines = []
    for i in range(N):
        count = int(knots[i, 3])
        coefficients[i, :count] = 0.004 * rng.standard_normal(count)
        splines.append(SplineResidual(knots[i, 0], knots[i, 1], int(knots[i, 2]), tuple(coefficients[i, :count])))
    return knots, coefficients, splines


@pytest.mark.parametrize("stage", [SVI_STAGE, RESIDUAL_STAGE])
def test_minima_are_those_of_a_dense_grid(stage: int) -> None:
    svi = slices()
    knots, coefficients, splines = residuals(svi)
    if stage == SVI_STAGE:
        knots, coefficients, splines = np.zeros((N, 4)), np.zeros((N, MAX_COEFFICIENTS)), [None] * N
    scan, minima = empty_scan(N, stage), empty_minima(N)
    if stage == RESIDUAL_STAGE:
        tabulate_scan(svi, knots, scan)
    total = find_minima(stage, svi, coefficients, knots, np.full(N, 5), scan, MARGINS, minima)
    found = {BUTTERFLY: 0, CALENDAR: 0}
    k = np.linspace(-0.75, 1.35, 200_001)
    for i in range(N):
        shape = curve(RAW[i], splines[i])(k)
        expected = [(BUTTERFLY, i, *m) for m in dense_minima(g_of(k, *shape), k) if m[1] < 0.05]
        if i > 0:
            ratio = shape[0] / curve(RAW[i - 1], splines[i - 1])(k)[0] - 1.0
            expected += [(CALENDAR, i, *m) for m in dense_minima(ratio, k) if m[1] < 0.012]
        for kind, slice_, place, value in expected:
            seen = slice(0, minima.found[kind, slice_])
            near = np.abs(minima.k[kind, slice_, seen] - place) < 0.03
            assert minima.value[kind, slice_, seen][near].min() <= value + 3e-5
            lowest = min(v for other, j, _, v in expected if (other, j) == (kind, slice_))
            assert minima.value[kind, slice_, seen].min() == pytest.approx(lowest, abs=3e-5)
            found[kind] += 1
    assert found[BUTTERFLY] >= 2
    assert found[CALENDAR] >= 1
    assert minima.violation[BUTTERFLY].sum() > 0.03
    assert minima.violation[CALENDAR].sum() > 0.0
    assert total == pytest.approx(minima.violation.sum(), rel=1e-12)


@pytest.mark.parametrize("stage", [SVI_STAGE, RESIDUAL_STAGE])
def test_row_gradients_are_derivatives_of_the_minima(stage: int) -> None:
    """By the envelope theorem: the minimum's own value, found anew at moved parameters, has the row's slope."""
    svi = slices()
    problem = problem_of()
    knots, coefficients, _ = residuals(svi)
    size = np.full(N, SLICE_SIZE)
    if stage == SVI_STAGE:
        knots, coefficients = np.zeros((N, 4)), np.zeros((N, MAX_COEFFICIENTS))
    else:
        problem = residual_problem(problem, svi, knots)
        size = knots[:, 3].astype(np.int64)
    problem = problem._replace(knots=knots)
    scan, minima, rows = empty_scan(N, stage), empty_minima(N), empty_rows(N)
    if stage == RESIDUAL_STAGE:
        tabulate_scan(svi, knots, scan)

    def look(svi: np.ndarray, coefficients: np.ndarray) -> int:
        find_minima(stage, svi, coefficients, knots, size, scan, MARGINS, minima)
        return int(cut_rows(stage, problem, svi, coefficients, size, minima, MARGINS, rows))

    m = look(svi, coefficients)
    base = rows.gradient[:m].copy(), rows.slice[:m].copy(), rows.kind[:m].copy(), rows.k[:m].copy()
    checked = 0
    for i in range(N):
        for p in range(size[i]):
            values = []
            for sign in (1.0, -1.0):
                moved = (svi.copy(), coefficients.copy())
                target = moved[0] if stage == SVI_STAGE else moved[1]
                h = 1e-5 * max(abs(target[i, p]), 0.05)
                target[i, p] += sign * h
                assert look(*moved) == m
                values.append(-rows.rhs[:m].copy())
            slopes = (values[0] - values[1]) / (2.0 * h)
            for a in range(m):
                half = i - base[1][a] + 1
                if half in (0, 1):
                    gradient = base[0][a, half, p]
                    assert gradient == pytest.approx(slopes[a], rel=2e-3, abs=2e-3 * max(1.0, np.abs(slopes[a])))
                    checked += 1
    assert checked > 40
    assert {int(BUTTERFLY), int(CALENDAR)} <= {int(kind) for kind in base[2]}


def test_a_binding_place_stays_a_row_when_it_is_no_minimum_any_more() -> None:
    svi, knots, coefficients = slices(), np.zeros((N, 4)), np.zeros((N, MAX_COEFFICIENTS))
    problem, rows, minima = problem_of()._replace(knots=knots), empty_rows(N), empty_minima(N)
    find_minima(SVI_STAGE, svi, coefficients, knots, np.full(N, 5), empty_scan(N, SVI_STAGE), MARGINS, minima)
    before = minima.found.copy()
    known = float(minima.k[CALENDAR, 2, 0])
    kinds = [CALENDAR, CALENDAR, BUTTERFLY, CALENDAR, WING, CALENDAR]
    places = [0.7, known, -0.3, 0.9, 0.1, np.inf]
    for a, (kind, k) in enumerate(zip(kinds, places, strict=True)):
        rows.kind[a], rows.slice[a], rows.k[a] = kind, 2, k
    keep_binding(problem, svi, coefficients, rows, np.array([1.0, 1.0, 2.0, 0.0, 1.0, 1.0]), len(kinds), minima)
    expected = before.copy()
    expected[BUTTERFLY, 2] += 1
    expected[CALENDAR, 2] += 1
    np.testing.assert_array_equal(minima.found, expected)
    later, earlier = (curve(RAW[i])(np.array([0.7]))[0][0] for i in (2, 1))
    assert minima.k[CALENDAR, 2, before[CALENDAR, 2]] == 0.7
    assert minima.value[CALENDAR, 2, before[CALENDAR, 2]] == pytest.approx(later / earlier - 1.0, rel=1e-9)
    k = np.array([-0.3])
    assert minima.value[BUTTERFLY, 2, before[BUTTERFLY, 2]] == pytest.approx(g_of(k, *curve(RAW[2])(k))[0], rel=1e-9)
