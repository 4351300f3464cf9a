"""Correlations of a recorded market, and of series whose correlation was put in."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from app.quant.arrays import FloatArray
from app.quant.market_factors import FACTORS, MarketFactors
from app.service.correlation_document import Correlations
from app.service.correlations import MS_PER_MINUTE, CorrelationQuery
from app.service.correlations import correlations_of as correlations_of_series
from app.service.factor_history import published_factors
from app.service.iso_time import ms_of
from app.service.surface_factors import FactorSeries, SurfaceFactors
from tests.service.published_factors import published_series

Points = Mapping[str, Sequence[SurfaceFactors]]
QUERY = CorrelationQuery(window_minutes=720, bar_minutes=5, half_life_minutes=120.0)
BAR_MS = 5 * MS_PER_MINUTE
FORWARDS, LEVELS = ("BTC.forward", "ETH.forward"), ("BTC.level", "ETH.level")


@cache
def recorded() -> Points:
    return {name: tuple(map(published_factors, published_series(name))) for name in ("BTC", "ETH")}


def correlations_of(points: Points, query: CorrelationQuery) -> Correlations:
    return correlations_of_series(
        {name: FactorSeries.of(range(len(each)), each) for name, each in points.items()}, query
    )


def walk(moves: FloatArray) -> list[SurfaceFactors]:
    """Surfaces five minutes apart whose forward makes these moves, in fifths of a per cent; nothing else moves."""
    start = recorded()["BTC"][0]
    others = start.factors.values[1:]
    return [
        replace(
            start, as_of_ms=start.as_of_ms + i * BAR_MS, factors=MarketFactors((10.0 + 0.002 * place, *others), -0.5)
        )
        for i, place in enumerate(np.cumsum(moves).tolist())
    ]


def pair(found: Correlations, labels: tuple[str, str]) -> tuple[float, float]:
    i, j = map(found.factors.index, labels)
    value, error = found.correlation[i][j], found.standard_error[i][j]
    assert value is not None
    assert error is not None
    return value, error


def test_bitcoin_and_ether_move_together_on_the_recorded_day() -> None:
    found = correlations_of(recorded(), QUERY)
    assert (found.status, found.reason) == ("ok", None)
    assert found.factors == [f"{name}.{factor}" for name in ("BTC", "ETH") for factor in FACTORS]
    forwards, error = pair(found, FORWARDS)
    assert 0.3 < forwards < 0.7
    assert 0.08 < error < 0.25
    levels, error = pair(found, LEVELS)
    assert 0.0 < levels < 0.5
    assert levels < 3.0 * error
    overlap = found.overlap[0][1]
    assert overlap == pytest.approx(0.69, abs=0.02), "their chains were collected 90 seconds apart"
    assert forwards / overlap > 0.5, "over times in common they correlate more"
    assert found.observations.changes >= 45
    assert 35.0 < found.observations.effective < found.observations.changes
    assert max(found.observations.of_factor.values()) <= 63


def test_the_matrix_of_the_recorded_day_is_one() -> None:
    found = correlations_of(recorded(), QUERY)
    matrix = np.array(found.correlation, np.float64)
    assert np.linalg.eigvalsh(matrix).min() > 0.0
    assert np.diag(matrix).tolist() == [1.0] * 10
    turned = correlations_of(dict(reversed(recorded().items())), QUERY)
    order = [turned.factors.index(label) for label in found.factors]
    assert np.array(turned.correlation, np.float64)[np.ix_(order, order)] == pytest.approx(matrix, abs=1e-12)


def test_vol_hardly_followed_the_forward_and_no_ratio_is_made_up() -> None:
    for each in correlations_of(recorded(), QUERY).spot_vol.values():
        assert each.beta is not None
        assert each.beta_sd is not None
        assert abs(each.beta) < 0.4
        assert 0.01 < each.beta_sd < 0.2
        if each.ratio is None:
            assert "less than the prior's" in str(each.reason)
        else:
            assert each.ratio_sd is not None
            assert each.ratio_sd < 0.3


def test_one_underlying_alone_and_two_say_the_same_of_it() -> None:
    both, alone = correlations_of(recorded(), QUERY), correlations_of({"ETH": recorded()["ETH"]}, QUERY)
    assert alone.as_of == both.as_of
    assert alone.spot_vol["ETH"] == both.spot_vol["ETH"]
    assert alone.overlap == [[1.0]]


def test_the_newest_bar_has_ended() -> None:
    points = recorded()
    whole = correlations_of(points, QUERY)
    end = ms_of(whole.as_of)
    newest = max(each[-1].as_of_ms for each in points.values())
    assert end % BAR_MS == 0
    assert newest - BAR_MS < end <= newest


def test_a_gap_breaks_the_chain_of_changes() -> None:
    moves = np.random.default_rng(3).standard_normal((60, 2))
    points = {"BTC": walk(moves[:, 0]), "ETH": walk(moves[:, 1])}
    holed = {**points, "BTC": [point for i, point in enumerate(points["BTC"]) if i not in (20, 21, 40)]}
    whole, found = (correlations_of(each, QUERY).observations.of_factor for each in (points, holed))
    assert (whole["BTC.forward"], whole["ETH.forward"]) == (58, 58), "the newest surface is in a bar that has not ended"
    assert (found["BTC.forward"], found["ETH.forward"]) == (58 - 5, 58), "three changes touch one gap, two the other"


def test_a_moved_surface_says_nothing_and_a_degraded_one_counts() -> None:
    points = recorded()
    fitted = correlations_of(points, QUERY)
    between = [replace(a, as_of_ms=(a.as_of_ms + b.as_of_ms) // 2, moved=True) for a, b in pairwise(points["BTC"])]
    both = sorted([*points["BTC"], *between], key=lambda point: point.as_of_ms)
    found = correlations_of({**points, "BTC": both}, QUERY)
    assert found.correlation == fitted.correlation
    assert found.observations.moved["BTC"] > 45
    doubted = {**points, "ETH": [replace(point, degraded=True) for point in points["ETH"]]}
    found = correlations_of(doubted, QUERY)
    assert found.correlation == fitted.correlation
    assert found.observations.degraded["ETH"] > 45


def test_one_whose_surfaces_stopped_is_missing_since() -> None:
    points = recorded()
    stopped = {"BTC": points["BTC"], "ETH": points["ETH"][:8]}
    found = correlations_of(stopped, QUERY)
    assert found.status == "partial"
    assert all(f"ETH.{factor}" in str(found.reason) for factor in FACTORS)
    assert pair(found, ("BTC.forward", "BTC.forward")) == (1.0, 0.0)
    i = found.factors.index("ETH.forward")
    assert set(found.correlation[i]) == {None}
    assert found.spot_vol["ETH"].beta is None
    assert "at least 10" in str(found.spot_vol["ETH"].reason)
    assert found.spot_vol["BTC"] == correlations_of(points, QUERY).spot_vol["BTC"]


@pytest.mark.parametrize(
    "query", [CorrelationQuery(30, 5, 120.0), CorrelationQuery(720, 5, 5.0), CorrelationQuery(720, 1, 120.0)]
)
def test_too_little_is_said_so(query: CorrelationQuery) -> None:
    found = correlations_of(recorded(), query)
    assert found.status == "too_few_observations"
    assert "at least 10 are needed; of the last 31" in str(found.reason), (
        "313 minutes from the first surface to the last"
    )
    assert {value for row in found.correlation + found.standard_error for value in row} == {None}


def test_a_correlation_put_into_a_market_comes_out() -> None:
    rng, rho = np.random.default_rng(9), -0.7
    moves = rng.standard_normal((300, 2))
    moves[:, 1] = rho * moves[:, 0] + np.sqrt(1.0 - rho**2) * moves[:, 1]
    points = {"BTC": walk(moves[:, 0]), "ETH": walk(moves[:, 1])}
    found = correlations_of(points, replace(QUERY, window_minutes=1500))
    value, error = pair(found, FORWARDS)
    assert abs(value - rho) < 2.5 * error < 0.3
    assert found.status == "partial", "nothing else moved"


def test_rounding_is_no_move() -> None:
    rng = np.random.default_rng(6)
    points = {
        name: [
            replace(
                point,
                factors=replace(point.factors, values=(10.0 + 1e-15 * rng.integers(0, 9), *point.factors.values[1:])),
            )
            for point in series
        ]
        for name, series in recorded().items()
    }
    found = correlations_of(points, QUERY)
    assert found.status == "partial"
    assert found.correlation[found.factors.index("BTC.forward")] == [None] * 10
    assert pair(found, LEVELS) != (1.0, 0.0)
