"""The certificate against independent audits: roots of polynomials, dense grids, exact arithmetic."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import mpmath
import numpy as np
import pytest
from numpy.polynomial import polynomial

from app.quant.arbitrage import certify
from app.quant.arrays import FloatArray
from app.quant.models.svi_curve import SviCurve
from tests.quant.published_surfaces import btc_surface, random_svi, slices_of, ssvi, surface_of_record, with_residual


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


def test_gatherals_spx_slices() -> None:
    """The eight fitted slices, judged one by one, agree with the roots of their polynomials."""
    for state in surface_of_record("spx_2005_09_15"):
        assert isinstance(state.curve, SviCurve)
        assert certify([state]).arbitrage_free == (audited_least_g(state.curve) > 0.0)


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
