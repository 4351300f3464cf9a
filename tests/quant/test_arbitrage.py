"""The certificate against published margins, an independent audit and planted arbitrage."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from app.quant.arbitrage import certify
from app.quant.arrays import FloatArray
from app.quant.certificate import Certificate, Evidence
from app.quant.errors import InvalidQuery
from app.quant.models.base import SliceState
from app.quant.models.svi_curve import SviCurve, svi_curve
from tests.quant.published_surfaces import (
    ARBITRAGE,
    btc_surface,
    slices_of,
    ssvi,
    surface_of_record,
    with_residual,
)


def proven(*curves: Any) -> bool:
    return certify(slices_of(*curves)).arbitrage_free


def test_the_vogt_smile_fails_where_it_should() -> None:
    vogt = ARBITRAGE["vogt"]
    certificate = certify(slices_of(svi_curve(vogt["smile"])))
    assert not certificate.arbitrage_free
    assert certificate.method is Evidence.EXACT
    assert certificate.min_butterfly_g == pytest.approx(vogt["least_g"], abs=1e-12)
    assert certificate.worst["butterfly"].k == pytest.approx(vogt["at_k"], abs=1e-6)
    assert certificate.min_calendar_gap is None
    (failure,) = certificate.failures
    assert failure.startswith("2026-01-01: butterfly: negative density, least g is -0.0328636 at k = 0.87926")


def test_the_repaired_vogt_smile_passes() -> None:
    certificate = certify(slices_of(svi_curve(ARBITRAGE["vogt"]["repaired"])))
    assert certificate.arbitrage_free
    assert certificate.failures == ()
    assert certificate.min_butterfly_g > 0.0


@pytest.mark.parametrize("case", ARBITRAGE["smallest_sigma"]["cases"])
@pytest.mark.parametrize(("factor", "free"), [(1.0 - 1e-8, False), (1.0 + 1e-8, True)])
def test_the_boundary_of_butterfly_freedom_is_resolved(case: dict[str, float], factor: float, free: bool) -> None:
    sigma = case["sigma"] * factor
    curve = SviCurve(case["gamma"] * case["b"] * sigma, case["b"], case["rho"], case["mu"] * sigma, sigma)
    assert proven(curve) is free


def test_crossing_slices_fail() -> None:
    case = ARBITRAGE["crossing"]
    certificate = certify(slices_of(svi_curve(case["earlier"]), svi_curve(case["later"])))
    assert not certificate.arbitrage_free
    assert certificate.min_calendar_gap is not None
    assert certificate.min_calendar_gap < 0.0
    assert case["k"][0] < certificate.worst["calendar"].k < case["k"][1]


def test_a_crossing_narrower_than_a_grid_is_caught() -> None:
    """Slices 1e-6 of their variance apart but for a crossing 2e-4 wide, between two points of a grid of 3,000."""
    early = SviCurve(0.01, 0.2, -0.3, 0.0, 0.1)
    grid = np.linspace(-1.5, 1.5, 3000)
    k = 0.5 * (grid[1800] + grid[1801])
    w, w1, w2 = (float(v[0]) for v in early.derivatives(np.array([k])))
    rho, sigma = -0.2, 0.05
    shape = SviCurve(0.0, 1.0, rho, k, sigma)
    m = k - sigma * (w1 / 0.25 - rho) / np.sqrt(1 - (w1 / 0.25 - rho) ** 2)
    shape = SviCurve(0.0, 0.25, rho, m, sigma)
    value, slope, curvature = (float(v[0]) for v in shape.derivatives(np.array([k])))
    assert slope == pytest.approx(w1)
    depth = 0.5 * (curvature - w2) * 1e-4**2
    assert depth > 0.0
    crossing, apart = replace(shape, a=w - value - depth), replace(shape, a=w - value + depth)
    assert (crossing.total_variance(grid) > early.total_variance(grid)).all()
    assert proven(early, apart)
    certificate = certify(slices_of(early, crossing))
    assert any("calendar" in sentence for sentence in certificate.failures)
    assert certificate.worst["calendar"].k == pytest.approx(k, abs=1e-4)
    assert certificate.min_calendar_gap == pytest.approx(-depth / w, rel=1e-3)


def test_a_vendors_calendar_crossing_is_found() -> None:
    surface = surface_of_record("amberdata_2024_12_20")
    certificate = certify(surface)
    assert all(certify([state]).arbitrage_free for state in surface)
    assert any(s.startswith("2025-01-10: calendar: variance falls since 2025-01-03") for s in certificate.failures)
    assert not certificate.arbitrage_free
    pair = certify(surface[3:5])
    assert pair.worst["calendar"].k == -np.inf
    early, late = surface[3].curve, surface[4].curve
    assert pair.min_calendar_gap == pytest.approx(late.b * (1 - late.rho) / (early.b * (1 - early.rho)) - 1)  # type: ignore[attr-defined]


def bumped(state: SliceState, j: int, by: float) -> SliceState:
    curve = state.curve
    assert isinstance(curve, SviCurve)
    assert curve.spline is not None
    coefficients = list(curve.spline.coefficients)
    coefficients[j] += by
    return replace(state, curve=replace(curve, spline=replace(curve.spline, coefficients=tuple(coefficients))))


def test_bumped_coefficients_are_rejected() -> None:
    surface = btc_surface()
    for i in (0, 3, 7, 12):
        damaged = [*surface]
        damaged[i] = bumped(surface[i], 5, 0.3)
        assert any("butterfly" in sentence for sentence in certify(damaged).failures)


def test_lifted_slices_are_rejected() -> None:
    surface = btc_surface()
    for i in range(len(surface) - 1):
        curve = surface[i].curve
        assert isinstance(curve, SviCurve)
        lifted = [*surface]
        lifted[i] = replace(surface[i], curve=replace(curve, a=curve.a + 0.5 * curve.atm_svi_variance + 0.3))
        assert any("calendar" in sentence for sentence in certify(lifted).failures)


def test_a_pair_with_one_residual() -> None:
    early, late = ssvi(0.02, -0.4, 3.0), ssvi(0.024, -0.4, 2.9)
    residual = with_residual(late, np.random.default_rng(1), 0.003)
    assert proven(early, residual)
    assert residual.spline is not None
    dented = replace(residual, spline=replace(residual.spline, coefficients=(0.0,) * 5 + (-0.4,) + (0.0,) * 6))
    certificate = certify(slices_of(early, dented))
    assert any("calendar" in sentence for sentence in certificate.failures)


def test_flat_slices() -> None:
    flat, higher = SviCurve(0.02, 0.0, 0.3, 0.0, 0.1), SviCurve(0.03, 0.0, -0.1, 0.5, 0.2)
    certificate = certify(slices_of(flat, higher))
    assert certificate.arbitrage_free
    assert certificate.min_butterfly_g == 1.0
    assert certificate.min_calendar_gap == pytest.approx(0.5)
    assert certificate.max_wing_slope == 0.0
    assert not proven(higher, flat)
    assert not proven(SviCurve(0.0, 0.0, 0.0, 0.0, 0.1))
    assert proven(flat, SviCurve(0.021, 1e-9, 0.0, 0.0, 0.1))


def test_equal_slices_are_not_proven_to_rise() -> None:
    curve = ssvi(0.04, -0.5, 2.0)
    certificate = certify(slices_of(curve, curve))
    (failure,) = certificate.failures
    assert failure.startswith(
        "2026-01-08: calendar: not proven to rise since 2026-01-01, least w_later/w_earlier - 1 is"
    )


def test_parallel_slices_pass() -> None:
    curve = ssvi(0.04, -0.5, 2.0)
    assert proven(curve, replace(curve, a=curve.a + 1e-6))


@pytest.mark.parametrize(("slope", "free"), [(1.999, True), (2.0, False), (2.1, False)])
def test_wing_slopes_stay_below_lees_bound(slope: float, free: bool) -> None:
    curve = SviCurve(60.0, slope / 1.2, -0.2, 0.0, 30.0)
    certificate = certify(slices_of(curve))
    assert certificate.arbitrage_free is free
    assert certificate.max_wing_slope == pytest.approx(slope)
    assert any("wing" in sentence for sentence in certificate.failures) is not free


class SampledCurve:
    """A curve the proofs do not know."""

    def __init__(self, curve: SviCurve) -> None:
        self._curve = curve

    def total_variance(self, k: FloatArray) -> FloatArray:
        return self._curve.total_variance(k)

    def derivatives(self, k: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        return self._curve.derivatives(k)

    def parameters(self) -> dict[str, Any]:
        return {}


def test_an_unknown_curve_makes_the_evidence_a_grid() -> None:
    surface = [ssvi(0.02, -0.4, 3.0), SampledCurve(ssvi(0.03, -0.4, 2.9))]
    certificate = certify(slices_of(*surface))
    assert certificate.method is Evidence.GRID
    assert certificate.arbitrage_free
    exact: Certificate = certify(slices_of(ssvi(0.02, -0.4, 3.0), ssvi(0.03, -0.4, 2.9)))
    assert certificate.min_butterfly_g >= exact.min_butterfly_g
    assert not certify(slices_of(SampledCurve(svi_curve(ARBITRAGE["vogt"]["smile"])))).arbitrage_free
    assert not certify(slices_of(*surface[::-1])).arbitrage_free


def test_no_slice_and_unordered_slices_raise() -> None:
    with pytest.raises(InvalidQuery, match="at least one"):
        certify([])
    with pytest.raises(InvalidQuery, match="ascend"):
        certify(slices_of(ssvi(0.02, -0.4, 3.0), ssvi(0.03, -0.4, 2.9))[::-1])
