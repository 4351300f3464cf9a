import numpy as np
import pytest

from app.quant.models.base import Objective
from app.quant.models.previous_slices import previous_slices
from app.quant.models.surface_quotes import SurfaceQuotes
from app.quant.models.temporal_prior import (
    COMMON_NOISE,
    PSEUDO_QUOTES,
    SIGNIFICANCE,
    UNIT,
    james_stein,
    level_and_skew,
    with_prior,
)
from tests.quant.models.smiles import known_surface, quoted, smile, states

CURVES = known_surface()


def shifted(vols: float, scatter: float) -> list:
    """The smiles of CURVES after a parallel move, their mids by turns ``scatter`` above and below it."""
    moved = []
    for s in quoted(CURVES):
        by = vols + scatter * (-1.0) ** np.arange(len(s))
        moved.append(smile(s.expiry_ms, s.t, s.k, s.bid_vol + by, s.ask_vol + by, s.noise))
    return moved


def pseudo_mids(vols: float, strength: float = 0.1, scatter: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return k, mid vol and weight of the third slice's pseudo quotes after a parallel move of the mids."""
    smiles = shifted(vols, scatter)
    quotes = SurfaceQuotes(smiles)
    known = previous_slices(smiles, states(smiles, CURVES))
    problem = with_prior(quotes.problem(Objective.MIX), quotes.noise, known, False, strength)
    a, b = problem.offsets[2], problem.offsets[3]
    assert b - a == len(smiles[2]) + PSEUDO_QUOTES
    return (
        problem.quotes[0, b - PSEUDO_QUOTES : b],
        problem.quotes[1, b - PSEUDO_QUOTES : b],
        problem.quotes[2, b - PSEUDO_QUOTES : b],
    )


def test_without_a_move_the_prior_is_the_previous_smile() -> None:
    k, mid, weight = pseudo_mids(0.0)
    np.testing.assert_allclose(mid, 100.0 * np.sqrt(CURVES[2].total_variance(k) / (30 / 365)), rtol=1e-10)
    assert weight.sum() == pytest.approx(0.1 * UNIT * 25, rel=1e-12)


def test_a_move_beyond_the_noise_moves_the_prior_at_once() -> None:
    """Mids that scatter by 0.2 vol points tell a level to 0.05: one vol point is twenty standard errors."""
    k, mid, _ = pseudo_mids(0.01, scatter=0.002)
    move = mid - 100.0 * np.sqrt(CURVES[2].total_variance(k) / (30 / 365))
    assert move.min() > 0.95
    assert move.max() < 1.05


def test_a_move_within_the_noise_leaves_the_prior_where_it_is() -> None:
    k, mid, _ = pseudo_mids(0.0005, scatter=0.002)
    np.testing.assert_allclose(mid, 100.0 * np.sqrt(CURVES[2].total_variance(k) / (30 / 365)), atol=1e-9)


def test_no_strength_or_no_previous_surface_means_no_prior() -> None:
    smiles = quoted(CURVES)
    quotes = SurfaceQuotes(smiles)
    problem = quotes.problem(Objective.MIX)
    assert with_prior(problem, quotes.noise, previous_slices(smiles, []), False, 0.1) is problem
    known = previous_slices(smiles, states(smiles, CURVES))
    assert with_prior(problem, quotes.noise, known, False, 0.0) is problem


def test_what_level_and_skew_leave_unexplained_weakens_the_prior() -> None:
    base = quoted(CURVES)
    bent = [
        smile(s.expiry_ms, s.t, s.k, s.bid_vol + d, s.ask_vol + d, s.noise)
        for s in base
        for d in (0.02 * np.cos(6.0 * s.k / np.ptp(s.k)),)
    ]
    quotes = SurfaceQuotes(bent)
    known = previous_slices(bent, states(bent, CURVES))
    problem = with_prior(quotes.problem(Objective.MIX), quotes.noise, known, False, 0.1)
    b = problem.offsets[3]
    assert problem.quotes[2, b - PSEUDO_QUOTES : b].sum() < 0.5 * 0.1 * UNIT * 25


def test_level_and_skew_is_weighted_least_squares_when_nothing_is_an_outlier() -> None:
    rng = np.random.default_rng(7)
    k = np.sort(rng.uniform(-0.5, 0.5, 40))
    noise = rng.uniform(0.2, 0.6, 40)
    e = 0.7 - 0.9 * k + 0.3 * noise * np.sin(40 * k)
    out = np.empty(5)
    level_and_skew(k, e, noise, out)
    skew, intercept = np.polyfit(k, e, 1, w=1.0 / noise)
    assert out[2] == pytest.approx(skew, rel=1e-9)
    assert out[1] - out[2] * out[0] == pytest.approx(intercept, rel=1e-9)
    weights = noise**-2.0
    centre = np.average(k, weights=weights)
    scatter = np.sum(weights * (e - np.polyval((skew, intercept), k)) ** 2) / (40 - 4)
    assert scatter < 1.0
    variance = scatter * (1 - COMMON_NOISE + 40 * COMMON_NOISE)
    assert out[3] == pytest.approx(np.sqrt(variance / weights.sum()))
    assert out[4] == pytest.approx(np.sqrt(variance / np.sum(weights * (k - centre) ** 2)))


def test_an_outlier_does_not_move_the_level() -> None:
    k, noise, e, out = np.linspace(-0.5, 0.5, 21), np.full(21, 0.3), np.zeros(21), np.empty(5)
    e[3] = 30.0
    level_and_skew(k, e, noise, out)
    assert abs(out[1]) < 0.1


def test_james_stein_keeps_moves_and_drops_noise() -> None:
    assert james_stein(0.9 * SIGNIFICANCE, 1.0) == 0.0
    assert james_stein(-5.0 * SIGNIFICANCE, 1.0) == pytest.approx(-5.0 * SIGNIFICANCE * (1 - 1 / 25))
    assert james_stein(0.0, 1.0) == 0.0
