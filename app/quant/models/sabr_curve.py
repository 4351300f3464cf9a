"""Hagan's lognormal SABR smile (Hagan, Kumar, Lesniewski and Woodward 2002, eq. 2.17) in forward log-moneyness.

With b = 1 - beta, k = ln(K/F), a(k) = alpha F^-b exp(-b k / 2) and z = -nu k / a,

    vol = a / S * z / chi(z) * H
    S = 1 + b^2 k^2 / 24 + b^4 k^4 / 1920
    chi = ln((sqrt(1 - 2 rho z + z^2) + z - rho) / (1 - rho))
    H = 1 + (b^2 a^2 / 24 + rho beta nu a / 4 + (2 - 3 rho^2) nu^2 / 24) t.

An expansion in nu^2 t: it may hold arbitrage far out or late, which the certificate reports.
"""

import math
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Self

import numpy as np

from app.quant.arrays import FloatArray
from app.quant.compiled import inner_kernel, kernel
from app.quant.errors import InvalidParameters

REACH: Final = 5.0
"""|k| within which H must be positive: strikes from 0.7 % to 150 times the forward."""
SERIES_REACH: Final = 0.05
"""|z| below which chi / z is summed as a series: the closed form loses 1 / z^2 in the second derivative."""
SERIES_TERMS: Final = 12
"""0.05^12 is below rounding."""

Jet = tuple[FloatArray, FloatArray, FloatArray]
"""A function of k with its first and second derivative."""


class _Numbers(NamedTuple):
    alpha: float
    beta: float
    rho: float
    nu: float
    t: float
    forward: float


class SabrCurve(_Numbers):
    """One slice; ``alpha`` in units of forward^(1 - beta), ``nu`` per root year, ``t`` in years.

    Raises InvalidParameters outside alpha > 0, 0 <= beta <= 1, |rho| < 1, nu > 0, t > 0, forward > 0, and where
    Hagan's H is not positive for some |k| <= 5. A tuple, whose ``_make`` takes numbers that are known to lie inside.
    """

    __slots__ = ()

    def __new__(cls, alpha: float, beta: float, rho: float, nu: float, t: float, forward: float) -> Self:
        """Return the curve of these numbers."""
        curve = super().__new__(cls, alpha, beta, rho, nu, t, forward)
        curve._check()
        return curve

    def _check(self) -> None:
        if not all(map(math.isfinite, self)):
            raise InvalidParameters(f"SABR parameters must be finite, got {self}")
        if min(self.alpha, self.nu, self.t, self.forward) <= 0.0:
            raise InvalidParameters(f"SABR needs alpha, nu, t and forward > 0; got {self}")
        if not 0.0 <= self.beta <= 1.0 or not -1.0 < self.rho < 1.0:
            raise InvalidParameters(f"SABR needs 0 <= beta <= 1 and |rho| < 1; got {self}")
        correction = least_correction(self.level, self.nu, self.rho, self.beta, self.t)
        if correction <= 0.0:
            raise InvalidParameters(
                f"Hagan's correction falls to {correction} within |k| <= {REACH}: no vol for {self}"
            )

    @property
    def level(self) -> float:
        """alpha F^(beta - 1): the leading vol at the money."""
        return float(self.alpha * self.forward ** (self.beta - 1.0))

    def total_variance(self, k: FloatArray) -> FloatArray:
        """Return w(k) = vol^2 t, the shape of ``k``."""
        points = np.array(k).reshape(-1)
        w = np.empty(points.shape)
        sabr_variances(self.level, self.nu, self.rho, self.beta, self.t, points, w)
        return w.reshape(np.shape(k))

    def derivatives(self, k: FloatArray) -> Jet:
        """Return (w, dw/dk, d2w/dk2), by the product and chain rules."""
        vol, slope, curvature = self._vol(k)
        w = self.t * vol * vol
        return w, 2.0 * self.t * vol * slope, 2.0 * self.t * (slope * slope + vol * curvature)

    def parameters(self) -> dict[str, Any]:
        """Return alpha, beta, rho, nu."""
        return {"alpha": self.alpha, "beta": self.beta, "rho": self.rho, "nu": self.nu}

    def _vol(self, k: FloatArray) -> Jet:
        b, rho, nu, t = 1.0 - self.beta, self.rho, self.nu, self.t
        a = self.level * np.exp(-0.5 * b * k)
        a1, a2 = -0.5 * b * a, 0.25 * b * b * a
        # H is a quadratic in a; z = -nu k / a because a'/a = -b/2 is constant.
        linear, square = 0.25 * rho * self.beta * nu * t, b * b / 24.0 * t
        h = 1.0 + (linear + square * a) * a + (2.0 - 3.0 * rho * rho) * nu * nu / 24.0 * t
        h1 = (linear + 2.0 * square * a) * a1
        h2 = (linear + 2.0 * square * a) * a2 + 2.0 * square * a1 * a1
        z, z1, z2 = -nu * k / a, -nu / a * (1.0 + 0.5 * b * k), -nu / a * b * (1.0 + 0.25 * b * k)
        x, xz, xzz = chi_over_z(z, rho)
        chi: Jet = (x, xz * z1, xzz * z1 * z1 + xz * z2)
        b2 = b * b
        s = 1.0 + b2 * k * k / 24.0 + (b2 * k * k) ** 2 / 1920.0
        s1, s2 = b2 * k / 12.0 + b2 * b2 * k**3 / 480.0, b2 / 12.0 + b2 * b2 * k * k / 160.0
        return _quotient(_product((a, a1, a2), (h, h1, h2)), _product(chi, (s, s1, s2)))


