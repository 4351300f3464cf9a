"""An audit of raw SVI surfaces that shares no code with the fit: polynomial roots instead of scans.

Durrleman's g of a slice, in z = (k - m)/sigma + sqrt(((k - m)/sigma)^2 + 1), is a polynomial of degree 10 over a
positive one; two slices cross at roots of a quartic in k.
"""

from itertools import pairwise

import numpy as np
from numpy.polynomial import Polynomial

from app.quant.models.svi_curve import SviCurve


def real_roots(p: Polynomial) -> np.ndarray:
    roots = p.trim().roots()
    return np.sort(roots[np.abs(roots.imag) <= 1e-7 * (1.0 + np.abs(roots))].real)


def least_g(curve: SviCurve) -> float:
    """Return the least of g over points between all real roots of its polynomial; negative means arbitrage."""
    a, b, r, m, s = curve.a, curve.b, curve.rho, curve.m, curve.sigma
    z = Polynomial([0.0, 1.0])
    p = (1 + r) * z**2 + 2 * a / (b * s) * z + (1 - r)
    q = (1 + r) * z**2 - (1 - r)
    kappa = s * z**2 + 2 * m * z - s
    one = z**2 + 1
    g = (
        4 * one * (2 * s * p * one - kappa * q) ** 2
        - 8 * b * s * z * p * q**2 * one
        - (b * s) ** 2 * p**2 * q**2 * one
        + 64 * b * s * z**3 * p**2
    )
    scale = max(1.0, m / s + np.hypot(m / s, 1.0))
    stationary = real_roots(g.deriv())
    points = np.concatenate([stationary[stationary > 0], np.geomspace(1e-6 / scale, 1e6 * scale, 600)])
    return float(np.min(g(points) / (16 * s * s * p(points) ** 2 * one(points) ** 3)))


def least_gap(earlier: SviCurve, later: SviCurve) -> float:
    """Return the least of w_later/w_earlier - 1 on both sides of every crossing and on a wide grid."""
    k = Polynomial([0.0, 1.0])
    line = earlier.a - later.a + earlier.b * earlier.rho * (k - earlier.m) - later.b * later.rho * (k - later.m)
    first = earlier.b**2 * ((k - earlier.m) ** 2 + earlier.sigma**2)
    second = later.b**2 * ((k - later.m) ** 2 + later.sigma**2)
    crossings = real_roots((line**2 + first - second) ** 2 - 4 * line**2 * first)
    width = np.sqrt(earlier.atm_svi_variance)
    points = np.concatenate(
        [crossings - 1e-5 * width, crossings + 1e-5 * width, width * np.sinh(np.linspace(-14.0, 14.0, 2001))]
    )
    return float(np.min(later.total_variance(points) / earlier.total_variance(points)) - 1.0)


def without_residual(curve: SviCurve) -> SviCurve:
    return SviCurve(curve.a, curve.b, curve.rho, curve.m, curve.sigma)


def assert_free_of_arbitrage(curves: list[SviCurve]) -> None:
    """Check the SVI part exactly, and the whole curves on 4,000 points over every residual's support."""
    for curve in curves:
        plain = without_residual(curve)
        assert least_g(plain) > 0.0, plain
        assert plain.b * (1.0 + abs(plain.rho)) < 2.0
        k = np.sqrt(plain.atm_svi_variance) * 0.3 * np.sinh(np.linspace(-6.0, 6.0, 4001))
        w, w1, w2 = curve.derivatives(k)
        assert w.min() > 0.0
        assert ((1 - k * w1 / (2 * w)) ** 2 - w1**2 / 4 * (1 / w + 0.25) + w2 / 2).min() > 0.0
    for earlier, later in pairwise(curves):
        assert least_gap(without_residual(earlier), without_residual(later)) > 0.0
        for width in (earlier, later):
            k = np.sqrt(width.atm_svi_variance) * 0.3 * np.sinh(np.linspace(-6.0, 6.0, 4001))
            assert (later.total_variance(k) / earlier.total_variance(k)).min() > 1.0
