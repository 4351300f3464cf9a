"""The skew stickiness ratio and the beta: put in, they are found; what the data do not tell is not said."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.quant.arrays import FloatArray
from app.quant.correlation import LEAST_OBSERVATIONS, decaying_weights
from app.quant.spot_vol import RATIO_PRIOR, RATIO_PRIOR_SD, robust_slope, spot_vol

REFERENCE = json.loads((Path(__file__).parents[1] / "reference" / "correlation.json").read_text())["skew_stickiness"]
AGE = np.arange(100.0)[::-1]


def market(ratio: float, smile_slope: float, noise: float, seed: int = 4) -> tuple[FloatArray, FloatArray, FloatArray]:
    rng = np.random.default_rng(seed)
    forward = 0.003 * rng.standard_t(4.0, 100)
    slope = smile_slope * rng.uniform(0.8, 1.2, 100)
    return forward, ratio * slope * forward + noise * rng.standard_t(3.0, 100), slope


def test_the_published_move_has_the_published_ratio() -> None:
    slope, move = REFERENCE["smile_slope"], REFERENCE["forward_move"]
    forward = np.linspace(move, -move, 30)
    vol = REFERENCE["vol_move"] / move * forward
    found = spot_vol(forward, vol, np.full(30, slope), np.zeros(30), 1.0)
    assert found.ratio == pytest.approx(REFERENCE["ratio"], rel=1e-12)
    assert found.beta == pytest.approx(REFERENCE["ratio"] * slope, rel=1e-12)
    assert found.correlation == pytest.approx(-1.0)
    assert found.ratio_prior_share == pytest.approx(0.0, abs=1e-20)


@pytest.mark.parametrize("ratio", [0.0, 1.0, 1.8])
def test_a_ratio_put_in_is_found_within_its_standard_error(ratio: float) -> None:
    misses = []
    for seed in range(100):
        found = spot_vol(*market(ratio, -0.8, 0.0007, seed), AGE, 60.0)
        assert found.ratio is not None
        assert found.ratio_sd is not None
        assert found.ratio_prior_share is not None
        assert found.ratio_prior_share < 0.15
        measured = (found.ratio - found.ratio_prior_share * RATIO_PRIOR) / (1.0 - found.ratio_prior_share)
        sd = found.ratio_sd / np.sqrt(1.0 - found.ratio_prior_share)
        misses.append((measured - ratio) / sd)
    assert np.mean(np.abs(misses) < 2.0) > 0.88
    assert abs(np.mean(misses)) < 0.3


def test_shrinkage_is_the_inverse_variance_mean_with_the_prior() -> None:
    forward, vol, slope = market(0.4, -0.2, 0.001)
    found = spot_vol(forward, vol, slope, AGE, 60.0)
    measured, sd = robust_slope(slope * forward, vol, decaying_weights(AGE, 60.0))
    precision = sd**-2 + RATIO_PRIOR_SD**-2
    assert found.ratio == pytest.approx((measured / sd**2 + RATIO_PRIOR / RATIO_PRIOR_SD**2) / precision)
    assert found.ratio_sd == pytest.approx(precision**-0.5)
    assert 0.1 < found.ratio_prior_share < 0.5


def test_a_flat_smile_has_a_beta_and_no_ratio() -> None:
    forward, vol, slope = market(1.0, -0.02, 0.0005)
    found = spot_vol(forward, vol - 0.3 * forward, slope, AGE, 60.0)
    assert found.ratio is None
    assert found.ratio_sd is None
    assert "less than the prior's 0.4" in str(found.reason)
    assert found.beta is not None
    assert found.beta_sd is not None
    assert abs(found.beta + 0.32) < 3.0 * found.beta_sd
    unknown = spot_vol(forward, vol, np.full(100, np.nan), AGE, 60.0)
    assert (unknown.ratio, unknown.beta is None) == (None, False)
    assert "known at 0 moves" in str(unknown.reason)


def test_one_wrong_vol_hardly_matters_and_one_large_move_makes_unsure() -> None:
    weights = np.full(100, 0.01)
    forward, vol, _ = market(1.0, -0.5, 0.0003)
    calm, calm_sd = robust_slope(forward, vol, weights)
    wrong = vol.copy()
    wrong[17] += 0.5
    assert abs(robust_slope(forward, wrong, weights)[0] - calm) < calm_sd
    jumped, moved = forward.copy(), vol.copy()
    jumped[50], moved[50] = -0.3, -0.1
    slope, sd = robust_slope(jumped, moved, weights)
    assert abs(slope - calm) < 2.0 * sd, "without that move it would be another"


@given(st.integers(0, 2**32 - 1), st.floats(-6.0, 6.0), st.floats(-6.0, 6.0))
def test_the_slope_scales_with_what_it_is_of(seed: int, x_power: float, y_power: float) -> None:
    rng = np.random.default_rng(seed)
    x, y, weights = rng.standard_t(3.0, 40), rng.standard_t(3.0, 40), np.full(40, 1 / 40)
    slope, sd = robust_slope(x, y, weights)
    scaled, scaled_sd = robust_slope(x * 10.0**x_power, y * 10.0**y_power, weights)
    unit = 10.0 ** (y_power - x_power)
    assert scaled == pytest.approx(slope * unit, rel=1e-6, abs=1e-9 * sd * unit)
    assert scaled_sd == pytest.approx(sd * unit, rel=1e-6)


def test_too_little_is_said_so_and_never_zero() -> None:
    forward, vol, slope = market(1.0, -0.5, 0.0003)
    gone = np.full(100, np.nan)
    assert spot_vol(gone, vol, slope, AGE, 60.0).reason == "no change of forward and level is known"
    short = slice(0, LEAST_OBSERVATIONS - 1)
    for found in (
        spot_vol(forward[short], vol[short], slope[short], AGE[short], 60.0),
        spot_vol(forward, 0.0 * vol, slope, AGE, 60.0),
        spot_vol(forward, vol, slope, AGE, 2.0),
    ):
        assert (found.beta, found.ratio, found.correlation) == (None, None, None)
        assert f"at least {LEAST_OBSERVATIONS}" in str(found.reason)
