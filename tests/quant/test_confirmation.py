"""Unconfirmed quotes: found alone, not found together, and left out with their count."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.quant.calibration import SurfaceStatus
from app.quant.confirmation import (
    HALF_WIDTHS_PER_MAD,
    ISOLATED,
    NEIGHBOURS,
    confirmed_smiles,
    fill_neighbours,
    unconfirmed,
)
from app.quant.innovations import Innovations, innovations_of
from app.quant.maintenance import maintain_surface
from app.quant.regime import Regime
from app.quant.smile import read_smiles
from app.quant.vol_band import DEVIATIONS
from tests.quant.market import maintained_series, recorded_chains, repriced


def plain_neighbours(error: np.ndarray, bounds: list[int]) -> np.ndarray:
    """Medians of each quote's neighbours and their median absolute deviations: the kernel's twin."""
    found = []
    for first, end in pairwise(bounds):
        for i in range(first, end):
            near = [error[j] for j in range(max(i - NEIGHBOURS, first), min(i + NEIGHBOURS + 1, end)) if j != i]
            middle = np.median(near) if near else np.nan
            found.append((middle, np.median(np.abs(near - middle)) if near else np.nan))
    return np.array(found).T


@given(st.lists(st.lists(st.floats(-1.0, 1.0), min_size=1, max_size=20), min_size=1, max_size=4))
def test_the_median_of_neighbours_is_the_plain_one(errors: list[list[float]]) -> None:
    bounds = np.cumsum([0, *map(len, errors)])
    error = np.concatenate(errors)
    found = np.empty((2, error.size))
    fill_neighbours(error, bounds, *found)
    np.testing.assert_allclose(found, plain_neighbours(error, bounds.tolist()), rtol=0, atol=1e-15)


def smile_of(error: np.ndarray, half_width: float = 0.01) -> Innovations:
    n = error.size
    same = np.full(n, half_width)
    return Innovations(
        expiries=(1,),
        t=np.array([0.1]),
        slice=np.zeros(n, dtype=np.int64),
        k=np.linspace(-0.2, 0.2, n),
        deviations=np.linspace(-1.0, 1.0, n),
        vol=np.full(n, 0.5),
        error=error,
        half_width=same,
        noise=same,
        half_spread=0.5 * same,
    )


def plain_flags(seen: Innovations, widening: float, shifted: bool) -> np.ndarray:
    """The rule on whole arrays: the kernel's twin."""
    middle, deviation = plain_neighbours(seen.error, seen.bounds().tolist())
    scatter = HALF_WIDTHS_PER_MAD * deviation
    bar = widening * seen.half_width + scatter * shifted
    limit = np.maximum(ISOLATED * np.minimum(bar, DEVIATIONS * seen.noise + scatter), seen.half_spread)
    count, known = np.bincount(seen.slice), np.bincount(seen.slice, np.isfinite(seen.half_width))
    return ((count > NEIGHBOURS) & (known == count))[seen.slice] & (np.abs(seen.error - middle) > limit)


@given(st.integers(0, 2**32 - 1), st.booleans(), st.floats(1.0, 4.0))
def test_quotes_are_flagged_by_the_plain_rule(seed: int, shifted: bool, widening: float) -> None:
    rng = np.random.default_rng(seed)
    expiry = np.sort(rng.integers(0, 3, 30))
    half_width = rng.uniform(0.001, 0.02, 30)
    half_width[rng.random(30) < 0.01] = np.nan
    seen = replace(
        smile_of(rng.standard_cauchy(30) * 0.01),
        expiries=(1, 2, 3),
        slice=expiry,
        half_width=half_width,
        noise=rng.uniform(0.001, 0.02, 30),
        half_spread=rng.uniform(0.0, 0.05, 30),
    )
    with np.errstate(invalid="ignore"):
        plain = plain_flags(seen, widening, shifted)
    assert unconfirmed(seen, widening, shifted=shifted).tolist() == plain.tolist()


