"""Derivatives, bounds and searches of a slice against the published curve and plain numpy."""

import mpmath
import numpy as np
import pytest

from app.quant.arrays import FloatArray
from app.quant.butterfly import durrleman_polynomial, residual_cells, stretched
from app.quant.calendar_spread import (
    difference_bounds,
    largest_curvature,
    pair_cells,
    raw_difference,
    residual_range,
    tail_start,
)
from app.quant.durrleman import durrleman_lower_bound
from app.quant.models.svi_curve import SviCurve
from app.quant.published_slices import PublishedSlices, published_slices
from app.quant.svi_jet import slice_jet, slice_point, slice_points, slice_variances
from tests.quant.published_surfaces import btc_surface, random_svi, ssvi, with_residual


def published(curve: SviCurve) -> PublishedSlices:
    return published_slices([curve])


def curves(seed: int, n: int) -> list[SviCurve]:
    rng = np.random.default_rng(seed)
    return [
        with_residual(ssvi(theta, rng.uniform(-0.8, 0.5), rng.uniform(0.3, 0.8) / np.sqrt(theta)), rng, 0.01)
        for theta in 10 ** rng.uniform(-3.5, -0.5, n)
    ]


def piece_at(p: PublishedSlices, k: float) -> int:
    inside = int(np.searchsorted(p.knots[0], k, side="right")) - 1
    return inside if 0 <= inside < p.count[0] + 3 else -1


def jet(p: PublishedSlices, piece: int, k: float, r: float) -> tuple[float, ...]:
    return tuple(slice_jet(p.raw[0], p.frame[0], p.cubics[0], piece, k, r))


def test_values_agree_with_the_published_curve() -> None:
    for curve in [*curves(1, 20), *(s.curve for s in btc_surface())]:
        assert isinstance(curve, SviCurve)
        p = published(curve)
        k = np.concatenate([np.linspace(-1.0, 1.0, 41), 0.5 * (p.knots[0, 1:] + p.knots[0, :-1])])
        expected = np.array(curve.derivatives(k))
        scale = np.abs(expected).max(axis=1)
        for i, x in enumerate(k):
            point = slice_point(p.raw[0], p.frame[0], p.count[0], p.cubics[0], x)
            piece = piece_at(p, x)
            w, w1, w2, *_ = jet(p, piece, float(x), 0.0)
            assert np.abs(np.array(point) - expected[:, i]).max() <= 1e-12 * scale.max()
            assert np.abs(np.array([w, w1, w2]) - expected[:, i]).max() <= 1e-12 * scale.max()


def test_many_points_at_once_are_the_points() -> None:
    k = np.concatenate([-np.geomspace(1e4, 1e-6, 80), np.zeros(1), np.geomspace(1e-6, 1e4, 80)])
    for curve in [*curves(5, 20), ssvi(0.04, -0.3, 2.0)]:
        p = published(curve)
        shape = p.raw[0], p.frame[0], p.count[0], p.cubics[0]
        found = np.empty((3, k.size))
        slice_points(*shape, k, *found)
        expected = np.array([slice_point(*shape, x) for x in k]).T
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12 * np.abs(expected[:, np.abs(k) < 1.0]).max())


def test_variances_alone_are_those_of_the_points() -> None:
    k = np.linspace(-1.0, 1.0, 301)
    for curve in [*curves(5, 20), ssvi(0.04, -0.3, 2.0)]:
        p = published(curve)
        shape = p.raw[0], p.frame[0], p.count[0], p.cubics[0]
        points, w = np.empty((3, k.size)), np.empty(k.size)
        slice_points(*shape, k, *points)
        slice_variances(*shape, k, w)
        np.testing.assert_allclose(w, points[0], rtol=1e-14)


def test_a_residual_stays_in_the_range_of_its_piece() -> None:
    for curve in curves(6, 20):
        p = published(curve)
        plain = SviCurve(curve.a, curve.b, curve.rho, curve.m, curve.sigma)
        for piece in range(int(p.count[0]) + 3):
            k = np.linspace(*p.knots[0, piece : piece + 2], 101)
            residual = curve.total_variance(k) - plain.total_variance(k)
            lowest, highest = residual_range(p.frame[0], p.cubics[0], piece, int(p.count[0]))
            assert lowest - 1e-15 <= residual.min()
            assert residual.max() <= highest + 1e-15
            assert highest - lowest <= 8.0 * np.abs(p.cubics[0, piece]).max()
        assert residual_range(p.frame[0], p.cubics[0], -1, int(p.count[0])) == (0.0, 0.0)


def test_a_difference_dips_no_further_below_its_ends_than_the_later_slice_sags() -> None:
    rng = np.random.default_rng(11)
    for _ in range(200):
        early, late = random_svi(rng), random_svi(rng)
        p = published_slices([early, late])
        low, high = np.sort(rng.normal(0.0, 0.5, 2)).tolist()
        k = np.linspace(low, high, 4001)
        difference = late.total_variance(k) - early.total_variance(k)
        ends = [raw_difference(p.raw[0], p.raw[1], end)[0] for end in (low, high)]
        assert ends == pytest.approx(difference[[0, -1]], rel=1e-12, abs=1e-14)
        curvature = largest_curvature(p.raw[1], low, high)
        assert curvature / 1.01 <= late.derivatives(k)[2].max() <= curvature * (1.0 + 1e-12)
        assert difference.min() >= min(ends) - (high - low) ** 2 / 8.0 * curvature - 1e-14


