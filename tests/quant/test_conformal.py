"""The tracker against the published recursion, its guarantee on hostile sequences, and coverage of recorded chains."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.quant import conformal
from app.quant.calibration import SurfaceStatus
from app.quant.conformal import (
    BUCKETS,
    LARGEST_STEP,
    MISS_RATE,
    ConformalState,
    bucket_index,
    buckets_of,
    followed_by,
    tracked,
)
from app.quant.innovations import Innovations, innovations_of
from app.quant.smile import read_smiles
from tests.quant.market import maintained_series, recorded_chains

REFERENCE = json.loads((Path(__file__).parents[1] / "reference" / "maintenance.json").read_text())["aci"]
LONG_AGO = np.array([10**9])


def innovations(error: np.ndarray, half_width: float = 0.01, deviations: float = 0.0, t: float = 0.1) -> Innovations:
    n = error.size
    same = np.full(n, half_width)
    return Innovations(
        expiries=(1,),
        t=np.array([t]),
        slice=np.zeros(n, dtype=np.int64),
        k=np.zeros(n),
        deviations=np.full(n, deviations),
        vol=np.full(n, 0.5),
        error=error,
        half_width=same,
        noise=same,
        half_spread=same,
    )


def test_the_logarithm_of_the_factor_is_the_level_of_adaptive_conformal_inference(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(conformal, "GAIN_FLOOR", 0.01)
    log_factor, levels = np.zeros(1), []
    for miss in REFERENCE["errors"]:
        log_factor = tracked(log_factor, LONG_AGO, np.array([1]), np.array([miss]))
        levels.append(MISS_RATE - float(log_factor[0]))
    np.testing.assert_allclose(levels, REFERENCE["alpha"], atol=1e-12)


@settings(max_examples=50)
@given(st.lists(st.integers(0, 20), min_size=1, max_size=60))
def test_the_miss_rate_is_bounded_for_any_sequence(misses: list[int]) -> None:
    log_factor = np.zeros(1)
    for count in misses:
        log_factor = tracked(log_factor, LONG_AGO, np.array([20]), np.array([count]))
        if abs(log_factor[0]) > 3.0:
            return
    rate = sum(misses) / (20 * len(misses))
    assert abs(rate - MISS_RATE) == pytest.approx(abs(log_factor[0]) / (conformal.GAIN_FLOOR * 20 * len(misses)))


def test_no_chain_moves_a_factor_by_more_than_its_step() -> None:
    state = followed_by(ConformalState(), innovations(np.full(5_000, 1.0)))
    moved = np.array(state.log_factor) - np.array(ConformalState().log_factor)
    assert moved.max() == pytest.approx(LARGEST_STEP * (1.0 - MISS_RATE))
    assert np.count_nonzero(moved) == 1


def test_coverage_converges_when_the_scale_of_errors_jumps() -> None:
    rng = np.random.default_rng(5)
    state, held, seen = ConformalState(), 0, 0
    for chain in range(600):
        sd = 0.004 if chain % 200 < 100 else 0.012
        factor = math.exp(state.log_factor[BUCKETS.index("1m/atm")])
        quotes = innovations(rng.normal(0.0, sd, 25), 0.01 * factor)
        held += int((np.abs(quotes.error) <= quotes.half_width).sum())
        seen += 25
        state = followed_by(state, quotes)
    assert held / seen == pytest.approx(1.0 - MISS_RATE, abs=0.005)
    assert state.coverage() == pytest.approx(0.95, abs=0.02)
    assert state.coverage_by_bucket().keys() == {"1m/atm"}


def test_buckets() -> None:
    assert [BUCKETS[i] for i in bucket_index(np.array([-1.5, -1.0, 0.0, 1.0, 1.5]), 5.0 / 365.0)] == [
        "1w/put",
        "1w/atm",
        "1w/atm",
        "1w/atm",
        "1w/call",
    ]
    assert BUCKETS[bucket_index(np.array([2.0]), 2.0)[0]] == "1y/call"


def test_quotes_without_a_band_teach_nothing() -> None:
    unknown = innovations(np.full(9, 1.0), half_width=np.nan)
    assert followed_by(ConformalState(), unknown) == ConformalState()
    assert ConformalState().coverage() is None


def test_innovations_are_the_mids_less_the_vol_that_stood() -> None:
    second = recorded_chains("BTC")[1]
    surface = maintained_series("BTC")[0].fit.surface
    smiles = read_smiles(second).smiles
    found = innovations_of(smiles, surface)
    stood = {s.expiry_ms: s for s in surface.slices}
    place = 0
    for smile in smiles:
        if smile.expiry_ms not in stood:
            continue
        s = stood[smile.expiry_ms]
        rows = slice(place, place + len(smile))
        expected = smile.mid_vol - np.sqrt(s.curve.total_variance(smile.k) / s.t)
        np.testing.assert_allclose(found.error[rows], expected, rtol=0, atol=1e-15)
        place += len(smile)
    assert place == len(found) > 100
    assert innovations_of(smiles, replace(surface, slices=(replace(surface.slices[0], expiry_ms=1),))).expiries == ()


@pytest.mark.parametrize("underlying", ["BTC", "ETH"])
def test_bands_hold_the_mids_of_the_chains_that_follow(underlying: str) -> None:
    series = zip(recorded_chains(underlying), maintained_series(underlying), strict=True)
    published = [(chain, fit) for chain, fit in series if fit.fit.status is not SurfaceStatus.REJECTED]
    chains, fits = zip(*published, strict=True)
    held, seen = np.zeros(len(BUCKETS)), np.zeros(len(BUCKETS))
    for chain, before in zip(chains[1:], fits, strict=False):
        found = innovations_of(read_smiles(chain).smiles, before.fit.surface)
        bucket = buckets_of(found)
        seen += np.bincount(bucket, minlength=len(BUCKETS))
        held += np.bincount(bucket[np.abs(found.error) <= found.half_width], minlength=len(BUCKETS))
    assert 0.93 <= held.sum() / seen.sum() <= 0.97
    enough = seen >= 200
    assert enough.sum() >= 5
    # In three hours a tracker may have moved by ln 2, which its guarantee turns into ln 2 / (gamma 300), 12 %, at most.
    assert (held[enough] / seen[enough] >= 0.95 - 0.12).all()
    final = fits[-1].state.conformal
    assert final.seen == tuple(seen.astype(int).tolist())
    assert final.coverage() == pytest.approx(held.sum() / seen.sum(), abs=0.02)
