"""Stacked curves give the numbers of the curves themselves, residual or not."""

import numpy as np

from app.quant.models.stacked_svi import StackedSvi
from app.quant.models.svi_curve import SviCurve
from app.quant.slice_variance import stacked_variance
from tests.quant.published_surfaces import btc_surface


def test_stacked_curves_are_the_curves() -> None:
    fitted = [state.curve for state in btc_surface()]
    plain = SviCurve(a=0.01, b=0.1, rho=-0.3, m=0.02, sigma=0.2)
    curves = [curve for curve in (*fitted, plain) if isinstance(curve, SviCurve)]
    assert len(curves) == len(fitted) + 1
    assert any(curve.spline for curve in curves)
    k = np.linspace(-2.0, 2.0, 97)
    of_curve = np.repeat(np.arange(len(curves)), k.size)
    w = StackedSvi.of(curves).total_variance(of_curve, np.tile(k, len(curves)))
    expected = np.concatenate([curve.total_variance(k) for curve in curves])
    np.testing.assert_allclose(w, expected, rtol=1e-14)
    shuffled = np.random.default_rng(1).permutation(of_curve.size)
    again = stacked_variance(curves, of_curve[shuffled], np.tile(k, len(curves))[shuffled])
    np.testing.assert_array_equal(again, w[shuffled])


def test_no_curves_answer_no_points() -> None:
    assert stacked_variance([], np.empty(0, dtype=np.int64), np.empty(0)).size == 0