def test_the_taylor_remainder_holds() -> None:
    """The distance of w from its cubic Taylor polynomial is within sup |w iv| d^4 / 24, in cells of every size."""
    rng = np.random.default_rng(2)
    for curve in curves(3, 40):
        p = published(curve)
        for piece in range(-1, int(p.count[0]) + 3):
            last = float(p.knots[0, -1])
            low, high = (last, last + 1.0) if piece < 0 else p.knots[0, piece : piece + 2]
            c = float(rng.uniform(low, high))
            r = float(min(c - low, high - c) * rng.uniform(0.0, 1.0))
            w, w1, w2, w3, w4, *errors = jet(p, piece, c, r)
            d = np.linspace(-r, r, 101)
            taylor = w + d * (w1 + d * (w2 / 2 + d * w3 / 6))
            slack = w4 * d**4 / 24 + 4 * errors[0]
            assert (np.abs(curve.total_variance(c + d) - taylor) <= slack).all()


def test_rounding_errors_are_bounded() -> None:
    """Computed w, w', w'' of slices with strong cancellation lie within their stated errors of 50-digit values."""
    rng = np.random.default_rng(4)
    for _ in range(200):
        curve = random_svi(rng)
        k = float(rng.normal(0.0, 1.0))
        w, w1, w2, _, _, e0, e1, e2, _ = jet(published(curve), -1, k, 0.0)
        with mpmath.workdps(50):
            y = mpmath.mpf(k) - mpmath.mpf(curve.m)
            root = mpmath.sqrt(y**2 + mpmath.mpf(curve.sigma) ** 2)
            exact = mpmath.mpf(curve.a) + mpmath.mpf(curve.b) * (mpmath.mpf(curve.rho) * y + root)
            exact1 = mpmath.mpf(curve.b) * (mpmath.mpf(curve.rho) + y / root)
            exact2 = mpmath.mpf(curve.b) * mpmath.mpf(curve.sigma) ** 2 / root**3
            assert abs(w - exact) <= e0
            assert abs(w1 - exact1) <= e1
            assert abs(w2 - exact2) <= e2


def durrleman(curve: SviCurve, k: FloatArray) -> FloatArray:
    w, w1, w2 = curve.derivatives(k)
    g: FloatArray = (1 - k * w1 / (2 * w)) ** 2 - w1**2 / 4 * (1 / w + 0.25) + w2 / 2
    return g


def test_g_lies_above_its_bound_and_the_bound_tightens() -> None:
    rng = np.random.default_rng(6)
    useful = 0
    for curve in curves(7, 60):
        p = published(curve)
        for piece in range(int(p.count[0]) + 3):
            low, high = p.knots[0, piece : piece + 2]
            c, r = 0.5 * (low + high), 0.5 * (high - low) * 10 ** rng.uniform(-2.0, 0.0)
            bound, at_centre = durrleman_lower_bound(c, r, jet(p, piece, c, r))
            least = durrleman(curve, np.linspace(c - r, c + r, 201)).min()
            centre = float(durrleman(curve, np.array([c]))[0])
            assert bound <= least + 1e-12
            assert at_centre <= centre + 1e-12
            assert at_centre == pytest.approx(centre, abs=1e-9 * max(1.0, abs(centre)))
            useful += bool(least - bound < 0.1)
    assert useful > 300


def test_durrlemans_polynomial_is_g() -> None:
    rng = np.random.default_rng(8)
    for _ in range(200):
        curve = random_svi(rng)
        a, b, rho, m, sigma = curve.a, curve.b, curve.rho, curve.m, curve.sigma
        k = float(rng.normal(0.0, 0.5))
        z = stretched(k, m, sigma)
        powers = z ** np.arange(11)
        value = durrleman_polynomial(a, b * sigma, rho, m, sigma, -1.0) @ powers
        magnitude = durrleman_polynomial(abs(a), b * sigma, rho, abs(m), sigma, 1.0) @ powers
        w = float(curve.total_variance(np.array([k]))[0])
        g = float(durrleman(curve, np.array([k]))[0])
        scale = 16 * sigma**2 * (2 * z * w) ** 2 * (z * z + 1) ** 3
        assert abs(value - g * scale) <= 1e-12 * magnitude + 1e-11 * abs(g) * scale


def test_a_difference_lies_above_its_bound() -> None:
    rng = np.random.default_rng(9)
    for _ in range(200):
        early, late = random_svi(rng), random_svi(rng)
        c, r = float(rng.normal(0, 0.5)), float(10 ** rng.uniform(-3, 0.5))
        bound, _ = difference_bounds(jet(published(early), -1, c, r), jet(published(late), -1, c, r), r)
        k = np.linspace(c - r, c + r, 401)
        assert bound <= (late.total_variance(k) - early.total_variance(k)).min() + 1e-12


def test_a_tail_is_positive_from_its_start() -> None:
    rng = np.random.default_rng(10)
    found = 0
    for _ in range(300):
        early, late = random_svi(rng), random_svi(rng)
        p = published_slices([early, late])
        for side in (-1.0, 1.0):
            start = tail_start(p.raw[0], p.raw[1], side, 0.0)
            steeper = late.b * (1 + side * late.rho) > early.b * (1 + side * early.rho)
            assert np.isnan(start) != steeper
            if steeper:
                k = side * start * np.geomspace(1.0, 1e6, 200)
                assert (late.total_variance(k) > early.total_variance(k)).all()
                found += 1
    assert found > 200


def test_proofs_of_a_fitted_surface_take_few_cells() -> None:
    p = published_slices([s.curve for s in btc_surface() if isinstance(s.curve, SviCurve)])
    arrays = p.raw, p.frame, p.count, p.knots, p.cubics
    assert residual_cells(*arrays).min() > 0
    assert residual_cells(*arrays).max() < 100
    assert pair_cells(*arrays).min() > 0
    assert pair_cells(*arrays).max() < 100
