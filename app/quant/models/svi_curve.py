"""The published curve of the SVI models: raw SVI, optionally with a compact B-spline residual.

Raw SVI (Gatheral 2004): w(k) = a + b (rho (k - m) + sqrt((k - m)^2 + sigma^2)).
With a residual: w(k) += w_svi(0) * sum_j c_j B(asinh(k / scale) / spacing - first - j), B the centred cubic
B-spline with support (-2, 2). The residual is C^2 and zero beyond its support, so wings stay SVI.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from app.quant.arrays import FloatArray
from app.quant.compiled import inner_kernel, kernel
from app.quant.elementary import inverse_sinh
from app.quant.errors import InvalidParameters

PADDING: Final = 4
"""Zeros beside the coefficients of a residual: as many as B-splines are alive at a point."""


@dataclass(frozen=True, slots=True)
class SplineResidual:
    """Coefficients c_j of the residual, relative to SVI's variance at the money, and their knots."""

    scale: float
    spacing: float
    first: int
    coefficients: tuple[float, ...]

    def __post_init__(self) -> None:
        if not (self.scale > 0.0 and self.spacing > 0.0):
            raise InvalidParameters(f"spline scale {self.scale} and spacing {self.spacing} must be positive")
        if not all(map(math.isfinite, self.coefficients)):
            raise InvalidParameters("spline coefficients must be finite")


