"""The exact butterfly bound of an eSSVI slice: psi^2 < F(theta, rho), necessary and sufficient.

With s = sqrt(1 - rho^2), place a strike by z > 0, k = theta (s (z - 1/z) / 2 - rho) / psi, and write Z = z^2 + 1,
q = sqrt(1 + rho) z - sqrt(1 - rho), Q = (1 + rho) z^2 - (1 - rho). Durrleman's g is positive at z exactly when

    psi^2 D(z) < 4 Z (Z + 2 z / s)^2,    D(z) = 4 z (q^2 Z - 8 z^2) / (theta s) + Q^2 Z / 4,

so that F is the least quotient over the z with D > 0. D is negative around q = 0, which parts these z into a right and
a left wing; the left wing of rho is the right wing of -rho. On each the quotient has a single valley.

Source: Martini and Mingone 2022, proposition 6.3. At the steep wing of a short expiry it allows psi up to 2.2 times
what the sufficient condition psi^2 (1 + |rho|) < 4 theta of Gatheral and Jacquier 2014, theorem 4.2, does.
"""

import math
from typing import Final

import numpy as np

from app.quant.arrays import FloatArray
from app.quant.compiled import inner_kernel, kernel
from app.quant.line_search import GOLDEN, SECTIONS, bracket

REACH: Final = 12.0
"""Logarithm of the largest z searched, from q = 0 on: there the quotient is within 1e-5 of its limit 16 / (1 + rho)^2,
which the condition on the wing's slope keeps."""
SAMPLES: Final = 48
"""Samples of the quotient before the golden section; its valley is wider than three of them."""


@inner_kernel
def wing_quotient(z: float, theta: float, rho: float) -> tuple[float, float, float]:
    """Return the quotient at z and its derivatives in theta and rho; infinite where D(z) is not positive."""
    s2 = 1.0 - rho * rho
    s = math.sqrt(s2)
    up, down = math.sqrt(1.0 + rho), math.sqrt(1.0 - rho)
    zz = z * z + 1.0
    q = up * z - down
    q_rho = 0.5 * (z / up + 1.0 / down)
    steep = (1.0 + rho) * z * z - (1.0 - rho)
    rise = zz + 2.0 * z / s
    curved = 4.0 * z * (q * q * zz - 8.0 * z * z) / (theta * s)
    below = curved + 0.25 * steep * steep * zz
    if below <= 0.0:
        return math.inf, 0.0, 0.0
    quotient = 4.0 * zz * rise * rise / below
    above_rho = 16.0 * zz * z * rise * rho / (s2 * s)
    below_rho = curved * rho / s2 + 8.0 * z * q * q_rho * zz / (theta * s) + 0.5 * steep * zz * zz
    return quotient, quotient * curved / (theta * below), (above_rho - quotient * below_rho) / below


@inner_kernel
def wing_bound(theta: float, rho: float) -> tuple[float, float, float]:
    """Return the least quotient of the right wing and its derivatives in theta and rho (envelope theorem)."""
    start = 0.5 * math.log((1.0 - rho) / (1.0 + rho))
    pace = REACH / SAMPLES
    middle, at_middle = start + REACH, math.inf
    for i in range(1, SAMPLES + 1):
        here = wing_quotient(math.exp(start + i * pace), theta, rho)[0]
        if here < at_middle:
            middle, at_middle = start + i * pace, here
    low, high = middle - pace, middle + pace
    for _ in range(SECTIONS):
        wide = high - middle if high - middle > middle - low else low - middle
        probe = middle + GOLDEN * wide
        low, middle, high, at_middle = bracket(
            low, middle, high, at_middle, probe, wing_quotient(math.exp(probe), theta, rho)[0]
        )
    return wing_quotient(math.exp(middle), theta, rho)


@kernel
def butterfly_bounds(theta: FloatArray, rho: FloatArray) -> FloatArray:
    """Return F and its derivatives in theta and rho for the right and the left wing of n slices, shape (2, 3, n)."""
    n = theta.shape[0]
    bounds = np.empty((2, 3, n))
    for i in range(n):
        bounds[0, 0, i], bounds[0, 1, i], bounds[0, 2, i] = wing_bound(theta[i], rho[i])
        bounds[1, 0, i], bounds[1, 1, i], left_rho = wing_bound(theta[i], -rho[i])
        bounds[1, 2, i] = -left_rho
    return bounds
