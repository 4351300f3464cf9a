"""Greeks with a smile that follows the forward: against bumping the forward and pricing again, and known cases."""

import numpy as np
import pytest

from app.quant.black import black_price
from app.quant.calibration import calibrate_surface
from app.quant.smile_dynamics import STICKY_MONEYNESS, STICKY_STRIKE
from app.quant.surface import VolSurface
from app.quant.warm_up import known_chain
from app.service.evaluate import GREEKS, evaluate
from app.service.points import Points

BUMP = 1e-4
STRIKES = [80.0, 95.0, 100.0, 108.0, 125.0]
IS_CALL = [False, False, True, True, True]


@pytest.fixture(scope="module")
def surface() -> VolSurface:
    return calibrate_surface(known_chain()).surface


def greeks(surface: VolSurface, tenor_days: float, stickiness: float | None) -> dict[str, np.ndarray]:
    none: list[None] = [None] * len(STRIKES)
    points = Points(none, [tenor_days] * len(STRIKES), STRIKES, none, none, IS_CALL, greeks=True, stickiness=stickiness)
    answer = evaluate(surface, points)
    return {name: np.array(answer[name]) for name in GREEKS}


def repriced(surface: VolSurface, t: float, move: float, stickiness: float, vol_shift: float = 0.0) -> np.ndarray:
    """Undiscounted prices after ln F moved by ``move``, the smile carried along by 1 - stickiness of it."""
    base = float(surface.forward(t))
    strikes, forward = np.array(STRIKES), base * np.exp(move)
    k = np.log(strikes / base) - (1.0 - stickiness) * move
    vol = np.sqrt(surface.total_variance(k, t)[0] / t) + vol_shift
    return black_price(forward, strikes, vol, t, np.array(IS_CALL))


@pytest.mark.parametrize("tenor_days", [20.0, 45.0])
@pytest.mark.parametrize("stickiness", [STICKY_MONEYNESS, 0.4, STICKY_STRIKE, 1.7])
def test_greeks_are_those_of_bumping_and_pricing_again(surface, tenor_days, stickiness):
    t = tenor_days / 365.0
    forward = float(surface.forward(t))
    found = greeks(surface, tenor_days, stickiness)

    def delta(vol_shift: float) -> np.ndarray:
        up, down = (repriced(surface, t, np.log1p(m), stickiness, vol_shift) for m in (BUMP, -BUMP))
        return (up - down) / (2.0 * BUMP * forward)

    up, here, down = (repriced(surface, t, np.log1p(m), stickiness) for m in (BUMP, 0.0, -BUMP))
    np.testing.assert_allclose(found["delta"], delta(0.0), atol=2e-6)
    np.testing.assert_allclose(found["gamma"], (up - 2.0 * here + down) / (BUMP * forward) ** 2, atol=2e-4)
    np.testing.assert_allclose(found["vanna"], (delta(1e-4) - delta(-1e-4)) / 2e-4, atol=1e-4)


def test_sticky_strike_gives_the_greeks_of_the_point(surface):
    point, sticky = greeks(surface, 30.0, None), greeks(surface, 30.0, STICKY_STRIKE)
    for name in GREEKS:
        np.testing.assert_array_equal(point[name], sticky[name])


def test_with_a_put_skew_a_smile_that_moves_along_adds_delta(surface):
    """Equity-like skew: at a fixed moneyness, a rising forward raises the vol of a strike."""
    t = 30.0 / 365.0
    slope = np.diff(np.sqrt(surface.total_variance(np.array([-0.01, 0.01]), t)[0] / t))[0]
    change = greeks(surface, 30.0, STICKY_MONEYNESS)["delta"][2] - greeks(surface, 30.0, None)["delta"][2]
    assert slope != 0.0
    assert np.sign(change) == -np.sign(slope)
