"""An expiry that moves by itself is found, however much the others move."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.quant.calibration import SurfaceStatus
from app.quant.gate_rules import DEFAULT_RULES
from app.quant.innovations import Innovations, innovations_of
from app.quant.lone_expiry import EDGE, PLACES, LoneMove, lone_moves, place_medians
from app.quant.maintenance import maintain_surface
from app.quant.regime import Regime
from app.quant.smile import read_smiles
from tests.quant.market import maintained_series, recorded_chains


def loneliest(innovations: Innovations, widening: float = 1.0) -> LoneMove | None:
    nobody = np.zeros(len(innovations), dtype=np.bool_)
    return lone_moves(innovations, nobody, widening, DEFAULT_RULES.judged_deviations).loneliest()


def moved(moves: list[float], half_width: float = 0.01) -> Innovations:
    """Innovations of three quotes an expiry, all by the expiry's move."""
    n = len(moves)
    column = np.zeros(3 * n)
    return Innovations(
        expiries=tuple(range(n)),
        t=np.linspace(0.1, 1.0, n),
        slice=np.repeat(np.arange(n), 3),
        k=column,
        deviations=np.tile([-0.5, 0.0, 0.5], n),
        vol=column + 0.5,
        error=np.repeat(moves, 3),
        half_width=column + half_width,
        noise=column + 0.002,
        half_spread=column + 0.005,
    )


@pytest.mark.parametrize(
    ("moves", "expiry", "half_widths"),
    [
        ([0.05, 0.05, 0.05], 0, 0.0),
        ([-0.12, -0.09, -0.02, 0.11, -0.01], 3, 12.0),
        ([0.20, 0.02, 0.01], 0, 9.0),
        ([0.10, 0.02, 0.02], 0, 0.0),
        ([0.05, -0.02, -0.01], 0, 7.0),
        ([-0.01, -0.05, -0.10], 2, 5.0),
    ],
)
def test_a_move_is_measured_from_its_neighbours(moves: list[float], expiry: int, half_widths: float) -> None:
    found, wider = loneliest(moved(moves)), loneliest(moved(moves), 2.0)
    if not half_widths:
        assert found is wider is None
        return
    assert found is not None
    assert wider is not None
    assert found.expiry_ms == expiry
    assert found.half_widths == pytest.approx(half_widths, abs=1e-9)
    assert wider.half_widths == pytest.approx(0.5 * half_widths, abs=1e-9)


def test_two_expiries_cannot_say_which_of_them_moved() -> None:
    assert loneliest(moved([0.0, 0.3])) is None


def test_a_neighbour_that_stood_no_better_than_its_move_confirms_nothing() -> None:
    """The middle expiry moved by three bars, and so did its neighbours, whose bars are five times as wide."""
    same = moved([0.03, 0.03, 0.03])
    known = loneliest(replace(same, half_width=np.repeat([0.05, 0.01, 0.05], 3)))
    assert known is not None
    assert (known.expiry_ms, known.half_widths) == (1, pytest.approx(3.0))
    doubtful = loneliest(replace(same, half_width=np.repeat([0.02, 0.01, 0.05], 3)))
    assert doubtful is not None
    assert (doubtful.expiry_ms, doubtful.half_widths) == (1, pytest.approx(1.0))


def test_what_moves_the_middle_of_a_smile_alone_is_seen_there() -> None:
    """The median of all mids does not tell it."""
    quotes = 9
    z = np.linspace(-1.6, 1.6, quotes)
    four = moved([0.0, 0.0, 0.0, 0.0])
    error = np.zeros(4 * quotes)
    error[2 * quotes : 3 * quotes] = np.where(np.abs(z) < 0.5, 0.04, 0.0)
    columns = {name: np.resize(getattr(four, name), error.size) for name in ("k", "vol", "half_width", "noise")}
    found = loneliest(
        replace(
            four,
            slice=np.repeat(np.arange(4), quotes),
            deviations=np.tile(z, 4),
            error=error,
            half_spread=columns["noise"],
            **columns,
        )
    )
    assert found is not None
    assert (found.expiry_ms, found.place, found.half_widths) == (2, "near the money", pytest.approx(4.0))


def test_quotes_that_nobody_confirms_are_no_move() -> None:
    three = moved([0.0, 0.03, 0.0])
    assert loneliest(three) is not None
    at = lone_moves(three, np.repeat([False, True, False], 3), 1.0, DEFAULT_RULES.judged_deviations)
    assert at.loneliest() is None


