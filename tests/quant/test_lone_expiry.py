"""An expiry that moves by itself is found, however much the others move."""

from dataclasses import replace

import numpy as np
import pytest

from app.quant.calibration import SurfaceStatus
from app.quant.gate_rules import DEFAULT_RULES
from app.quant.innovations import Innovations, innovations_of
from app.quant.lone_expiry import loneliest_move
from app.quant.maintenance import maintain_surface
from app.quant.regime import Regime
from app.quant.smile import read_smiles
from tests.quant.market import maintained_series, recorded_chains


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
    found = loneliest_move(moved(moves), 1.0, DEFAULT_RULES.judged_deviations)
    assert found is not None
    assert found.expiry_ms == expiry
    assert found.half_widths == pytest.approx(half_widths, abs=1e-9)
    wider = loneliest_move(moved(moves), 2.0, DEFAULT_RULES.judged_deviations)
    assert wider is not None
    assert wider.half_widths == pytest.approx(0.5 * half_widths, abs=1e-9)


def test_two_expiries_cannot_say_which_of_them_moved() -> None:
    assert loneliest_move(moved([0.0, 0.3]), 1.0, DEFAULT_RULES.judged_deviations) is None


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
        found = loneliest_move(innovations_of(read_smiles(chain).smiles, surface), 1.0, DEFAULT_RULES.judged_deviations)
        assert found is not None
        sizes.append(found.half_widths)
    assert np.sort(sizes)[-2] < DEFAULT_RULES.degraded_lone
