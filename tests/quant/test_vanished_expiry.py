"""An expiry without a smile: what its neighbours say in its place, measured in its own bars."""

from dataclasses import replace

import numpy as np
import pytest

from app.quant.extrapolation import LARGEST_VARIANCE
from app.quant.vanished_expiry import vanished_expiries
from tests.quant.market import maintained_series


def test_the_move_is_that_of_the_interpolated_vol_at_the_nodes_of_the_bars() -> None:
    stood = maintained_series("BTC")[5].fit.surface
    lost = stood.slices[4]
    assert lost.band is not None
    without = replace(stood, slices=stood.slices[:4] + stood.slices[5:])
    (found,) = vanished_expiries(without, stood, {lost.expiry_ms}, 1.0, 2.0)
    k = np.array(lost.band.log_moneyness)
    k = k[np.abs(k) <= 2.0 * np.sqrt(lost.curve.total_variance(np.zeros(1))[0])]
    moves = without.vol(k, lost.t) - stood.vol(k, lost.t)
    sizes = np.abs(moves) / np.interp(k, lost.band.log_moneyness, lost.band.half_width)
    assert found.half_widths == pytest.approx(sizes.max(), rel=1e-9)
    assert found.move == pytest.approx(moves[sizes.argmax()], rel=1e-9)
    assert found.t == pytest.approx(lost.t)
    (wider,) = vanished_expiries(without, stood, {lost.expiry_ms}, 2.0, 2.0)
    assert wider.half_widths == pytest.approx(0.5 * found.half_widths)
    assert list(vanished_expiries(without, stood, (), 1.0, 2.0)) == []


def test_where_nothing_beyond_the_other_expiries_is_answered_for_the_move_has_no_bound() -> None:
    stood = maintained_series("BTC")[5].fit.surface
    first, last = stood.slices[0], stood.slices[-1]
    wild = replace(first, curve=replace(first.curve, a=2.0 * LARGEST_VARIANCE * first.t / last.t))
    (found,) = vanished_expiries(replace(stood, slices=(wild,)), stood, {last.expiry_ms}, 1.0, 2.0)
    assert (found.move, found.half_widths) == (np.inf, np.inf)