def test_mids_between_spreads_that_are_wide_open_keep_no_chain_back() -> None:
    """Around US inflation figures a lone expiry moved by nine bars, and the new bar there is as wide."""
    after = maintained_series("BTC")[16].fit
    assert after.status is SurfaceStatus.DEGRADED
    assert "lone expiry: mids of 78.8 days, its puts" in (after.reason or "")
    place = next(i for i, s in enumerate(after.surface.slices) if 78.0 < s.t * 365.0 < 80.0)
    s = after.surface.slices[place]
    assert s.band is not None
    puts = -1.25 * np.sqrt(after.surface.stack.at_the_money[place])
    bar = float(s.band.half_width_at(np.array([puts]))[0])
    for share, within in ((0.99, True), (1.01, False)):
        move = LoneMove(s.expiry_ms, s.t, "its puts", -share * bar, 9.0)
        assert move.within(after.surface) is within
    bare = replace(after.surface, slices=(replace(s, band=None),))
    assert not LoneMove(s.expiry_ms, s.t, "its puts", 0.0, 9.0).within(bare)
    assert not LoneMove(0, s.t, "its puts", 0.0, 9.0).within(after.surface)


def test_a_place_of_too_few_mids_is_judged_by_all_of_its_expiry() -> None:
    found = lone_moves(moved([0.0, 0.05, 0.0]), np.zeros(9, dtype=np.bool_), 1.0, 2.0)
    assert np.isnan(found.half_widths[1, [0, 2]]).all()
    assert found.at(1, 1.5) == found.at(1, 0.0) == found.half_widths[1, PLACES.index("all its quotes")]


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(-2.5, 2.5), st.floats(-1.0, 1.0), st.booleans()), max_size=60))
def test_medians_at_each_place_are_the_plain_ones(quotes: list[tuple[int, float, float, bool]]) -> None:
    quotes = sorted(quotes)
    expiry, z, error, counted = (np.array([quote[i] for quote in quotes]) for i in range(4))
    half_width = 0.01 + 0.1 * np.abs(z)
    places = (z <= -EDGE, (z > -EDGE) & (z <= EDGE), z > EDGE, z == z)
    move, bar, count = np.full((4, 4), np.nan), np.full((4, 4), np.nan), np.zeros((4, 4), dtype=np.int64)
    bounds = np.searchsorted(expiry, np.arange(5))
    columns = (z.astype(np.float64), error.astype(np.float64), half_width.astype(np.float64))
    place_medians(bounds, *columns, counted.astype(np.bool_), 2.0, move, bar, count)
    for e in range(4):
        for p, place in enumerate(places):
            rows = (expiry == e) & place & counted.astype(np.bool_) & (np.abs(z) <= 2.0)
            assert count[e, p] == rows.sum()
            if rows.any():
                assert move[e, p] == pytest.approx(np.median(error[rows]), abs=1e-15)
                assert bar[e, p] == pytest.approx(half_width[rows].mean(), rel=1e-13)
            else:
                assert np.isnan([move[e, p], bar[e, p]]).all()


def test_a_wrong_expiry_does_not_pass_because_the_market_shifts() -> None:
    """On ETH's chain after US inflation figures; BTC's spreads, and so its bars, were wide open just before."""
    underlying = "ETH"
    at = next(i for i, m in enumerate(maintained_series(underlying)) if "slope" in (m.regime_reason or ""))
    before, chain = maintained_series(underlying)[at - 1], recorded_chains(underlying)[at]
    far = len(chain.expiries) - 3
    wrong = replace(
        chain,
        expiries=tuple(
            replace(e, bid=0.7 * e.bid, ask=0.7 * e.ask) if i == far else e for i, e in enumerate(chain.expiries)
        ),
    )
    found = maintain_surface(wrong, previous=before.fit.surface, state=before.state)
    assert found.regime is Regime.SHIFT
    assert found.fit.status is SurfaceStatus.REJECTED
    assert "lone expiry" in (found.fit.reason or "")
    true = maintain_surface(chain, previous=before.fit.surface, state=before.state)
    assert true.fit.status is not SurfaceStatus.REJECTED


@pytest.mark.parametrize("underlying", ["BTC", "ETH"])
def test_expiries_of_a_recorded_day_move_with_their_neighbours(underlying: str) -> None:
    series, chains = maintained_series(underlying), recorded_chains(underlying)
    sizes = []
    for before, chain in zip(series[:-1], chains[1:], strict=True):
        surface = before.fit.surface
        found = loneliest(innovations_of(read_smiles(chain).smiles, surface))
        assert found is not None
        sizes.append(found.half_widths)
    assert np.sort(sizes)[-2] < DEFAULT_RULES.degraded_lone