def sabr_curve(parameters: Mapping[str, Any], *, t: float, forward: float) -> SabrCurve:
    """Return the curve that :meth:`SabrCurve.parameters` described. Raises InvalidParameters outside the domain."""
    alpha, beta, rho, nu = (float(parameters[name]) for name in ("alpha", "beta", "rho", "nu"))
    return SabrCurve(alpha, beta, rho, nu, t, forward)


@kernel
def curve_numbers(x: FloatArray, beta: float, t: FloatArray, forward: FloatArray) -> FloatArray:
    """Return a row of :class:`SabrCurve`'s numbers for each slice with coordinates ``x`` (sabr_slice.py)."""
    numbers = np.empty((x.shape[0], 6))
    for i in range(x.shape[0]):
        numbers[i, 0] = math.exp(x[i, 0]) * forward[i] ** (1.0 - beta)
        numbers[i, 1] = beta
        numbers[i, 2] = math.tanh(x[i, 2])
        numbers[i, 3] = math.exp(x[i, 1])
        numbers[i, 4] = t[i]
        numbers[i, 5] = forward[i]
    return numbers


@kernel
def sabr_variances(level: float, nu: float, rho: float, beta: float, t: float, k: FloatArray, w: FloatArray) -> None:
    """Write w(k), as :meth:`SabrCurve.derivatives`."""
    b = 1.0 - beta
    linear, square = 0.25 * rho * beta * nu * t, b * b / 24.0 * t
    constant = (2.0 - 3.0 * rho * rho) * nu * nu / 24.0 * t
    for j in range(k.shape[0]):
        a = level * math.exp(-0.5 * b * k[j])
        bk2 = (b * k[j]) ** 2
        h = 1.0 + (linear + square * a) * a + constant
        vol = a * h / (chi_ratio(-nu * k[j] / a, rho) * (1.0 + bk2 / 24.0 + bk2 * bk2 / 1920.0))
        w[j] = t * vol * vol


@inner_kernel
def chi_ratio(z: float, rho: float) -> float:
    """Return chi(z) / z, near 0 from its series (:func:`chi_over_z`) with Legendre's polynomials by their recursion."""
    if abs(z) >= SERIES_REACH:
        y = z - rho
        far = math.sqrt(1.0 - 2.0 * rho * z + z * z) + abs(y)
        return math.log(far / (1.0 - rho) if y >= 0.0 else (1.0 + rho) / far) / z
    total, power = 0.0, 1.0
    before, here = 0.0, 1.0
    for n in range(SERIES_TERMS):
        total += here * power / (n + 1.0)
        power *= z
        before, here = here, ((2.0 * n + 1.0) * rho * here - n * before) / (n + 1.0)
    return total


@kernel
def least_correction(level: float, nu: float, rho: float, beta: float, t: float) -> float:
    """Return the smallest H over |k| <= REACH: a quadratic in a, which runs between level exp(-+ b REACH / 2)."""
    b = 1.0 - beta
    stretch = math.exp(0.5 * b * REACH)
    linear, square = 0.25 * rho * beta * nu, b * b / 24.0
    low, high = level / stretch, level * stretch
    least = min((linear + square * low) * low, (linear + square * high) * high)
    if square > 0.0 and low < -0.5 * linear / square < high:
        least = -0.25 * linear * linear / square
    return 1.0 + t * (least + (2.0 - 3.0 * rho * rho) * nu * nu / 24.0)


def chi_over_z(z: FloatArray, rho: float) -> Jet:
    """Return chi(z) / z and its two derivatives in z.

    chi' = 1 / sqrt(1 - 2 rho z + z^2) generates the Legendre polynomials, so chi / z = sum_n P_n(rho) z^n / (n + 1).
    """
    legendre = np.polynomial.legendre.legval(rho, np.eye(SERIES_TERMS))
    series = np.polynomial.Polynomial(legendre / np.arange(1.0, SERIES_TERMS + 1.0))
    near = np.abs(z) < SERIES_REACH
    inside, outside = np.where(near, z, 0.0), np.where(near, 1.0, z)
    root = np.sqrt(1.0 - 2.0 * rho * outside + outside * outside)
    y = outside - rho
    chi = np.where(y >= 0.0, np.log((root + np.abs(y)) / (1.0 - rho)), np.log((1.0 + rho) / (root + np.abs(y))))
    x = chi / outside
    x1 = (1.0 / root - x) / outside
    x2 = (-y / root**3 - 2.0 * x1) / outside
    return (
        np.where(near, series(inside), x),
        np.where(near, series.deriv()(inside), x1),
        np.where(near, series.deriv(2)(inside), x2),
    )


def _product(u: Jet, v: Jet) -> Jet:
    return u[0] * v[0], u[1] * v[0] + u[0] * v[1], u[2] * v[0] + 2.0 * u[1] * v[1] + u[0] * v[2]


def _quotient(u: Jet, v: Jet) -> Jet:
    q = u[0] / v[0]
    q1 = (u[1] - q * v[1]) / v[0]
    return q, q1, (u[2] - 2.0 * q1 * v[1] - q * v[2]) / v[0]
