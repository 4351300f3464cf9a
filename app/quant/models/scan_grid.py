"""Where the constraints of a surface are scanned: points dense at the money, at each vertex and on a residual."""

import math
from typing import Final, NamedTuple

import numpy as np

from app.quant.arrays import FloatArray, IntArray
from app.quant.compiled import ZERO, kernel
from app.quant.models.packed_curve import MAX_COEFFICIENTS, SUPPORT, spline_basis
from app.quant.models.surface_objective import SVI_STAGE
from app.quant.models.svi_coordinates import geometry

CELL_POINTS: Final = 4
"""Scan points in a knot cell of the residual, at density 1."""
RESIDUAL_VERTEX_POINTS: Final = 15
"""Scan points around the vertex, within the residual's support, at density 1."""
FIT_DENSITY: Final = 1
PROOF_DENSITY: Final = 4
"""Density of the scan that looks once more when a fit is done."""
NARROW: Final = 0.5
"""Points of a pair's grid closer than this share of a scan cell are one."""


class ScanGrid(NamedTuple):
    """Where slices and pairs are scanned; the splines alive there when a residual moves."""

    density: int
    money: FloatArray
    """Points around the money in units of sqrt(w(0)), ascending."""
    vertex: FloatArray
    """Points around the vertex m of the hyperbola in units of sigma, ascending."""
    k: FloatArray
    """(n, points)"""
    filled: IntArray
    """(n): points in use."""
    basis: FloatArray
    """(n, points, 3, SUPPORT)"""
    first: IntArray
    """(n, points)"""
    pair_k: FloatArray
    """(n, 2 points): row i is the pair of slices i - 1 and i."""
    pair_filled: IntArray
    pair_gap: FloatArray
    """(n): least gap of the two plain SVIs over the pair's grid; only in the residual's stage."""
    pair_ready: IntArray
    """(n): 1 once the pair's splines are tabulated."""
    pair_basis: FloatArray
    """(n, 2 points, 2, SUPPORT): the earlier and the later slice."""
    pair_first: IntArray
    """(n, 2 points, 2)"""


def money_points(density: int) -> FloatArray:
    """Return points dense at 0, out to 370 in even steps of ln, and from there in factors of 4 to 100,000."""
    near = 0.25 * np.sinh(np.linspace(-8.0, 8.0, 40 * density + 1))
    far = near[-1] * 4.0 ** np.arange(1.0, 5.0)
    return np.concatenate([-far[::-1], near, far])


def vertex_points(density: int) -> FloatArray:
    """Return points dense at 0, out to 22."""
    return np.asarray(0.5 * np.sinh(np.linspace(-4.5, 4.5, 22 * density + 1)))


def empty_scan(n: int, stage: int, density: int = FIT_DENSITY) -> ScanGrid:
    """Return an unfilled grid for ``n`` slices; only the residual's stage has tables."""
    residual = stage != SVI_STAGE
    money, vertex = _TEMPLATES[density]
    cells = CELL_POINTS * density * (MAX_COEFFICIENTS + 3) + 1
    points = cells + RESIDUAL_VERTEX_POINTS * density if residual else money.shape[0] + vertex.shape[0]
    table = n if residual else 0
    return ScanGrid(
        density,
        money,
        vertex,
        np.empty((n, points)),
        np.zeros(n, dtype=np.int64),
        np.empty((table, points, 3, SUPPORT)),
        np.empty((table, points), dtype=np.int64),
        np.empty((n, 2 * points)),
        np.zeros(n, dtype=np.int64),
        np.zeros(n),
        np.zeros(n, dtype=np.int64),
        np.empty((table, 2 * points, 2, SUPPORT)),
        np.empty((table, 2 * points, 2), dtype=np.int64),
    )


_TEMPLATES: Final = {
    density: (money_points(density), vertex_points(density)) for density in (FIT_DENSITY, PROOF_DENSITY)
}


@kernel(fastmath={"contract", "nsz", "arcp"})
def svi_variances(x: FloatArray, grid: FloatArray, n: int, w: FloatArray) -> None:
    """Write plain SVI's w on the grid."""
    y0, sigma, c, d, r0 = geometry(x)
    s2 = sigma * sigma
    base = x[0] - c * r0
    for j in range(n):
        y = grid[j] + y0
        w[j] = base + d * grid[j] + c * math.sqrt(y * y + s2)