def test_one_quote_alone_is_not_believed_and_all_together_are() -> None:
    alone = np.zeros(15)
    alone[6] = 0.026
    assert np.flatnonzero(unconfirmed(smile_of(alone), 1.0)).tolist() == [6]
    assert not unconfirmed(smile_of(alone), 1.1).any()
    assert not unconfirmed(smile_of(np.full(15, 0.3)), 1.0).any()
    tilted = np.linspace(-0.1, 0.1, 15)
    assert not unconfirmed(smile_of(tilted), 1.5).any()


def test_in_a_shift_neighbours_that_differ_confirm_more() -> None:
    """A crash bends a smile by many bars; one quote far from all others is no crash."""
    bent = 0.2 * np.linspace(-1.0, 1.0, 15) ** 2
    alone = bent.copy()
    alone[3] += 0.5
    assert unconfirmed(smile_of(bent), 1.0).any()
    assert not unconfirmed(smile_of(bent), 1.0, shifted=True).any()
    assert np.flatnonzero(unconfirmed(smile_of(alone), 1.0, shifted=True)).tolist() == [3]


def test_wide_bars_do_not_hide_a_quote_that_its_own_noise_and_its_neighbours_do_not_explain() -> None:
    """Bars of an hour ago or after a shift: the neighbours moved together, one did not move with them."""
    together = np.linspace(-0.11, -0.14, 15)
    alone = together.copy()
    alone[6] -= 0.18
    wide = replace(smile_of(alone, 0.1), noise=np.full(15, 0.01))
    for shifted in (False, True):
        assert np.flatnonzero(unconfirmed(wide, 3.0, shifted=shifted)).tolist() == [6]
        assert not unconfirmed(replace(wide, error=together), 3.0, shifted=shifted).any()
    noisy = replace(wide, noise=np.full(15, 0.1))
    assert not unconfirmed(noisy, 3.0).any()


def test_a_fat_finger_is_left_out_while_the_regime_shifts() -> None:
    at, before = 12, maintained_series("ETH")[11]
    shifted = repriced(recorded_chains("ETH")[at], 0.9)
    far = shifted.expiries[-3]
    told = np.flatnonzero(far.is_call & (far.bid > 0.0) & (far.ask > 0.0) & (far.strike > 1.5 * far.forward))
    scale = np.ones(len(far))
    scale[told[0]] = 0.1
    wrong = replace(far, bid=scale * far.bid, ask=scale * far.ask)
    chain = replace(shifted, expiries=tuple(wrong if e is far else e for e in shifted.expiries))
    true, found = (maintain_surface(c, previous=before.fit.surface, state=before.state) for c in (shifted, chain))
    assert true.regime is found.regime is Regime.SHIFT
    assert true.fit.report.quotes_dropped.get("unconfirmed", 0) == 0
    assert found.fit.report.quotes_dropped["unconfirmed"] == 1
    assert found.fit.status is SurfaceStatus.OK


def test_nothing_is_judged_without_bars_or_neighbours() -> None:
    assert not unconfirmed(smile_of(np.eye(1, 15, 6).ravel(), np.nan), 1.0).any()
    assert not unconfirmed(smile_of(np.eye(1, NEIGHBOURS, 2).ravel()), 1.0).any()


def test_smiles_lose_the_flagged_quotes_and_keep_the_count() -> None:
    surface = maintained_series("BTC")[0].fit.surface
    smiles = read_smiles(recorded_chains("BTC")[1]).smiles
    found = innovations_of(smiles, surface)
    flagged = np.zeros(len(found), dtype=np.bool_)
    flagged[[0, 1]] = True
    kept = confirmed_smiles(smiles, found, flagged, 5)
    assert len(kept[0]) == len(smiles[0]) - 2
    assert kept[0].dropped["unconfirmed"] == 2
    np.testing.assert_array_equal(kept[0].k, smiles[0].k[2:])
    assert kept[1:] == smiles[1:]
    assert confirmed_smiles(smiles, found, flagged, len(smiles[0])) == smiles
    stranger = replace(smiles[0], expiry_ms=1)
    assert confirmed_smiles((stranger,), found, flagged, 5) == (stranger,)
