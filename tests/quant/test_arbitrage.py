"""The certificate against published margins, an independent audit and planted arbitrage."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import mpmath
import numpy as np
import pytest
from numpy.polynomial import polynomial

from app.quant.arbitrage import certify
from app.quant.arrays import FloatArray
from app.quant.certificate import Certificate, Evidence
from app.quant.errors import InvalidQuery
from app.quant.models.base import SliceState
from app.quant.models.svi_curve import SviCurve, svi_curve
from tests.quant.published_surfaces import (
    ARBITRAGE,
    btc_surface,
    random_svi,
    slices_of,
    ssvi,
    surface_of_record,
    with_residual,
)


def durrleman(curve: SviCurve, k: FloatArray) -> FloatArray:
    w, w1, w2 = curve.derivatives(k)
    return (1 - k * w1 / (2 * w)) ** 2 - w1**2 / 4 * (1 / w + 0.25) + w2 / 2


def audited_least_g(curve: SviCurve) -> float:
    """Least g of raw SVI from the roots of the derivative of its degree-10 numerator, and a grid."""
    a, b, rho, m, sigma = curve.a, curve.b, curve.rho, curve.m, curve.sigma
    mul = polynomial.polymul
    p, q = np.array([1 - rho, 2 * a / (b * sigma), 1 + rho]), np.array([-(1 - rho), 0, 1 + rho])
    kappa, z = np.array([-sigma, 2 * m, sigma]), np.array([1.0, 0, 1])
    inner = 2 * sigma * mul(p, z) - mul(kappa, q)
    total = 4 * mul(z, mul(inner, inner)) - (b * sigma) ** 2 * mul(mul(mul(p, p), mul(q, q)), z)
    total = polynomial.polysub(total, 8 * b * sigma * mul([0, 1], mul(mul(p, mul(q, q)), z)))
    total = polynomial.polyadd(total, 64 * b * sigma * mul([0, 0, 0, 1], mul(p, p)))
    roots = np.concatenate([polynomial.polyroots(polynomial.polyder(total)), polynomial.polyroots(total)])
    near = roots[(np.abs(roots.imag) < 1e-4 * np.abs(roots)) & (roots.real > 0)].real
    zs = np.concatenate([near, near * 1.001, near * 0.999, np.geomspace(1e-8, 1e8, 2001)])
    return float(durrleman(curve, m + sigma * (zs - 1 / zs) / 2).min())


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


def exact_g(curve: SviCurve, k: float) -> mpmath.mpf:
    a, b, rho, m, sigma = (mpmath.mpf(v) for v in (curve.a, curve.b, curve.rho, curve.m, curve.sigma))
    y = mpmath.mpf(k) - m
    root = mpmath.sqrt(y * y + sigma * sigma)
    w, w1, w2 = a + b * (rho * y + root), b * (rho + y / root), b * sigma**2 / root**3
    return (1 - k * w1 / (2 * w)) ** 2 - w1**2 / 4 * (1 / w + mpmath.mpf(1) / 4) + w2 / 2


def test_what_is_proven_to_the_last_bit_holds_in_exact_arithmetic() -> None:
    """Bisect the level a of random slices to the last double that is proven: its least g is positive in 50 digits."""
    rng = np.random.default_rng(99)
    resolved = []
    for _ in range(25):
        curve = random_svi(rng)
        if curve.b * (1 + abs(curve.rho)) > 1.9:
            continue
        low, high = curve.a, curve.a + 4.0
        while proven(replace(curve, a=low)):
            low -= 0.3 * (low + curve.b * curve.sigma * np.sqrt(1 - curve.rho**2))
        if not proven(replace(curve, a=high)):
            continue
        for _ in range(70):
            middle = 0.5 * (low + high)
            low, high = (low, middle) if proven(replace(curve, a=middle)) else (middle, high)
        tight = replace(curve, a=high)
        place = certify(slices_of(tight)).worst["butterfly"].k
        if not np.isfinite(place):
            continue
        with mpmath.workdps(50):
            around = place + 1e-6 * np.linspace(-1.0, 1.0, 41)
            least = min(exact_g(tight, float(k)) for k in around)
        assert least > 0
        resolved.append(float(least))
    assert len(resolved) > 8
    assert np.median(resolved) < 1e-9


def test_crossing_slices_fail() -> None:
    case = ARBITRAGE["crossing"]
    certificate = certify(slices_of(svi_curve(case["earlier"]), svi_curve(case["later"])))
    assert not certificate.arbitrage_free
    assert certificate.min_calendar_gap is not None
    assert certificate.min_calendar_gap < 0.0
    assert case["k"][0] < certificate.worst["calendar"].k < case["k"][1]


def test_random_slices_agree_with_the_polynomials_roots() -> None:
    rng = np.random.default_rng(20260801)
    disagreements, free = [], 0
    for _ in range(2500):
        curve = random_svi(rng)
        certificate = certify(slices_of(curve))
        expected = audited_least_g(curve) > 0.0 and curve.b * (1 + abs(curve.rho)) < 2.0
        free += expected
        if certificate.arbitrage_free != expected:
            disagreements.append((curve, certificate))
    assert not disagreements
    assert 500 < free < 2000


def test_random_least_g_is_found_closely() -> None:
    rng = np.random.default_rng(7)
    for _ in range(400):
        curve = random_svi(rng)
        audited = audited_least_g(curve)
        assert certify(slices_of(curve)).min_butterfly_g <= audited + 1e-7 * max(1.0, abs(audited))


def test_random_pairs_agree_with_a_dense_audit() -> None:
    rng = np.random.default_rng(11)
    verdicts = []
    for _ in range(600):
        theta, rho, phi = 10 ** rng.uniform(-3, -0.5), rng.uniform(-0.9, 0.9), 10 ** rng.uniform(-0.5, 0.8)
        early = ssvi(theta, rho, phi)
        late = ssvi(theta * rng.uniform(1.0, 1.3), rho + rng.normal(0, 0.05), phi * rng.uniform(0.75, 1.05))
        k = np.concatenate([np.sinh(np.linspace(-12, 12, 20001)), np.linspace(-1, 1, 20001)])
        gap = (late.total_variance(k) / early.total_variance(k) - 1).min()
        certificate = certify(slices_of(early, late))
        calendar_free = not any("calendar" in sentence for sentence in certificate.failures)
        assert certificate.min_calendar_gap is not None
        assert certificate.min_calendar_gap <= gap + 1e-6
        if abs(gap) > 1e-6:
            assert calendar_free == (gap > 0 and certificate.min_calendar_gap > 0)
        verdicts.append(calendar_free)
    assert 100 < sum(verdicts) < 500


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


def test_gatherals_spx_slices() -> None:
    """The eight fitted slices, judged one by one, agree with the roots of their polynomials."""
    for state in surface_of_record("spx_2005_09_15"):
        assert isinstance(state.curve, SviCurve)
        assert certify([state]).arbitrage_free == (audited_least_g(state.curve) > 0.0)


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


def test_a_fitted_surface_with_residuals_passes_and_its_margins_are_those_of_a_dense_grid() -> None:
    surface = btc_surface()
    certificate = certify(surface)
    assert certificate.arbitrage_free, certificate.failures
    k = np.sinh(np.linspace(-6, 6, 40001)) * 0.01
    g = min(float(durrleman(s.curve, k).min()) for s in surface)  # type: ignore[arg-type]
    gap = min(
        float((late.curve.total_variance(k) / early.curve.total_variance(k) - 1).min())
        for early, late in pairwise(surface)
    )
    assert certificate.min_butterfly_g == pytest.approx(g, abs=1e-5)
    assert certificate.min_butterfly_g <= g + 1e-9
    assert certificate.min_calendar_gap is not None
    assert certificate.min_calendar_gap <= gap + 1e-9


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


def test_random_residuals_agree_with_a_dense_grid() -> None:
    rng = np.random.default_rng(5)
    verdicts = []
    for _ in range(300):
        theta = 10 ** rng.uniform(-3.5, -0.5)
        curve = with_residual(
            ssvi(theta, rng.uniform(-0.8, 0.4), 0.8 / np.sqrt(theta)), rng, 10 ** rng.uniform(-2.5, -0.5)
        )
        k = np.sqrt(theta) * np.sinh(np.linspace(-5, 5, 6001)) * 0.3
        least = float(durrleman(curve, k).min())
        certificate = certify(slices_of(curve))
        assert certificate.min_butterfly_g <= least + 1e-6 * max(1.0, abs(least))
        if abs(least) > 1e-4:
            assert certificate.arbitrage_free == (least > 0.0)
        verdicts.append(certificate.arbitrage_free)
    assert 60 < sum(verdicts) < 260


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
