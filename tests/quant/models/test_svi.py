import math
from itertools import pairwise

import numpy as np
import pytest

from app.quant.models.base import FitOptions, FitStatus, Objective
from app.quant.models.svi import Svi
from app.quant.models.svi_curve import SviCurve
from app.quant.smile import Smile
from tests.quant.models.exact_audit import assert_free_of_arbitrage
from tests.quant.models.smiles import known_surface, quoted, recorded, smile, spoilt, spx, states

COLD = FitOptions()
NO_PRIOR = FitOptions(prior_strength=0.0)
BTC = recorded("btc_2023-04-12")
HARD = recorded("btc_2026-04-27")[0]


def vols(smiles: list[Smile], curves) -> list[np.ndarray]:
    return [np.sqrt(c.total_variance(s.k) / s.t) for s, c in zip(smiles, curves, strict=True)]


def inside(smiles: list[Smile], curves) -> float:
    """Return the share of quotes whose model vol lies within bid and ask."""
    hits = [
        (v >= s.bid_vol - 1e-12) & (v <= s.ask_vol + 1e-12) for s, v in zip(smiles, vols(smiles, curves), strict=True)
    ]
    return float(np.concatenate(hits).mean())


def test_a_noiseless_arbitrage_free_surface_is_recovered() -> None:
    known = known_surface()
    smiles = quoted(known)
    solution = Svi().fit(smiles, [], COLD)
    assert solution.status is FitStatus.CONVERGED
    assert not solution.warm
    for s, fitted, true in zip(smiles, vols(smiles, solution.curves), vols(smiles, known), strict=True):
        np.testing.assert_allclose(fitted, true, atol=1e-4, err_msg=str(s.t))
    for fitted, true in zip(solution.curves, known, strict=True):
        assert fitted.b * (1 - fitted.rho) == pytest.approx(true.b * (1 - true.rho), rel=0.02)
        assert fitted.b * (1 + fitted.rho) == pytest.approx(true.b * (1 + true.rho), rel=0.02)


@pytest.mark.parametrize("objective", list(Objective))
def test_every_objective_fits_a_recorded_chain_without_arbitrage(objective: Objective) -> None:
    solution = Svi().fit(BTC[0], [], FitOptions(objective=objective))
    assert solution.status in (FitStatus.CONVERGED, FitStatus.MAX_ITERATIONS)
    assert_free_of_arbitrage(list(solution.curves))
    assert inside(BTC[0], solution.curves) > 0.93


def test_a_chain_that_pushes_against_the_constraints_says_where() -> None:
    solution = Svi().fit(HARD, [], COLD)
    assert_free_of_arbitrage(list(solution.curves))
    assert solution.binding
    expiries = {s.expiry_ms for s in HARD}
    for row in solution.binding:
        assert row.kind in ("butterfly", "calendar", "wing")
        assert row.expiry_ms in expiries
        assert row.multiplier > 0.0
        assert not math.isnan(row.k)


