"""Factors of smiles that are known exactly, and what happens where a number is missing."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import norm

from app.quant.market_factors import FACTORS, log_forward_at, market_factors, slope_at_the_money
from app.quant.nodes import DELTA_NAMES, TENOR_DAYS
from app.quant.rate_curve import RateCurve

REFERENCE = json.loads((Path(__file__).parents[1] / "reference" / "correlation.json").read_text())["skew_stickiness"]
GRID = [
    [0.70, 0.62, 0.60, 0.59, 0.63],
    [0.66, 0.58, 0.55, 0.54, 0.57],
    [0.64, 0.57, 0.54, 0.56, 0.58],
    [0.64, 0.57, 0.54, 0.56, 0.58],
]


def test_the_five_factors() -> None:
    found = market_factors(TENOR_DAYS, DELTA_NAMES, GRID, math.log(30_000.0))
    assert FACTORS == ("forward", "level", "skew", "curvature", "slope")
    assert found.values == pytest.approx((math.log(30_000.0), 0.55, -0.04, 0.01, -0.06))
    assert found.smile_slope < 0.0


def test_the_slope_of_the_smile_is_that_of_the_published_slice() -> None:
    theta, rho, psi, t = REFERENCE["theta"], REFERENCE["rho"], REFERENCE["psi"], REFERENCE["t_days"] / 365.0

    def vol(k: float) -> float:
        root = math.sqrt((psi / theta * k + rho) ** 2 + 1.0 - rho**2)
        return math.sqrt(theta * (1.0 + rho * psi / theta * k + root) / 2.0 / t)

    def at_delta(delta: float) -> float:
        def missed(k: float) -> float:
            s = vol(k) * math.sqrt(t)
            return float(norm.cdf(-k / s + 0.5 * s)) - delta

        return vol(brentq(missed, -1.5, 1.5))

    assert vol(0.0) == pytest.approx(REFERENCE["atm_vol"], rel=1e-12)
    wings = [at_delta(delta) for delta in (0.9, 0.75, 0.25, 0.1)]
    found = slope_at_the_money(vol(0.0), wings, t)
    assert found == pytest.approx(REFERENCE["smile_slope"], rel=0.03), "a quartic through five points of it"


def test_a_quartic_smile_has_its_own_slope() -> None:
    t, curve = 30 / 365, np.polynomial.Polynomial([0.6, -0.2, 0.9, 0.3, -0.8])

    def at_delta(delta: float) -> float:
        d1 = norm.ppf(delta)
        return float(curve(brentq(lambda k: k - curve(k) * t**0.5 * (0.5 * curve(k) * t**0.5 - d1), -0.5, 0.5)))

    wings = [at_delta(delta) for delta in (0.9, 0.75, 0.25, 0.1)]
    assert slope_at_the_money(0.6, wings, t) == pytest.approx(-0.2, rel=1e-9)


def test_what_is_missing_stays_missing() -> None:
    rows = [[None] * 5, [None, *GRID[1][1:]], GRID[2], [None] * 5]
    found = market_factors(TENOR_DAYS, DELTA_NAMES, rows, math.nan)
    assert math.isnan(found.smile_slope)
    assert np.isnan(found.values).tolist() == [True, False, False, False, True]
    without_put = market_factors((30.0,), ("ATM", "25C"), [[0.5, 0.49]], 1.0)
    assert np.isnan(without_put.values).tolist() == [False, False, True, True, True]
    assert math.isnan(without_put.smile_slope)
    assert math.isnan(slope_at_the_money(9.0, [9.0] * 4, 30 / 365)), "the put's strike lies above the forward"


def test_the_forward_is_that_of_the_rate_curve_within_its_pillars() -> None:
    t, carry = np.array([0.02, 0.1, 0.3]), np.array([0.05, 0.03, 0.04])
    curve = RateCurve(t, carry, np.zeros(3), 30_000.0)
    for tenor in (0.02, 0.0822, 0.3):
        found = log_forward_at(tenor, 30_000.0, t.tolist(), carry.tolist())
        assert found == pytest.approx(math.log(float(curve.forward_at(tenor))), rel=1e-14)
    for tenor in (0.01, 0.31):
        assert math.isnan(log_forward_at(tenor, 30_000.0, t.tolist(), carry.tolist()))
    assert math.isnan(log_forward_at(0.1, 30_000.0, [], []))
