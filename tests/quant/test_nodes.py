"""Nodes of delta and tenor: the fast search against the exact one, and what is left empty."""

import numpy as np
import pytest

from app.quant.calibration import calibrate_surface
from app.quant.drift import drift_between
from app.quant.nodes import DELTA_NAMES, TENOR_DAYS, node_vols, tenor_bucket
from app.quant.surface import VolSurface
from app.quant.warm_up import known_chain


@pytest.fixture(scope="module")
def surface() -> VolSurface:
    return calibrate_surface(known_chain()).surface


def test_nodes_agree_with_the_exact_strikes(surface: VolSurface) -> None:
    nodes = node_vols(surface)
    for row, tenor in zip(nodes, TENOR_DAYS, strict=True):
        t = tenor / 365.0
        if not surface.covers(t):
            assert np.isnan(row).all()
            continue
        strikes = surface.strikes_at_delta(np.array([-0.10, -0.25, 0.25, 0.10]), t, [False, False, True, True])
        exact = surface.vol(np.log(strikes / surface.forward(t)), t)
        np.testing.assert_allclose(np.delete(row, DELTA_NAMES.index("ATM")), exact, atol=1e-6)
        assert row[DELTA_NAMES.index("ATM")] == surface.vol(np.zeros(1), t)[0]


def test_tenors_beyond_the_expiries_are_empty(surface: VolSurface) -> None:
    assert [bool(np.isnan(row).any()) for row in node_vols(surface)] == [False, False, False, True]


@pytest.mark.parametrize(
    ("days", "bucket"), [(0.5, "1w"), (14.0, "1w"), (15.0, "1m"), (90.0, "3m"), (180.0, "6m"), (900.0, "1y")]
)
def test_buckets(days: float, bucket: str) -> None:
    assert tenor_bucket(days / 365.0) == bucket


def test_drift_is_the_root_mean_square_over_common_nodes(surface: VolSurface) -> None:
    before = node_vols(surface)
    after = before + 0.01
    after[0] = np.nan
    drift = drift_between(surface, before, surface, after)
    assert drift.vol_rms == pytest.approx(0.01)
    assert {tenor for tenor, _, _ in drift.per_node} == {30.0, 90.0}
    assert dict(drift.per_tenor) == {"1m": pytest.approx(0.01), "3m": pytest.approx(0.01)}
    assert all(change == 0.0 for _, _, change, _ in drift.per_parameter)
