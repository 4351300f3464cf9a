"""The quadratic program of one SQP step, solved through its dual.

    minimise 1/2 p' H p + g' p   subject to   C p >= b,

H block diagonal with one block a slice; a constraint row touches one slice or two neighbours, so C couples the blocks
only through the rows. With M = C H^-1 C' and q = b + C H^-1 g the dual is the nonnegative quadratic program
min 1/2 l' M l - q' l, l >= 0 (nonnegative_dual.py), and p = H^-1 (C' l - g).
"""

import math

import numpy as np

from app.quant.arrays import FloatArray, IntArray
from app.quant.compiled import inner_kernel
from app.quant.models.nonnegative_dual import nonnegative_dual


@inner_kernel
def factor_blocks(H: FloatArray, size: IntArray, band: int, damping: float, L: FloatArray) -> None:
    """Write the Cholesky factors of the blocks H_i + damping diag(H_i); only lower triangles and bands are read."""
    for i in range(size.shape[0]):
        for r in range(size[i]):
            start = max(r - band, 0)
            for c in range(start, r + 1):
                total = H[i, r, c]
                if r == c:
                    total += damping * total + 1e-10
                for z in range(start, c):
                    total -= L[i, r, z] * L[i, c, z]
                if r == c:
                    L[i, r, r] = math.sqrt(max(total, 1e-14 * H[i, r, r] + 1e-14))
                else:
                    L[i, r, c] = total / L[i, c, c]


@inner_kernel
def forward_substitute(L: FloatArray, rhs: FloatArray, n: int, band: int, out: FloatArray) -> None:
    """Solve L out = rhs for a lower triangular n x n block of that bandwidth."""
    for r in range(n):
        total = rhs[r]
        for z in range(max(r - band, 0), r):
            total -= L[r, z] * out[z]
        out[r] = total / L[r, r]


@inner_kernel
def back_substitute(L: FloatArray, rhs: FloatArray, n: int, band: int, out: FloatArray) -> None:
    """Solve L' out = rhs for a lower triangular n x n block of that bandwidth."""
    for r in range(n - 1, -1, -1):
        total = rhs[r]
        for z in range(r + 1, min(r + band + 1, n)):
            total -= L[z, r] * out[z]
        out[r] = total / L[r, r]


@inner_kernel
def dual_matrix(
    Y: FloatArray, U: FloatArray, row_slice: IntArray, rhs: FloatArray, size: IntArray, M: FloatArray, q: FloatArray
) -> None:
    """Write M = Y Y' and q = b - Y U over rows; row a occupies the blocks row_slice[a] - 1 and row_slice[a]."""
    n = size.shape[0]
    for a in range(rhs.shape[0]):
        total = rhs[a]
        for h in range(2):
            i = row_slice[a] - 1 + h
            if 0 <= i < n:
                for r in range(size[i]):
                    total -= Y[a, h, r] * U[i, r]
        q[a] = total
        for b in range(a + 1):
            total = 0.0
            for h in range(2):
                i = row_slice[a] - 1 + h
                g = i - row_slice[b] + 1
                if 0 <= i < n and 0 <= g <= 1:
                    for r in range(size[i]):
                        total += Y[a, h, r] * Y[b, g, r]
            M[a, b] = total
            M[b, a] = total


@inner_kernel
def scaled_dual(M: FloatArray, q: FloatArray, multipliers: FloatArray) -> None:
    """Write the multipliers of the dual (M, q), solved with its rows scaled to a unit diagonal; both are spent."""
    m = q.shape[0]
    scale = np.empty(m)
    for a in range(m):
        scale[a] = 1.0 / math.sqrt(M[a, a] + 1e-14)
    for a in range(m):
        q[a] *= scale[a]
        for b in range(m):
            M[a, b] *= scale[a] * scale[b]
    nonnegative_dual(M, q, multipliers, m)
    for a in range(m):
        multipliers[a] *= scale[a]


@inner_kernel
def block_step(
    H: FloatArray,
    g: FloatArray,
    size: IntArray,
    band: int,
    damping: float,
    rows: FloatArray,
    row_slice: IntArray,
    rhs: FloatArray,
    step: FloatArray,
    multipliers: FloatArray,
) -> float:
    """Write the step p (slices, parameters) and the rows' multipliers; return -g' p - p' H p / 2, what p promises.

    ``H`` (slices, P, P), zero more than ``band`` places off its diagonals, ``g`` (slices, P); slice i has ``size[i]``
    free parameters, 0 for a frozen one. ``rows`` (rows, 2, P) holds a row's gradient in slices row_slice - 1 and
    row_slice, ``rhs`` its b.
    """
    n, P = g.shape
    m = rhs.shape[0]
    L = np.empty((n, P, P))
    U = np.empty((n, P))
    Y = np.empty((m, 2, P))
    M = np.empty((m, m))
    q = np.empty(m)
    factor_blocks(H, size, band, damping, L)
    for i in range(n):
        forward_substitute(L[i], -g[i], size[i], band, U[i])
    for a in range(m):
        for h in range(2):
            i = row_slice[a] - 1 + h
            if 0 <= i < n:
                forward_substitute(L[i], rows[a, h], size[i], band, Y[a, h])
    dual_matrix(Y, U, row_slice, rhs, size, M, q)
    scaled_dual(M, q, multipliers)
    for a in range(m):
        if multipliers[a] > 0.0:
            for h in range(2):
                i = row_slice[a] - 1 + h
                if 0 <= i < n:
                    for r in range(size[i]):
                        U[i, r] += multipliers[a] * Y[a, h, r]
    promised = 0.0
    for i in range(n):
        back_substitute(L[i], U[i], size[i], band, step[i])
        for r in range(size[i]):
            promised -= g[i, r] * step[i, r] + 0.5 * U[i, r] * U[i, r]
    return promised
