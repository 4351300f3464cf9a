import numpy as np
import pytest

from app.quant.models.cutting_planes import Margins
from app.quant.models.hidden_arbitrage import hidden_violation
from app.quant.models.scan_grid import FIT_DENSITY, PROOF_DENSITY, scan_template
from app.quant.models.svi_coordinates import SLICE_SIZE, from_raw
from tests.quant.models.smiles import known_surface
from tests.quant.models.test_cutting_planes import RAW, curve, dense_minima, g_of, slices


@pytest.mark.parametrize("density", [FIT_DENSITY, PROOF_DENSITY])
def test_violations_are_those_of_a_dense_grid(density: int) -> None:
    svi, k = slices(), np.linspace(-3.0, 3.0, 400_001)
    butterfly, calendar = 1e-3, 1e-4
    expected = 0.0
    for i, raw in enumerate(RAW):
        expected += max(0.0, butterfly - min(value for _, value in dense_minima(g_of(k, *curve(raw)(k)), k)))
        if i > 0:
            gaps = [v for _, v in dense_minima(curve(raw)(k)[0] / curve(RAW[i - 1])(k)[0] - 1.0, k)]
            wings = svi[i, 3:] / svi[i - 1, 3:] - 1.0
            expected += max(0.0, calendar - min(*gaps, *wings))
    found = hidden_violation(svi, *scan_template(density), Margins(butterfly, calendar))
    assert expected > 0.03
    assert found == pytest.approx(expected, rel=1e-2 if density == FIT_DENSITY else 1e-4)


def test_a_surface_free_of_arbitrage_hides_none() -> None:
    curves = known_surface()
    svi = np.empty((len(curves), SLICE_SIZE))
    for c, x in zip(curves, svi, strict=True):
        from_raw(np.array([c.a, c.b, c.rho, c.m, c.sigma]), x)
    assert hidden_violation(svi, *scan_template(PROOF_DENSITY), Margins(1e-3, 1e-4)) == 0.0
    assert hidden_violation(svi[::-1].copy(), *scan_template(PROOF_DENSITY), Margins(1e-3, 1e-4)) > 0.1
