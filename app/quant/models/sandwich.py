"""Covariance of functions of a least-squares estimate whose quotes err together: the sandwich, without its meat.

With u_i = (d vol(k_i) / d theta) / s_i, prior precision P, H = sum u_i u_i' + P and correlations
C_ij = (1 - c) [i = j] + c exp(-|z_i - z_j| / l), the sandwich of svi_uncertainty.py is

    H^-1 (sum_ij C_ij u_i u_j' + P) H^-1 = H^-1 + c H^-1 (sum_(i != j) exp(-|z_i - z_j| / l) u_i u_j') H^-1.

For a gradient g with x = H^-1 g and v_i = u_i' x, the variance is

    g' x + 2 c sum_i v_i sum_(j < i) exp(-(z_i - z_j) / l) v_j,

and since the exponential kernel is Markov the inner sums of all i cost one pass.

A parameter vector is a band and a border: coefficients of a cubic spline, SUPPORT neighbours of which are alive at a
quote, then the few parameters that every quote tells. H and its Cholesky factor keep that shape (George and Liu 1981,
chapter 4), which saves most of the work.
"""

import math

import numpy as np

from app.quant.arrays import FloatArray, IntArray
from app.quant.compiled import inner_kernel
from app.quant.models.packed_curve import SUPPORT


@inner_kernel
def sandwich_covariance(
    u: FloatArray,
    start: IntArray,
    z: FloatArray,
    prior: FloatArray,
    share: float,
    length: float,
    targets: FloatArray,
    variance: FloatArray,
    covariance: FloatArray,
) -> None:
    """Write the variances (m) of the functions whose gradients are the columns of ``targets`` (p, m), and the
    covariance (q, q) of the first q of them; ``targets`` is overwritten.

    Row i of ``u`` (n, SUPPORT + border) holds the coefficients from ``start[i]`` on and the border, at ``z[i]``,
    ascending; ``prior`` is (p, p). ``share`` is c and ``length`` is l.
    """
    n, width = u.shape
    p, m = targets.shape
    band = p - (width - SUPPORT)
    h = prior.copy()
    for i in range(n):
        for a in range(width):
            row = start[i] + a if a < SUPPORT else band + a - SUPPORT
            for b in range(a + 1):
                h[row, start[i] + b if b < SUPPORT else band + b - SUPPORT] += u[i, a] * u[i, b]
    eliminate(h, band, targets)
    q = covariance.shape[0]
    for c in range(m):
        variance[c] = 0.0
        for row in range(p):
            variance[c] += targets[row, c] * targets[row, c]
    for a in range(q):
        for b in range(q):
            covariance[a, b] = 0.0
            for row in range(p):
                covariance[a, b] += targets[row, a] * targets[row, b]
    substitute_back(h, band, targets)
    here, ahead = np.zeros(m), np.zeros(m)
    for i in range(n):
        fading = math.exp((z[i - 1] - z[i]) / length) if i > 0 else 0.0
        for c in range(m):
            ahead[c] = (ahead[c] + here[c]) * fading
            here[c] = 0.0
        for a in range(width):
            row = start[i] + a if a < SUPPORT else band + a - SUPPORT
            for c in range(m):
                here[c] += u[i, a] * targets[row, c]
        for c in range(m):
            variance[c] += 2.0 * share * here[c] * ahead[c]
        for a in range(q):
            for b in range(q):
                covariance[a, b] += share * (here[a] * ahead[b] + here[b] * ahead[a])


@inner_kernel
def first_column(row: int, band: int) -> int:
    """Return the first column of ``row`` that is not zero: a row of the band has SUPPORT - 1 neighbours before it."""
    return max(row - SUPPORT + 1, 0) if row < band else 0


@inner_kernel
def eliminate(h: FloatArray, band: int, x: FloatArray) -> None:
    """Turn the lower half of ``h`` into its Cholesky factor L and the columns of ``x`` into L^-1 x."""
    for a in range(h.shape[0]):
        first = first_column(a, band)
        for b in range(first, a + 1):
            rest = h[a, b]
            for j in range(max(first, first_column(b, band)), b):
                rest -= h[a, j] * h[b, j]
            h[a, b] = math.sqrt(rest) if a == b else rest / h[b, b]
        for j in range(first, a):
            for c in range(x.shape[1]):
                x[a, c] -= h[a, j] * x[j, c]
        for c in range(x.shape[1]):
            x[a, c] /= h[a, a]


@inner_kernel
def substitute_back(factor: FloatArray, band: int, x: FloatArray) -> None:
    """Turn the columns of ``x`` into L'^-1 x."""
    for a in range(x.shape[0] - 1, -1, -1):
        for c in range(x.shape[1]):
            x[a, c] /= factor[a, a]
        for j in range(first_column(a, band), a):
            for c in range(x.shape[1]):
                x[j, c] -= factor[a, j] * x[a, c]
