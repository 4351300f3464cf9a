"""Butterfly arbitrage of one slice: a proof that Durrleman's g is positive on the whole line.

g(k) = (1 - k w'/(2w))^2 - (w'^2/4)(1/w + 1/4) + w''/2; with w > 0 and wing slopes below 2, g >= 0 everywhere is
equivalent to a density (Roper 2010, theorem 2.9; Gatheral and Jacquier 2014, section 2.2).

Where the slice is raw SVI, put l = (k - m)/sigma, z = l + sqrt(l^2 + 1) > 0 and
  P = b sigma ((1 + rho) z^2 + (1 - rho)) + 2 a z,   Q = b sigma ((1 + rho) z^2 - (1 - rho)),
  K = sigma z^2 + 2 m z - sigma,   Z = z^2 + 1.
Then w = P/(2z), k = K/(2z), and 16 sigma^2 P^2 Z^3 g is the polynomial of degree 10
  G(z) = 4 Z (2 sigma P Z - K Q)^2 - 8 z P Q^2 Z - P^2 Q^2 Z + 64 b sigma z^3 P^2,
so the sign of g on a half-line is the sign of a polynomial on (0, z] or [z, infinity).

Under a residual, g is bounded below between its knots by a second-order Taylor bound, cell by cell.
"""

import math
from typing import Final

import numpy as np

from app.quant.arrays import BoolArray, FloatArray, IntArray
from app.quant.bernstein import DEGREE, EPSILON, positive_on_unit_interval
from app.quant.compiled import kernel
from app.quant.durrleman import durrleman_lower_bound, least_durrleman
from app.quant.svi_jet import ROUNDING, slice_jet

LEE_SLOPE: Final = 2.0
"""Largest |w'| at infinity of an implied variance (Lee 2004)."""

POLYNOMIAL_ROUNDING: Final = 128.0 * EPSILON
"""Error of a coefficient of G relative to the same expression with every sign made plus.

A coefficient is a sum of products of at most six entries of P, Q, K, Z (each within 3 roundings), formed in four
nested convolutions of at most seven terms: under 60 roundings, half an epsilon each. The other half pays for the
powers that rescale z (10 roundings) and for summing this bound.
"""

OVERLAP: Final = 1.0 + 1e-12
"""Widens a range of z: z is computed to within 10 roundings."""

KNOT_OVERLAP: Final = 1e-6
"""The half-lines proven beside a residual reach into its support by this share of the outermost knot interval: the
position of a knot is only known to rounding."""

MAX_CELLS: Final = 20_000
"""Cells before a slice is given up as not proven; one on the market takes about 40."""

STACK: Final = 64
"""Halvings of one knot interval; the width then is 1e-19 of it."""


@kernel
def add_product(total: FloatArray, factor: float, shift: int, p: FloatArray, q: FloatArray) -> FloatArray:
    """Add factor z^shift p(z) q(z) to the coefficients ``total`` (lowest power first) and return them."""
    for i in range(p.shape[0]):
        for j in range(q.shape[0]):
            total[shift + i + j] += factor * p[i] * q[j]
    return total


@kernel
def durrleman_polynomial(a: float, scale: float, rho: float, m: float, sigma: float, sign: float) -> FloatArray:
    """Return the coefficients of G, with ``scale`` = b sigma and ``sign`` = -1.

    With ``sign`` = 1 and |a|, |m| in place of a, m: the same sum with every term counted positive.
    """
    p = np.empty(3)
    q = np.zeros(3)
    k = np.empty(3)
    z = np.ones(3)
    p[0], p[1], p[2] = scale * (1.0 - rho), 2.0 * a, scale * (1.0 + rho)
    q[0], q[2] = sign * p[0], p[2]
    k[0], k[1], k[2] = sign * sigma, 2.0 * m, sigma
    z[1] = 0.0
    inner = add_product(add_product(np.zeros(5), 2.0 * sigma, 0, p, z), sign, 0, k, q)
    pp = add_product(np.zeros(5), 1.0, 0, p, p)
    qqz = add_product(np.zeros(7), 1.0, 0, add_product(np.zeros(5), 1.0, 0, q, q), z)
    squared = add_product(np.zeros(9), 1.0, 0, inner, inner)
    total = add_product(np.zeros(DEGREE + 1), 4.0, 0, squared, z)
    total = add_product(total, 8.0 * sign, 1, p, qqz)
    total = add_product(total, sign, 0, pp, qqz)
    return add_product(total, 64.0 * scale, 3, pp, np.ones(1))


