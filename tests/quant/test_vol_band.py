"""A band between, on and beyond its nodes, and between expiries."""

from dataclasses import replace

import numpy as np
import pytest

from app.quant.calibration import calibrate_surface
from app.quant.stacked_bands import StackedBands, half_widths, half_widths_between
from app.quant.vol_band import CONFIDENCE_LEVEL, DEVIATIONS, VolBand
from app.quant.warm_up import known_chain

BAND = VolBand((-0.4, 0.0, 0.2), (0.02, 0.01, 0.03), (0.04, 0.02, 0.06))


def test_linear_between_nodes_and_proportional_beyond() -> None:
    k = np.array([-0.8, -0.4, -0.2, 0.0, 0.1, 0.2, 0.3])
    np.testing.assert_allclose(BAND.half_width_at(k), [0.08, 0.04, 0.03, 0.02, 0.04, 0.06, 0.09], rtol=1e-14)


def test_at_the_money_it_is_what_it_is_anywhere() -> None:
    for nodes in ((-0.4, 0.0, 0.2), (-0.4, -0.1, 0.2), (-0.4, 0.1, 0.2)):
        band = replace(BAND, log_moneyness=nodes)
        assert band.at_the_money == pytest.approx(band.half_width_at(np.zeros(1))[0], rel=1e-14)


def test_many_bands_at_once_answer_as_each_alone() -> None:
    wide = VolBand((-2.0, 2.0), (0.2, 0.2), (0.2, 0.3))
    k = np.array([-3.0, -0.8, -0.4, -0.1, 0.0, 0.2, 0.5, 2.0, 2.5])
    of_band = np.repeat(np.arange(3), k.size)
    found = half_widths(StackedBands.of([BAND, None, wide]), of_band, np.tile(k, 3)).reshape(3, -1)
    np.testing.assert_allclose(found[0], BAND.half_width_at(k), rtol=1e-15)
    assert np.isnan(found[1]).all()
    np.testing.assert_allclose(found[2], wide.half_width_at(k), rtol=1e-15)


def test_a_band_of_one_node_is_level_up_to_it() -> None:
    lone = VolBand((-0.5,), (0.1,), (0.2,))
    k = np.array([-1.0, -0.5, -0.1, 0.3])
    found = half_widths(StackedBands.of([lone]), np.zeros(4, dtype=np.int64), k)
    np.testing.assert_allclose(found, lone.half_width_at(k), rtol=1e-15)


def test_between_expiries_linear_in_t_at_equal_deviations() -> None:
    flat = VolBand((-1.0, 1.0), (0.1, 0.1), (0.1, 0.1))
    wide = VolBand((-2.0, 2.0), (0.2, 0.2), (0.2, 0.2))
    maturities, bands = np.array([0.1, 0.4]), StackedBands.of([flat, wide])
    width = half_widths_between(np.array([0.3]), np.array([0.2]), maturities, bands)
    np.testing.assert_allclose(width, [0.1 + 0.1 / 3.0], rtol=1e-14)
    near = half_widths_between(np.array([0.3]), np.array([0.1]), maturities, StackedBands.of([BAND, wide]))
    np.testing.assert_allclose(near, BAND.half_width_at(np.array([0.3])), rtol=1e-14)


def test_a_surface_knows_bars_within_its_expiries_only() -> None:
    surface = calibrate_surface(known_chain()).surface
    k = np.array([-0.1, 0.0, 0.1])
    first, second, last = surface.slices[0], surface.slices[1], surface.slices[-1]
    assert first.band is not None
    assert second.band is not None
    np.testing.assert_array_equal(surface.half_width(k, first.t), first.band.half_width_at(k))
    middle = surface.half_width(k, 0.5 * (first.t + second.t))
    assert (middle > 0.0).all()
    assert np.isnan(surface.half_width(k, 0.5 * first.t)).all()
    assert np.isnan(surface.half_width(k, 1.5 * last.t)).all()
    unbarred = calibrate_surface(known_chain(), model="essvi").surface
    assert np.isnan(unbarred.half_width(k, second.t)).all()
    assert np.isnan(unbarred.half_width(k, 0.5 * (first.t + second.t))).all()


def test_the_level_is_two_sided() -> None:
    assert CONFIDENCE_LEVEL == 0.95
    assert abs(DEVIATIONS - 1.959963984540054) < 1e-12
