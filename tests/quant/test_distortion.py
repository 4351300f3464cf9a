"""What a wrong forward and wrong premiums do to a smile is found, and nothing is found in smiles that move."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import erfcx

from app.quant.arrays import FloatArray
from app.quant.calibration import SurfaceStatus
from app.quant.chain import ExpiryQuotes, OptionChain
from app.quant.distortion import CARRY_SD, LEAST_QUOTES, MIDDLE, Cause, Distortion, smile_distortions, worst_distortion
from app.quant.gate_rules import DEFAULT_RULES
from app.quant.innovations import Innovations, innovations_of
from app.quant.lone_expiry import EDGE, LoneMoves, lone_moves
from app.quant.maintenance import maintain_surface
from app.quant.smile import read_smiles
from tests.quant.market import maintained_series, recorded_chains

REACH = DEFAULT_RULES.judged_deviations
AT = 11
"""A calm chain of the series, hours before and after anything happened."""


def mills(a: FloatArray) -> FloatArray:
    """The Mills ratio by the scaled complementary error function."""
    ratio: FloatArray = math.sqrt(0.5 * math.pi) * erfcx(a / math.sqrt(2.0))
    return ratio


def shapes(z: FloatArray, vol: FloatArray, t: float) -> tuple[FloatArray, FloatArray]:
    """What a forward and premiums that are too high by 1 in ln do to vols."""
    return -np.sign(z) * mills(np.abs(z)) / math.sqrt(t), vol * (1.0 - np.abs(z) * mills(np.abs(z)))


def moved(error: FloatArray, z: FloatArray, t: float = 0.25, half_width: float = 0.01) -> LoneMoves:
    """One expiry of quotes at ``z`` deviations whose mids moved by ``error``, where nobody stands beside it."""
    column = np.zeros(z.size)
    innovations = Innovations(
        expiries=(0,),
        t=np.array([t]),
        slice=np.zeros(z.size, dtype=np.int64),
        k=0.6 * math.sqrt(t) * z,
        deviations=z,
        vol=column + 0.6,
        error=error,
        half_width=column + half_width,
        noise=column + 0.002,
        half_spread=column + 0.005,
    )
    return lone_moves(innovations, np.zeros(z.size, dtype=np.bool_), 1.0, REACH)


def nobody_told() -> FloatArray:
    return np.full(1, np.nan)


@pytest.mark.parametrize("cause", Cause)
@pytest.mark.parametrize("off", [-0.06, 0.02])
def test_what_is_off_is_found_beneath_a_move_of_level_and_skew(cause: Cause, off: float) -> None:
    z = np.linspace(-1.8, 1.8, 24)
    shape = shapes(z, np.full(z.size, 0.6), 0.25)[cause]
    found = worst_distortion(moved(0.03 - 0.01 * z + off * shape, z), nobody_told(), 1.0, REACH)
    assert found is not None
    assert found.cause is cause
    assert found.off == pytest.approx(off, rel=1e-9)
    assert found.half_widths == pytest.approx(abs(off) * np.abs(shape).max() / 0.01, rel=1e-9)
    later = worst_distortion(moved(0.03 - 0.01 * z + off * shape, z), nobody_told(), 1.25, REACH)
    assert later is None or later.half_widths == pytest.approx(found.half_widths / 1.25, rel=1e-9)


def test_what_stays_within_the_bars_is_not_told() -> None:
    z = np.linspace(-1.8, 1.8, 24)
    shape = shapes(z, np.full(z.size, 0.6), 0.25)[Cause.FORWARD]
    assert worst_distortion(moved(0.01 * shape, z, half_width=0.05), nobody_told(), 1.0, REACH) is None
    assert worst_distortion(moved(0.01 * shape, z, half_width=0.01), nobody_told(), 1.0, REACH) is not None


@pytest.mark.parametrize("z", [np.linspace(0.1, 1.9, 20), np.linspace(-1.0, 1.0, LEAST_QUOTES - 1)])
def test_calls_alone_and_few_quotes_tell_nothing_for_sure(z: FloatArray) -> None:
    error = 0.02 * shapes(z, np.full(z.size, 0.6), 0.25)[Cause.FORWARD] + 0.01 * np.cos(50.0 * z)
    found = worst_distortion(moved(error, z), nobody_told(), 1.0, REACH)
    assert found is None or found.deviations < DEFAULT_RULES.degraded_distortion


def test_a_forward_that_moved_apart_is_a_second_witness() -> None:
    """The mean by inverse variance of what the smile and what carry say."""
    z = np.linspace(-1.8, 1.8, 24)
    lone = moved(0.01 * shapes(z, np.full(z.size, 0.6), 0.25)[Cause.FORWARD], z)
    alone = worst_distortion(lone, nobody_told(), 1.0, REACH)
    assert alone is not None
    by_smile, by_carry = (alone.deviations / alone.off) ** 2, (2.0 * CARRY_SD) ** -2
    for carry in (0.01, 0.0, -0.01):
        both = worst_distortion(lone, np.array([carry]), 2.0, REACH)
        off = (by_smile * 0.01 + by_carry * carry) / (by_smile + by_carry)
        assert both is not None
        assert both.off == pytest.approx(off, rel=1e-9)
        assert both.deviations == pytest.approx(off * math.sqrt(by_smile + by_carry), rel=1e-9)


def test_the_share_of_a_cusp_near_the_money_is_its_median() -> None:
    z = np.linspace(0.0, EDGE, 1001)
    assert np.median(1.0 - z * mills(z)) == pytest.approx(MIDDLE, abs=0.01)


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.floats(-2.5, 2.5), st.floats(-0.1, 0.1), st.floats(0.001, 0.02)), max_size=60
    )
)
def test_what_is_off_is_that_of_plain_least_squares(quotes: list[tuple[int, float, float, float]]) -> None:
    quotes = sorted(quotes)
    expiry, z, error, noise = (np.array([quote[i] for quote in quotes], dtype=np.float64) for i in range(4))
    t, vol = np.array([0.01, 0.2, 1.5]), 0.5 + 0.1 * np.abs(z)
    half_width = np.where(z > 1.8, np.nan, 0.01 + 0.0 * z)
    off, precision, slope = np.zeros((3, len(Cause), 3))
    bounds = np.searchsorted(expiry, np.arange(4))
    smile_distortions(bounds, z, vol, error, noise, half_width, t, REACH, off, precision, slope)
    for e in range(3):
        rows = (expiry == e) & (np.abs(z) <= REACH) & (z <= 1.8)
        for cause, shape in enumerate(shapes(z[rows], vol[rows], t[e])):
            if not precision[cause, e]:
                continue
            weighted = np.stack([np.ones(rows.sum()), z[rows], shape], axis=1) / noise[rows, None]
            scale = np.linalg.norm(weighted, axis=0)
            if np.linalg.cond(weighted / scale) > 1e3 or (z[rows] == 0.0).any():
                continue
            found, *_ = np.linalg.lstsq(weighted, error[rows] / noise[rows], rcond=None)
            left = error[rows] / noise[rows] - weighted @ found
            variance = np.linalg.inv(weighted.T @ weighted)[2, 2] * max(1.0, left @ left / (rows.sum() - 3))
            assert rows.sum() >= LEAST_QUOTES
            assert off[cause, e] == pytest.approx(found[2], abs=1e-6 * math.sqrt(variance) + 1e-9)
            assert precision[cause, e] == pytest.approx(1.0 / variance, rel=1e-6)
            assert slope[cause, e] == pytest.approx(np.abs(shape).max() / 0.01, rel=1e-12)


def found_in(chain: OptionChain, underlying: str) -> Distortion | None:
    """What is found in a successor of the calm chain's surface; its forwards are those it says they are."""
    before = maintained_series(underlying)[AT].fit.surface
    innovations = innovations_of(read_smiles(chain).smiles, before)
    nobody = np.zeros(len(innovations), dtype=np.bool_)
    lone = lone_moves(innovations, nobody, 1.0, REACH)
    return worst_distortion(lone, np.full(len(innovations.expiries), np.nan), 1.0, REACH)


