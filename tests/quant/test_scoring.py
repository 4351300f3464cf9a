"""Scores of a surface on the chain after it: against plain sums, on shared quotes only, and what they tell apart."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from app.quant.calibration import calibrate_surface
from app.quant.innovations import innovations_of
from app.quant.scoring import WINDOW, MeanScore, Score, log_density, score_surfaces
from app.quant.smile import read_smiles
from app.quant.surface import VolSurface
from app.quant.vol_band import DEVIATIONS
from tests.quant.market import maintained_series, recorded_chains

FIRST, SECOND = recorded_chains("BTC", 2)
SMILES = read_smiles(SECOND).smiles


def scores(*surfaces: VolSurface) -> tuple[Score, ...]:
    found = score_surfaces(SMILES, surfaces, [True] * len(surfaces), SECOND.as_of_ms)
    assert found is not None
    return found


def test_scores_are_plain_sums_over_the_quotes() -> None:
    stood = maintained_series("BTC", 2)[0].fit.surface
    (found,) = scores(stood)
    log_scores, weights, errors, squares, outside = [], [], [], [], []
    slices = {s.expiry_ms: s for s in stood.slices}
    for smile in SMILES:
        if smile.expiry_ms not in slices:
            continue
        s = slices[smile.expiry_ms]
        assert s.band is not None
        for j in range(len(smile)):
            k = smile.k[j : j + 1]
            vol = math.sqrt(float(s.curve.total_variance(k)[0]) / s.t)
            error = float(smile.mid_vol[j]) - vol
            sd = math.hypot(float(s.band.half_width_at(k)[0]) / DEVIATIONS, float(smile.noise[j]))
            log_scores.append(stats.norm.logpdf(error, scale=sd))
            spread = float(smile.ask_vol[j] - smile.bid_vol[j])
            w = vol * math.sqrt(s.t)
            weights.append(math.sqrt(s.t) * stats.norm.pdf(-float(k[0]) / w + w / 2))
            errors.append(abs(error) / spread)
            squares.append(error**2)
            outside.append(not smile.bid_vol[j] <= vol <= smile.ask_vol[j])
    assert found.quotes == len(errors) > 100
    assert found.log_score == pytest.approx(float(np.mean(log_scores)), rel=1e-9)
    assert found.weighted_error == pytest.approx(float(np.average(errors, weights=weights)), rel=1e-9)
    assert found.rmse_vol == pytest.approx(math.sqrt(float(np.mean(squares))), rel=1e-9)
    assert found.outside == pytest.approx(float(np.mean(outside)), abs=1e-12)


def test_a_better_surface_scores_better_in_everything() -> None:
    stood = maintained_series("BTC", 2)[0].fit.surface
    off = replace(stood, slices=tuple(replace(s, t=s.t * 0.8) for s in stood.slices))
    good, bad = scores(stood, off)
    assert good.log_score > bad.log_score
    assert good.weighted_error < bad.weighted_error
    assert good.rmse_vol < bad.rmse_vol
    assert good.outside < bad.outside


def test_all_are_scored_on_the_quotes_that_all_know() -> None:
    stood = maintained_series("BTC", 2)[0].fit.surface
    partial = replace(stood, slices=stood.slices[2:])
    both = scores(stood, partial)
    assert both[0] == both[1]
    assert both[0].quotes < scores(stood)[0].quotes
    stranger = replace(stood, slices=tuple(replace(s, expiry_ms=s.expiry_ms + 1) for s in stood.slices))
    assert score_surfaces(SMILES, [stood, stranger], [True, True], SECOND.as_of_ms) is None


def test_bars_are_lent_to_a_surface_without() -> None:
    stood = maintained_series("BTC", 2)[0].fit.surface
    bare = replace(stood, slices=tuple(replace(s, band=None) for s in stood.slices))
    lent, own = scores(stood, bare)
    assert lent == own
    (alone,) = scores(bare)
    assert alone.log_score != own.log_score
    assert calibrate_surface(FIRST, model="sabr").surface.slices[0].band is None


def test_a_quote_that_nobody_confirms_is_scored_for_nobody() -> None:
    stood = maintained_series("BTC", 2)[0].fit.surface
    smile = max((s for s in SMILES if s.expiry_ms in {x.expiry_ms for x in stood.slices}), key=len)
    wild = smile.mid_vol.copy()
    wild[len(smile) // 2] += 1.0
    struck = [replace(s, mid_vol=wild) if s is smile else s for s in SMILES]
    found = score_surfaces(struck, [stood], [True], SECOND.as_of_ms)
    assert found is not None
    assert found[0].quotes == scores(stood)[0].quotes - 1
    assert found[0].rmse_vol < 0.05


def test_the_density_is_the_normal_one() -> None:
    error, noise = np.array([0.0, 0.01, -0.02]), np.array([0.005, 0.004, 0.01])
    width = np.array([0.01, np.nan, 0.03])
    sd = np.hypot(np.nan_to_num(width) / DEVIATIONS, noise)
    np.testing.assert_allclose(log_density(error, width, noise), stats.norm.logpdf(error, scale=sd), rtol=1e-13)


def test_means_are_plain_until_the_window_is_full_and_then_forget() -> None:
    values = np.sin(np.arange(3.0 * WINDOW))
    mean = MeanScore()
    for i, value in enumerate(values.tolist()):
        mean = mean.after(Score(10, value, value, value, value, i % 2 == 0))
        if i + 1 == WINDOW:
            assert mean.log_score == pytest.approx(float(values[:WINDOW].mean()), abs=1e-12)
            assert mean.arbitrage_free == pytest.approx(0.5)
    assert mean.n == 3 * WINDOW
    settled = mean
    for _ in range(10 * WINDOW):
        settled = settled.after(Score(10, 1.0, 1.0, 1.0, 1.0, True))
    assert settled.log_score == pytest.approx(1.0, abs=1e-3)


def test_the_quotes_are_those_that_came_after() -> None:
    stood = maintained_series("BTC", 2)[0].fit.surface
    before = innovations_of(read_smiles(FIRST).smiles, stood)
    after = innovations_of(SMILES, stood)
    assert np.sqrt(np.mean(after.error**2)) > np.sqrt(np.mean(before.error**2))