@dataclass(frozen=True, slots=True)
class SviCurve:
    """Raw SVI slice in total variance, with an optional residual. Raises InvalidParameters outside the domain
    b >= 0, |rho| < 1, sigma > 0, a + b sigma sqrt(1 - rho^2) >= 0 (Gatheral and Jacquier 2014, section 3)."""

    a: float
    b: float
    rho: float
    m: float
    sigma: float
    spline: SplineResidual | None = None

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (self.a, self.b, self.rho, self.m, self.sigma))):
            raise InvalidParameters(f"SVI parameters must be finite, got {self}")
        if self.b < 0.0 or not -1.0 < self.rho < 1.0 or self.sigma <= 0.0:
            raise InvalidParameters(
                f"raw SVI needs b >= 0, |rho| < 1, sigma > 0; got b={self.b}, rho={self.rho}, sigma={self.sigma}"
            )
        lowest = self.a + self.b * self.sigma * math.sqrt(1.0 - self.rho * self.rho)
        if lowest < 0.0:
            raise InvalidParameters(f"raw SVI's least variance a + b sigma sqrt(1 - rho^2) is {lowest}, below 0")

    @property
    def atm_svi_variance(self) -> float:
        """SVI's own w(0), the scale of the residual."""
        return float(self.a + self.b * (-self.rho * self.m + np.hypot(self.m, self.sigma)))

    def total_variance(self, k: FloatArray) -> FloatArray:
        """Return w(k), the shape of ``k``."""
        y = k - self.m
        w: FloatArray = self.a + self.b * (self.rho * y + np.sqrt(y * y + self.sigma * self.sigma))
        if self.spline is not None:
            s = self.spline
            count = len(s.coefficients)
            places = s.scale, s.spacing, float(s.first), float(count)
            residual = residual_values(np.array(k).reshape(-1), *places, padded(s.coefficients, count))
            w += self.atm_svi_variance * residual.reshape(w.shape)
        return w

    def derivatives(self, k: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return (w, w', w'') in k: w' = b (rho + y/R), w'' = b sigma^2 / R^3, plus the residual's."""
        y = k - self.m
        s2 = self.sigma * self.sigma
        r = np.sqrt(y * y + s2)
        w = self.a + self.b * (self.rho * y + r)
        w1 = self.b * (self.rho + y / r)
        w2 = self.b * s2 / (r * r * r)
        if self.spline is not None:
            scale = self.atm_svi_variance
            residual = residual_derivatives(self.spline, k)
            w, w1, w2 = (p + scale * q for p, q in zip((w, w1, w2), residual, strict=True))
        return w, w1, w2

    def parameters(self) -> dict[str, Any]:
        """Return a, b, rho, m, sigma and, when there is one, the spline's scale, spacing, first, coefficients."""
        named: dict[str, Any] = {"a": self.a, "b": self.b, "rho": self.rho, "m": self.m, "sigma": self.sigma}
        if self.spline is not None:
            named["spline"] = {
                "scale": self.spline.scale,
                "spacing": self.spline.spacing,
                "first": self.spline.first,
                "coefficients": list(self.spline.coefficients),
            }
        return named


def svi_curve(parameters: Mapping[str, Any]) -> SviCurve:
    """Return the curve that :meth:`SviCurve.parameters` described. Raises InvalidParameters outside the domain."""
    a, b, rho, m, sigma = (float(parameters[name]) for name in ("a", "b", "rho", "m", "sigma"))
    spline = parameters.get("spline")
    residual = None
    if spline is not None:
        residual = SplineResidual(
            scale=float(spline["scale"]),
            spacing=float(spline["spacing"]),
            first=int(spline["first"]),
            coefficients=tuple(float(c) for c in spline["coefficients"]),
        )
    return SviCurve(a, b, rho, m, sigma, residual)


def padded(coefficients: Sequence[float], room: int) -> FloatArray:
    """Return ``coefficients`` as :func:`residual_value` takes them, and zeros up to ``room`` coefficients."""
    row = np.zeros(room + 2 * PADDING)
    row[PADDING : PADDING + len(coefficients)] = coefficients
    return row


@inner_kernel
def inverse_sinhs(x: FloatArray) -> None:
    """Turn each x into asinh x, on several lanes at once."""
    for i in range(x.shape[0]):
        x[i] = inverse_sinh(x[i])


@inner_kernel
def residual_value(x: float, count: float, padded: FloatArray) -> float:
    """Return sum_j c_j B(x - j) of ``count`` coefficients; beyond the support all four alive are of the padding."""
    x = x if x > -2.0 else -2.0
    x = x if x < count + 1.0 else count + 1.0
    cell = math.floor(x)
    t = x - cell
    p = 1.0 - t
    j = int(cell) + PADDING - 1
    outer = padded[j] * p * p * p + padded[j + 3] * t * t * t
    left = padded[j + 1] * (2.0 / 3.0 - t * t * (1.0 - 0.5 * t))
    right = padded[j + 2] * (2.0 / 3.0 - p * p * (1.0 - 0.5 * p))
    return float(outer / 6.0 + left + right)


@kernel
def residual_values(
    k: FloatArray, scale: float, spacing: float, first: float, count: float, padded: FloatArray
) -> FloatArray:
    """Return s(k) = sum_j c_j B(asinh(k / scale) / spacing - first - j)."""
    values = k / scale
    inverse_sinhs(values)
    for i in range(k.shape[0]):
        values[i] = residual_value(values[i] / spacing - first, count, padded)
    return values


def residual_derivatives(spline: SplineResidual, k: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return s(k) = sum_j c_j B(x(k) - first - j), x = asinh(k / scale) / spacing, and its two derivatives in k."""
    c = np.asarray(spline.coefficients)
    r2 = k * k + spline.scale * spline.scale
    x = np.arcsinh(k / spline.scale) / spline.spacing
    x1 = 1.0 / (spline.spacing * np.sqrt(r2))
    x2 = -k * x1 / r2
    u = x[..., np.newaxis] - spline.first - np.arange(c.shape[0])
    b, b1, b2 = cubic_b_spline(u)
    d1 = b1 @ c
    return b @ c, d1 * x1, (b2 @ c) * x1 * x1 + d1 * x2


def cubic_b_spline(u: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the centred cubic B-spline and its two derivatives.

    2/3 - u^2 + |u|^3/2 within 1, (2 - |u|)^3/6 from there to 2, zero beyond.
    """
    a = np.abs(u)
    s = np.sign(u)
    outer = np.maximum(2.0 - a, 0.0)
    inner = a < 1.0
    b = np.where(inner, 2.0 / 3.0 - a * a * (1.0 - 0.5 * a), outer**3 / 6.0)
    b1 = np.where(inner, s * a * (1.5 * a - 2.0), -0.5 * s * outer**2)
    b2 = np.where(inner, 3.0 * a - 2.0, outer)
    return b, b1, b2
