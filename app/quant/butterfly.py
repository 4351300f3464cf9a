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
from app.quant.bernstein import DEGREE, EPSILON, positive_up_to
from app.quant.compiled import inner_kernel, kernel
from app.quant.durrleman import durrleman_lower_bound, least_durrleman
from app.quant.margins import Margins
from app.quant.published_slices import PublishedSlices
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


@inner_kernel
def add_product(total: FloatArray, factor: float, p: FloatArray, q: FloatArray) -> FloatArray:
    """Add factor p(z) q(z) to the coefficients ``total`` (lowest power first) and return them."""
    for i in range(p.shape[0]):
        for j in range(q.shape[0]):
            total[i + j] += factor * p[i] * q[j]
    return total


@inner_kernel
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
    inner = add_product(add_product(np.zeros(5), 2.0 * sigma, p, z), sign, k, q)
    pp = add_product(np.zeros(5), 1.0, p, p)
    qqz = add_product(np.zeros(7), 1.0, add_product(np.zeros(5), 1.0, q, q), z)
    squared = add_product(np.zeros(9), 1.0, inner, inner)
    total = add_product(np.zeros(DEGREE + 1), 4.0, squared, z)
    add_product(total[1:], 8.0 * sign, p, qqz)
    add_product(total, sign, pp, qqz)
    add_product(total[3:], 64.0 * scale, pp, np.ones(1))
    return total


@inner_kernel
def stretched(k: float, m: float, sigma: float) -> float:
    """Return z = l + sqrt(l^2 + 1), l = (k - m)/sigma, without cancellation."""
    distance = (k - m) / sigma
    z: float = abs(distance) + math.sqrt(distance * distance + 1.0)
    return z if distance >= 0.0 else 1.0 / z


@kernel
def raw_slices_proven(raw: FloatArray, count: IntArray, knots: FloatArray) -> BoolArray:
    """Prove of each slice's raw SVI: w > 0, wing slopes below 2, and g > 0 outside the support of its residual."""
    proven = np.zeros(raw.shape[0], np.bool_)
    mirrored, mirrored_guard = np.empty(DEGREE + 1), np.empty(DEGREE + 1)
    for i in range(raw.shape[0]):
        a, b, rho, m, sigma = raw[i, 0], raw[i, 1], raw[i, 2], raw[i, 3], raw[i, 4]
        least = b * sigma * math.sqrt(1.0 - rho * rho)
        if not a + least > ROUNDING * (abs(a) + least):
            continue
        if b == 0.0:
            proven[i] = True
            continue
        if not b * (1.0 + abs(rho)) < LEE_SLOPE * (1.0 - ROUNDING):
            continue
        left = m
        right = m
        if count[i] > 0:
            last = count[i] + 3
            left = knots[i, 0] + KNOT_OVERLAP * (knots[i, 1] - knots[i, 0])
            right = knots[i, last] - KNOT_OVERLAP * (knots[i, last] - knots[i, last - 1])
        polynomial = durrleman_polynomial(a, b * sigma, rho, m, sigma, -1.0)
        guard = durrleman_polynomial(abs(a), b * sigma, rho, abs(m), sigma, 1.0)
        for j in range(DEGREE + 1):
            guard[j] *= POLYNOMIAL_ROUNDING
            mirrored[DEGREE - j], mirrored_guard[DEGREE - j] = polynomial[j], guard[j]
        proven[i] = positive_up_to(polynomial, guard, OVERLAP * stretched(left, m, sigma))
        if proven[i]:
            proven[i] = positive_up_to(mirrored, mirrored_guard, OVERLAP / stretched(right, m, sigma))
    return proven


@kernel
def residual_cells(
    raw: FloatArray, frame: FloatArray, count: IntArray, knots: FloatArray, cubics: FloatArray
) -> IntArray:
    """Prove w > 0 and g > 0 on the support of each slice's residual: the cells it took, -1 for "not proven"."""
    used = np.zeros(raw.shape[0], np.int64)
    start = np.empty(STACK + 1)
    stop = np.empty(STACK + 1)
    for i in range(raw.shape[0]):
        pieces = count[i] + 3 if count[i] > 0 else 0
        for piece in range(pieces):
            start[0] = knots[i, piece]
            stop[0] = knots[i, piece + 1]
            top = 1
            while top > 0 and used[i] >= 0:
                used[i] += 1
                low = start[top - 1]
                high = stop[top - 1]
                centre = 0.5 * (low + high)
                radius = max(high - centre, centre - low) * (1.0 + ROUNDING)
                jet = slice_jet(raw[i], frame[i], cubics[i], piece, centre, radius)
                bound, at_centre = durrleman_lower_bound(centre, radius, jet)
                if bound > 0.0:
                    top -= 1
                elif at_centre > 0.0 and top < STACK and used[i] < MAX_CELLS:
                    start[top] = centre
                    stop[top] = high
                    stop[top - 1] = centre
                    top += 1
                else:
                    used[i] = -1
            if used[i] < 0:
                break
    return used


def butterfly_margins(slices: PublishedSlices) -> Margins:
    """Return for every slice: proven free of butterfly arbitrage, its least g, and where."""
    s = slices
    least, where = least_durrleman(s.raw, s.frame, s.count, s.knots, s.cubics)
    proven = raw_slices_proven(s.raw, s.count, s.knots)
    proven &= residual_cells(s.raw, s.frame, s.count, s.knots, s.cubics) >= 0
    return Margins(proven, least, where)
