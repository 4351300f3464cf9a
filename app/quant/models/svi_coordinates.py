"""Coordinates of an SVI slice in which level, skew, curvature and the two wings are separate numbers.

x = (w0, s, l, u, v): w0 = w(0), s = w'(0), l = ln w''(0), and u, v > 0 the slopes of the left and the right wing.
With c = (u + v)/2, d = (v - u)/2, h = (s - d)/c and o = 1 - h^2 the slice is

    w(k) = w0 + d k + c (R(k) - r0),   R(k) = sqrt((k + y0)^2 + sigma^2),   r0 = R(0),
    sigma = c o^(3/2) / e^l,           y0 = c h o / e^l,

which is raw SVI (Gatheral 2004) with b = c, rho = d/c, m = -y0, a = w0 - d y0 - c r0. The map is one to one for
u, v > 0 and |h| < 1, i.e. for every raw SVI with b > 0 and |rho| < 1.
"""

import math
from typing import Final, TypeAlias

from app.quant.arrays import FloatArray
from app.quant.compiled import inner_kernel, kernel

SLICE_SIZE: Final = 5
Geometry: TypeAlias = tuple[float, float, float, float, float]
"""(y0, sigma, c, d, r0) of a slice."""
SLOPE_MAX: Final = 1.998
"""Steepest wing: a little below Lee's bound of 2, which the call price needs to vanish at infinity."""
SKEW_RATIO_MAX: Final = 0.9995
"""Largest |h|: the skew at the money stays strictly between the two wing slopes."""
LOG_WIDTH_MIN: Final = math.log(0.01)
LOG_WIDTH_MAX: Final = math.log(30.0)
"""ln of the admitted sigma / sqrt(w0): narrower is a corner at one strike, wider is a parabola over all of them."""


@inner_kernel
def geometry(x: FloatArray) -> Geometry:
    """Return (y0, sigma, c, d, r0) of the slice ``x``."""
    c = 0.5 * (x[3] + x[4])
    d = 0.5 * (x[4] - x[3])
    h = (x[1] - d) / c
    o = 1.0 - h * h
    curvature = math.exp(x[2])
    sigma = c * o * math.sqrt(o) / curvature
    y0 = c * h * o / curvature
    return y0, sigma, c, d, math.sqrt(y0 * y0 + sigma * sigma)


@inner_kernel
def geometry_jacobian(x: FloatArray, jacobian: FloatArray) -> None:
    """Write d(y0, sigma, c, d)/d(w0, s, l, u, v), shape (4, 5)."""
    c = 0.5 * (x[3] + x[4])
    d = 0.5 * (x[4] - x[3])
    h = (x[1] - d) / c
    o = 1.0 - h * h
    root = math.sqrt(o)
    curvature = math.exp(x[2])
    sigma = c * o * root / curvature
    y0 = c * h * o / curvature
    dy0_dh = c * (1.0 - 3.0 * h * h) / curvature
    dsigma_dh = -3.0 * c * h * root / curvature
    dy0_dc = y0 / c - dy0_dh * h / c
    dsigma_dc = sigma / c - dsigma_dh * h / c
    dy0_dd = -dy0_dh / c
    dsigma_dd = -dsigma_dh / c
    for r in range(4):
        jacobian[r, 0] = 0.0
    jacobian[0, 1] = dy0_dh / c
    jacobian[1, 1] = dsigma_dh / c
    jacobian[2, 1] = 0.0
    jacobian[3, 1] = 0.0
    jacobian[0, 2] = -y0
    jacobian[1, 2] = -sigma
    jacobian[2, 2] = 0.0
    jacobian[3, 2] = 0.0
    jacobian[0, 3] = 0.5 * (dy0_dc - dy0_dd)
    jacobian[1, 3] = 0.5 * (dsigma_dc - dsigma_dd)
    jacobian[2, 3] = 0.5
    jacobian[3, 3] = -0.5
    jacobian[0, 4] = 0.5 * (dy0_dc + dy0_dd)
    jacobian[1, 4] = 0.5 * (dsigma_dc + dsigma_dd)
    jacobian[2, 4] = 0.5
    jacobian[3, 4] = 0.5


@inner_kernel
def least_svi_variance(x: FloatArray) -> tuple[float, float]:
    """Return (k, w(k)) at the bottom of the slice: a + b sigma sqrt(1 - rho^2)."""
    y0, sigma, c, d, r0 = geometry(x)
    root = math.sqrt(x[3] * x[4])
    return -y0 - sigma * d / root, x[0] - d * y0 - c * r0 + sigma * root


@inner_kernel
def to_raw(x: FloatArray, raw: FloatArray) -> None:
    """Write raw SVI (a, b, rho, m, sigma) of the slice ``x``."""
    y0, sigma, c, d, r0 = geometry(x)
    raw[0] = x[0] - d * y0 - c * r0
    raw[1] = c
    raw[2] = d / c
    raw[3] = -y0
    raw[4] = sigma


@kernel
def from_raw(raw: FloatArray, x: FloatArray) -> None:
    """Write the coordinates x of raw SVI (a, b, rho, m, sigma); needs b > 0, |rho| < 1, sigma > 0."""
    a, b, rho, m, sigma = raw[0], raw[1], raw[2], raw[3], raw[4]
    r0 = math.sqrt(m * m + sigma * sigma)
    x[0] = a + b * (r0 - rho * m)
    x[1] = b * (rho - m / r0)
    x[2] = math.log(b * sigma * sigma / (r0 * r0 * r0))
    x[3] = b * (1.0 - rho)
    x[4] = b * (1.0 + rho)


@inner_kernel
def clamp(x: FloatArray, slope_min: float) -> None:
    """Move ``x`` into the domain: slopes in [slope_min, SLOPE_MAX], |h| <= SKEW_RATIO_MAX, sigma / sqrt(w0) bounded."""
    x[3] = min(max(x[3], slope_min), SLOPE_MAX)
    x[4] = min(max(x[4], slope_min), SLOPE_MAX)
    c = 0.5 * (x[3] + x[4])
    d = 0.5 * (x[4] - x[3])
    x[1] = min(max(x[1], d - SKEW_RATIO_MAX * c), d + SKEW_RATIO_MAX * c)
    h = (x[1] - d) / c
    o = 1.0 - h * h
    widest = math.log(c * o * math.sqrt(o) / math.sqrt(x[0]))
    x[2] = min(max(x[2], widest - LOG_WIDTH_MAX), widest - LOG_WIDTH_MIN)