@pytest.mark.parametrize("seed", range(12))
def test_spoilt_chains_give_a_feasible_surface_and_nothing_else(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for snapshot in (BTC[seed % len(BTC)], HARD):
        for _ in range(5):
            smiles = spoilt(snapshot, rng)
            solution = Svi().fit(smiles, [], COLD)
            assert solution.status is not FitStatus.INFEASIBLE
            assert_free_of_arbitrage(list(solution.curves))


@pytest.mark.parametrize("i", range(len(HARD)))
def test_a_single_expiry_can_be_fitted(i: int) -> None:
    solution = Svi().fit([HARD[i]], [], COLD)
    assert_free_of_arbitrage(list(solution.curves))
    assert solution.status in (FitStatus.CONVERGED, FitStatus.MAX_ITERATIONS)


@pytest.mark.parametrize("s", spx())
def test_spx_smiles_that_break_naive_fits(s: Smile) -> None:
    solution = Svi().fit([s], [], COLD)
    assert solution.status is FitStatus.CONVERGED
    assert_free_of_arbitrage(list(solution.curves))
    error = vols([s], solution.curves)[0] - s.mid_vol
    assert np.sqrt(np.mean(error**2)) < 0.006


def test_five_quotes_take_their_shape_from_the_neighbours() -> None:
    """A smile without a right wing: the full one is known, and what is fitted beyond the quotes stays close to it."""
    known = known_surface()
    smiles = quoted(known, noise=0.5, seed=4)
    s = smiles[2]
    keep = np.arange(5) * 3
    smiles[2] = smile(s.expiry_ms, s.t, s.k[keep], s.bid_vol[keep], s.ask_vol[keep])
    solution = Svi().fit(smiles, [], COLD)
    assert_free_of_arbitrage(list(solution.curves))
    fitted, true = vols([s], solution.curves[2:3])[0], vols([s], known[2:3])[0]
    assert np.abs(fitted - true).max() < 0.04


def test_smiles_of_hours_and_forty_expiries() -> None:
    days = np.concatenate([[1 / 24, 0.1, 0.25, 0.5], np.geomspace(1.0, 900.0, 36)])
    known = known_surface(days=days)
    smiles = quoted(known, days=days, noise=0.5, seed=9)
    solution = Svi().fit(smiles, [], COLD)
    assert len(solution.curves) == 40
    assert_free_of_arbitrage(list(solution.curves))
    assert inside(smiles, solution.curves) > 0.9


def test_no_smiles_is_nothing_to_publish() -> None:
    solution = Svi().fit([], [], COLD)
    assert solution.curves == ()
    assert solution.status is FitStatus.INFEASIBLE


def test_the_same_input_gives_the_same_bytes() -> None:
    first, second = Svi().fit(BTC[0], [], COLD), Svi().fit(BTC[0], [], COLD)
    assert first == second
    warm = [Svi().fit(BTC[1], states(BTC[0], first.curves), COLD) for _ in range(2)]
    assert warm[0].warm
    assert warm[0] == warm[1]


def test_published_parameters_have_twelve_digits() -> None:
    for c in Svi().fit(BTC[0], [], COLD).curves:
        for number in (c.a, c.b, c.rho, c.m, c.sigma):
            assert number == float(f"{number:.12g}")
        assert Svi().curve(c.parameters(), t=1.0, forward=1.0) == c


def test_a_warm_fit_without_prior_ends_near_the_cold_one() -> None:
    for earlier, later in pairwise(BTC[:4]):
        start = Svi().fit(earlier, [], COLD)
        warm = Svi().fit(later, states(earlier, start.curves), NO_PRIOR)
        cold = Svi().fit(later, [], COLD)
        assert warm.warm
        assert warm.objective <= 1.03 * cold.objective
        assert_free_of_arbitrage(list(warm.curves))


def test_too_few_known_expiries_make_a_cold_fit() -> None:
    start = states(BTC[0], Svi().fit(BTC[0], [], COLD).curves)
    assert not Svi().fit(BTC[1], start[:3], COLD).warm
    assert Svi().fit(BTC[1], start[:6], COLD).warm
    rolled = Svi().fit(BTC[1][2:], start, COLD)
    assert rolled.warm
    assert len(rolled.curves) == len(BTC[1]) - 2


def test_a_rho_at_the_edge_survives_publication() -> None:
    """A smile that falls in a straight line: the right wing wants to be flat, |rho| to be 1."""
    k = np.linspace(-0.3, 0.3, 21)
    vol = 0.5 - 0.4 * k
    solution = Svi().fit([smile(1, 0.1, k, vol - 0.001, vol + 0.001)], [], COLD)
    assert_free_of_arbitrage(list(solution.curves))
    assert isinstance(solution.curves[0], SviCurve)
    assert abs(solution.curves[0].rho) < 1.0
