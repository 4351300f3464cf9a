"""Where a SABR fit without a memory starts: the smile that has the level, slope and curvature of a parabola."""

import math
from typing import Final

from app.quant.arrays import FloatArray, IntArray
from app.quant.compiled import inner_kernel, kernel
from app.quant.models.quote_loss import MID, POINTS, K

START_NU: Final = 0.1
"""Least vol of vol a fit starts from: at zero neither nu nor rho moves a vol."""
START_RHO: Final = 0.9
"""Largest |rho| a fit starts from."""


@kernel
def parabola_starts(offsets: IntArray, quotes: FloatArray, t: FloatArray, beta: float, x: FloatArray) -> None:
    """Write x = (ln level, ln nu, atanh rho) of each slice from the parabola through its quotes.

    To second order in k, vol = level (1 + ...) with slope (rho nu - b level) / 2 and, for b = 0, curvature
    (2 - 3 rho^2) nu^2 / (12 level), hence nu^2 = 6 level c2 + 6 (slope + b level / 2)^2 (Hagan et al. 2002, eq. 3.1).
    """
    for i in range(t.shape[0]):
        first, last = offsets[i], offsets[i + 1]
        k, vol = quotes[K, first:last], quotes[MID, first:last] / POINTS
        at_the_money = interpolated(k, vol, 0.0)
        deviation = at_the_money * math.sqrt(t[i])
        c0, c1, c2 = tapered_parabola(k / deviation, vol)
        slope, curvature = c1 / deviation, c2 / (deviation * deviation)
        level = max(c0, 0.5 * at_the_money)
        half_skew = slope + 0.5 * (1.0 - beta) * level
        nu = math.sqrt(max(6.0 * level * curvature + 6.0 * half_skew * half_skew, START_NU * START_NU))
        x[i, 0], x[i, 1] = math.log(level), math.log(nu)
        x[i, 2] = math.atanh(min(max(2.0 * half_skew / nu, -START_RHO), START_RHO))


@inner_kernel
def interpolated(k: FloatArray, value: FloatArray, at: float) -> float:
    """Return the value at ``at``, linear between ascending ``k`` and level beyond them."""
    if at <= k[0]:
        return float(value[0])
    for j in range(1, k.shape[0]):
        if at <= k[j]:
            return float(value[j - 1] + (value[j] - value[j - 1]) * (at - k[j - 1]) / (k[j] - k[j - 1]))
    return float(value[-1])


@inner_kernel
def tapered_parabola(z: FloatArray, value: FloatArray) -> tuple[float, float, float]:
    """Return (c0, c1, c2) of the least-squares parabola through ``value``, errors weighed by 1 / (1 + z^2)."""
    s0 = s1 = s2 = s3 = s4 = r0 = r1 = r2 = 0.0
    for j in range(z.shape[0]):
        taper = 1.0 / (1.0 + z[j] * z[j])
        w0 = taper * taper
        w1 = w0 * z[j]
        w2 = w1 * z[j]
        s0 += w0
        s1 += w1
        s2 += w2
        s3 += w2 * z[j]
        s4 += w2 * z[j] * z[j]
        r0 += w0 * value[j]
        r1 += w1 * value[j]
        r2 += w2 * value[j]
    l1, l2 = s1 / s0, s2 / s0
    d1 = s2 - l1 * s1
    q = s3 - l2 * s1
    slope = r1 - l1 * r0
    c2 = (r2 - l2 * r0 - q / d1 * slope) / (s4 - l2 * s2 - q / d1 * q)
    c1 = (slope - q * c2) / d1
    return (r0 - s1 * c1 - s2 * c2) / s0, c1, c2