def with_expiry(chain: OptionChain, which: int, edited: ExpiryQuotes) -> OptionChain:
    return replace(chain, expiries=(*chain.expiries[:which], edited, *chain.expiries[which + 1 :]))


@pytest.mark.parametrize(
    ("underlying", "which", "off"),
    [
        ("BTC", 0, 0.0025),
        ("BTC", 5, 0.004),
        ("BTC", 7, -0.006),
        ("ETH", 1, 0.0025),
        ("ETH", 4, -0.004),
        ("ETH", 6, 0.006),
    ],
)
def test_a_stale_forward_of_a_real_expiry_is_measured_and_told(underlying: str, which: int, off: float) -> None:
    """It is within what parity's cone and the moves of carry allow, and its mids agree with each other."""
    chain, before = recorded_chains(underlying)[AT + 1], maintained_series(underlying)[AT]
    quotes = chain.expiries[which]
    stale = with_expiry(chain, which, replace(quotes, forward=(1.0 + off) * quotes.forward))
    found = found_in(stale, underlying)
    assert found is not None
    assert found.cause is Cause.FORWARD
    assert found.off == pytest.approx(off, abs=3.0 * abs(found.off) / found.deviations)
    fit = maintain_surface(stale, previous=before.fit.surface, state=before.state).fit
    assert fit.status is not SurfaceStatus.OK
    assert f"{'high' if off > 0.0 else 'low'}, as the shape of the smile has it" in (fit.reason or "")


@pytest.mark.parametrize("underlying", ["BTC", "ETH"])
def test_premiums_of_a_real_expiry_that_are_off_are_measured(underlying: str) -> None:
    chain, which, off = recorded_chains(underlying)[AT + 1], 6, -0.08
    quotes = chain.expiries[which]
    dear = replace(quotes, bid=math.exp(off) * quotes.bid, ask=math.exp(off) * quotes.ask)
    found = found_in(with_expiry(chain, which, dear), underlying)
    assert found is not None
    assert found.cause is Cause.PREMIUMS
    assert found.off == pytest.approx(off, abs=3.0 * abs(found.off) / found.deviations)
    assert "too low" in str(found)


@pytest.mark.parametrize("underlying", ["BTC", "ETH"])
def test_smiles_of_a_recorded_day_are_not_distorted(underlying: str) -> None:
    """Not even in the minutes of inflation figures, but for one chain that other rules tell of as well."""
    reasons = [m.fit.reason or "" for m in maintained_series(underlying) if m.fit.status is SurfaceStatus.DEGRADED]
    told = [reason for reason in reasons if "the shape of the smile" in reason]
    assert len(told) <= 1
    assert all("error: " in reason and "lone expiry: " in reason for reason in told)