@kernel
def merge_sorted(a: FloatArray, n: int, b: FloatArray, m: int, out: FloatArray) -> int:
    """Merge two ascending arrays into ``out``; return n + m."""
    i = 0
    j = 0
    for c in range(n + m):
        if j >= m or (i < n and a[i] <= b[j]):
            out[c] = a[i]
            i += 1
        else:
            out[c] = b[j]
            j += 1
    return n + m


@kernel
def svi_grid(x: FloatArray, money: FloatArray, vertex: FloatArray, out: FloatArray) -> int:
    """Write the scan points of a plain SVI slice, ascending."""
    y0, sigma, _, _, _ = geometry(x)
    sd = math.sqrt(x[0])
    return merge_sorted(sd * money, money.shape[0], -y0 + sigma * vertex, vertex.shape[0], out)


@kernel
def residual_grid(x: FloatArray, knots: FloatArray, density: int, out: FloatArray) -> int:
    """Write the scan points over a residual's support, ascending; none without a residual."""
    count = int(knots[3])
    if count == 0:
        return 0
    y0, sigma, _, _, _ = geometry(x)
    per_cell = CELL_POINTS * density
    cells = per_cell * (count + 3)
    points = np.empty(cells + 1)
    for j in range(cells + 1):
        points[j] = knots[0] * math.sinh(knots[1] * (knots[2] - 2.0 + j / per_cell))
    around = RESIDUAL_VERTEX_POINTS * density
    vertex = np.empty(around)
    inside = ZERO
    for j in range(around):
        k = -y0 + 0.5 * sigma * math.sinh(6.0 * j / (around - 1) - 3.0)
        if points[0] < k < points[cells]:
            vertex[inside] = k
            inside += 1
    return merge_sorted(points, cells + 1, vertex, inside, out)


@kernel
def thin_out(grid: FloatArray, n: int, density: int, knots: FloatArray) -> int:
    """Drop points nearer to the last kept one than NARROW of a scan cell; return how many stay."""
    kept = 0
    for j in range(n):
        k = grid[j]
        cell = knots[1] / (CELL_POINTS * density) * math.sqrt(knots[0] * knots[0] + k * k)
        if kept == 0 or k - grid[kept - 1] >= NARROW * cell:
            grid[kept] = k
            kept += 1
    return kept


@kernel
def tabulate_scan(svi: FloatArray, knots: FloatArray, scan: ScanGrid) -> None:
    """Fill the grids of all slices and pairs and the slices' splines; SVI must stay frozen afterwards."""
    for i in range(svi.shape[0]):
        scan.filled[i] = residual_grid(svi[i], knots[i], scan.density, scan.k[i])
        for j in range(scan.filled[i]):
            scan.first[i, j] = spline_basis(knots[i], scan.k[i, j], scan.basis[i, j])
        if i == 0:
            continue
        n = merge_sorted(scan.k[i - 1], scan.filled[i - 1], scan.k[i], scan.filled[i], scan.pair_k[i])
        n = thin_out(scan.pair_k[i], n, scan.density, knots[i - 1] if knots[i, 3] == 0 else knots[i])
        scan.pair_filled[i] = n
        earlier = np.empty(n)
        later = np.empty(n)
        svi_variances(svi[i - 1], scan.pair_k[i], n, earlier)
        svi_variances(svi[i], scan.pair_k[i], n, later)
        gap = math.inf
        for j in range(n):
            gap = min(gap, later[j] / earlier[j] - 1.0)
        scan.pair_gap[i] = gap


@kernel
def tabulate_pair(i: int, knots: FloatArray, scan: ScanGrid) -> None:
    """Write the splines alive on the grid of the pair i - 1, i, unless that is done."""
    if scan.pair_ready[i] == 1:
        return
    scan.pair_ready[i] = 1
    pieces = np.empty((3, SUPPORT))
    for h in range(2):
        empty = knots[i - 1 + h, 3] == 0
        for j in range(scan.pair_filled[i]):
            if empty:
                scan.pair_first[i, j, h] = -SUPPORT
                continue
            scan.pair_first[i, j, h] = spline_basis(knots[i - 1 + h], scan.pair_k[i, j], pieces)
            for m in range(SUPPORT):
                scan.pair_basis[i, j, h, m] = pieces[0, m]
