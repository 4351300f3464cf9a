import numpy as np
import pytest
from scipy.optimize import least_squares

from app.quant.models.svi_projection import SLOPE_LEAST, SLOPE_MOST
from app.quant.models.svi_slice import WIDTH_LEAST, WIDTH_MOST, fit_slice
from app.quant.smile import Smile
from tests.quant.models.smiles import recorded, spx

RECORDED = [*recorded("btc_2023-04-12")[0], *recorded("btc_2026-04-27")[0], *spx()]


def svi(k: np.ndarray, a: float, b: float, rho: float, m: float, sigma: float) -> np.ndarray:
    return a + b * (rho * (k - m) + np.hypot(k - m, sigma))


@pytest.mark.parametrize(
    "raw",
    [
        (0.0040, 0.060, -0.25, 0.01, 0.15),
        (0.02, 0.10, -0.30, 0.0, 0.10),
        (0.005, 0.16, -0.50, 0.05, 0.20),
        (1e-4, 0.02, 0.4, -0.01, 0.02),
    ],
)
def test_a_noiseless_slice_gives_its_parameters_back(raw: tuple[float, ...]) -> None:
    k = np.linspace(-6.0, 6.0, 41) * np.sqrt(svi(np.zeros(1), *raw))
    fitted = np.empty(5)
    misfit = fit_slice(k, svi(k, *raw), np.ones(41), 200, 1e-14, fitted)
    assert misfit < 1e-16 * svi(k, *raw).max()
    np.testing.assert_allclose(fitted, raw, rtol=2e-3, atol=1e-5)
    np.testing.assert_allclose(svi(k, *fitted), svi(k, *raw), rtol=1e-5)


def best_of_25(k: np.ndarray, w: np.ndarray, weight: np.ndarray, seed: int) -> float:
    """Return the least sum of squares that scipy's bounded least squares reaches from 25 random starts."""
    rng = np.random.default_rng(seed)
    span, level, root = np.ptp(k), w.max(), np.sqrt(weight)

    def misfit(p: np.ndarray) -> np.ndarray:
        y = k - p[3] * span
        r = np.hypot(y, np.exp(p[4]) * span)
        return root * (p[0] * level + 0.5 * p[1] * (r - y) + 0.5 * p[2] * (r + y) - w) / level

    low = [-10.0, SLOPE_LEAST, SLOPE_LEAST, k.min() / span - 1.0, np.log(WIDTH_LEAST)]
    high = [2.0, SLOPE_MOST, SLOPE_MOST, k.max() / span + 1.0, np.log(WIDTH_MOST)]
    steep = 0.5 * level / span
    best = np.inf
    for _ in range(25):
        start = [
            rng.uniform(0.0, 1.0),
            min(rng.uniform(0.0, steep) + 1e-5, 1.9),
            min(rng.uniform(0.0, steep) + 1e-5, 1.9),
            k[np.argmin(w)] / span + rng.uniform(-0.3, 0.3),
            np.log(rng.uniform(0.02, 1.0)),
        ]
        best = min(best, 2.0 * least_squares(misfit, start, bounds=(low, high)).cost * level**2)
    return best


@pytest.mark.parametrize("i", range(0, len(RECORDED), 5))
def test_a_recorded_slice_is_within_a_thousandth_of_the_best_of_25_starts(i: int) -> None:
    s: Smile = RECORDED[i]
    w = s.mid_vol**2 * s.t
    weight = 1.0 / np.maximum(s.ask_vol - s.bid_vol, 0.004) / w
    weight /= weight.mean()
    misfit = fit_slice(s.k, w, weight, 200, 1e-10, np.empty(5))
    assert misfit <= 1.001 * best_of_25(s.k, w, weight, i)


def test_the_returned_minimum_is_the_misfit_of_the_returned_parameters() -> None:
    s = RECORDED[4]
    w, fitted, weight = s.mid_vol**2 * s.t, np.empty(5), np.linspace(1.0, 2.0, len(s))
    misfit = fit_slice(s.k, w, weight, 50, 1e-9, fitted)
    assert misfit == pytest.approx(np.sum(weight * (svi(s.k, *fitted) - w) ** 2), rel=1e-6)