@kernel
def stretched(raw: FloatArray, k: float) -> float:
    """Return z = l + sqrt(l^2 + 1), l = (k - m)/sigma, without cancellation."""
    distance = (k - raw[3]) / raw[4]
    z: float = abs(distance) + math.sqrt(distance * distance + 1.0)
    return z if distance >= 0.0 else 1.0 / z


@kernel
def raw_slice_proven(raw: FloatArray, left: float, right: float) -> bool:
    """Prove w > 0 on the line, wing slopes below 2, and g > 0 on (-inf, left] and [right, inf), of raw SVI."""
    a, b, rho, m, sigma = raw[0], raw[1], raw[2], raw[3], raw[4]
    least = b * sigma * math.sqrt(1.0 - rho * rho)
    if not a + least > ROUNDING * (abs(a) + least):
        return False
    if b == 0.0:
        return True
    if not b * (1.0 + abs(rho)) < LEE_SLOPE * (1.0 - ROUNDING):
        return False
    coefficients = durrleman_polynomial(a, b * sigma, rho, m, sigma, -1.0)
    magnitude = durrleman_polynomial(abs(a), b * sigma, rho, abs(m), sigma, 1.0)
    return positive_up_to(coefficients, magnitude, stretched(raw, left) * OVERLAP) and positive_up_to(
        coefficients[::-1].copy(), magnitude[::-1].copy(), OVERLAP / stretched(raw, right)
    )


@kernel
def positive_up_to(coefficients: FloatArray, magnitude: FloatArray, end: float) -> bool:
    """Prove a polynomial positive on (0, end] by rescaling to the unit interval; ``magnitude`` as above."""
    scaled = np.empty(DEGREE + 1)
    scaled_guard = np.empty(DEGREE + 1)
    power = 1.0
    for i in range(DEGREE + 1):
        scaled[i] = coefficients[i] * power
        scaled_guard[i] = POLYNOMIAL_ROUNDING * magnitude[i] * power
        power *= end
    return positive_on_unit_interval(scaled, scaled_guard)


@kernel
def residual_proven(raw: FloatArray, frame: FloatArray, count: int, knots: FloatArray, cubics: FloatArray) -> int:
    """Prove w > 0 and g > 0 on the residual's support. Return the cells it took, -1 for "not proven"."""
    start = np.empty(STACK + 1)
    stop = np.empty(STACK + 1)
    cells = 0
    for piece in range(count + 3):
        start[0] = knots[piece]
        stop[0] = knots[piece + 1]
        top = 1
        while top > 0:
            cells += 1
            low = start[top - 1]
            high = stop[top - 1]
            centre = 0.5 * (low + high)
            radius = max(high - centre, centre - low) * (1.0 + ROUNDING)
            jet = slice_jet(raw, frame, cubics, piece, centre, radius)
            bound, at_centre = durrleman_lower_bound(centre, radius, jet)
            if bound > 0.0:
                top -= 1
                continue
            if not at_centre > 0.0 or top == STACK or cells > MAX_CELLS:
                return -1
            start[top] = centre
            stop[top] = high
            stop[top - 1] = centre
            top += 1
    return cells


@kernel
def butterfly_margins(
    raw: FloatArray, frame: FloatArray, count: IntArray, knots: FloatArray, cubics: FloatArray
) -> tuple[BoolArray, FloatArray, FloatArray]:
    """Return for every slice: proven free of butterfly arbitrage, its least g, and where (svi_jet.PublishedSlices)."""
    n = raw.shape[0]
    proven = np.empty(n, np.bool_)
    least = np.empty(n)
    where = np.empty(n)
    for i in range(n):
        left = raw[i, 3]
        right = left
        proven[i] = True
        if count[i] > 0:
            last = count[i] + 3
            left = knots[i, 0] + KNOT_OVERLAP * (knots[i, 1] - knots[i, 0])
            right = knots[i, last] - KNOT_OVERLAP * (knots[i, last] - knots[i, last - 1])
            proven[i] = residual_proven(raw[i], frame[i], count[i], knots[i], cubics[i]) > 0
        proven[i] = proven[i] and raw_slice_proven(raw[i], left, right)
        least[i], where[i] = least_durrleman(raw[i], frame[i], count[i], knots[i], cubics[i])
        proven[i] = proven[i] and least[i] > 0.0
    return proven, least, where
