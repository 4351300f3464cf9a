"""Local minima of Durrleman's g along a slice and of w_later/w_earlier - 1 between neighbours.

A semi-infinite constraint "f(k) >= eps for all k" is enforced at the local minima of f, found anew at every iterate:
scan, bracket, refine by successive parabolas.
"""

import math
from typing import Final, NamedTuple, cast

import numpy as np

from app.quant.arrays import FloatArray, IntArray
from app.quant.compiled import ZERO, kernel
from app.quant.models.packed_curve import MAX_COEFFICIENTS, SUPPORT, durrleman, slice_point, spline_basis
from app.quant.models.surface_objective import SVI_STAGE
from app.quant.models.svi_coordinates import geometry

BUTTERFLY: Final = cast(int, np.int64(0))
CALENDAR: Final = cast(int, np.int64(1))
"""Kinds of constraint: g of a slice, the gap of a pair."""
MAX_MINIMA: Final = 14
"""Minima kept of one scan."""
CELL_POINTS: Final = 4
"""Scan points in a knot cell of the residual, at density 1."""
RESIDUAL_VERTEX_POINTS: Final = 15
"""Scan points around the vertex, within the residual's support, at density 1."""
FIT_DENSITY: Final = 1
PROOF_DENSITY: Final = 4
"""Density of the scan that looks once more when a fit is done."""
REFINEMENTS: Final = 8
NARROW: Final = 0.08
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
        np.zeros((table, points, 3, SUPPORT)),
        np.zeros((table, points), dtype=np.int64),
        np.empty((n, 2 * points)),
        np.zeros(n, dtype=np.int64),
        np.zeros((table, 2 * points, 2, SUPPORT)),
        np.zeros((table, 2 * points, 2), dtype=np.int64),
    )


_TEMPLATES: Final = {
    density: (money_points(density), vertex_points(density)) for density in (FIT_DENSITY, PROOF_DENSITY)
}


class Minima(NamedTuple):
    """Local minima below the scan's threshold, by kind (BUTTERFLY, CALENDAR); calendar row i is the pair i - 1, i."""

    k: FloatArray
    """(2, n, MAX_MINIMA)"""
    value: FloatArray
    found: IntArray
    """(2, n)"""


@kernel
def empty_minima(n: int) -> Minima:
    """Return room for the minima of ``n`` slices."""
    return Minima(np.empty((2, n, MAX_MINIMA)), np.empty((2, n, MAX_MINIMA)), np.zeros((2, n), dtype=np.int64))


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
def thin_out(grid: FloatArray, n: int, knots: FloatArray) -> int:
    """Drop points nearer to the last kept one than NARROW of a scan cell; return how many stay."""
    kept = 0
    for j in range(n):
        k = grid[j]
        cell = knots[1] / CELL_POINTS * math.sqrt(knots[0] * knots[0] + k * k)
        if kept == 0 or k - grid[kept - 1] >= NARROW * cell:
            grid[kept] = k
            kept += 1
    return kept


@kernel
def tabulate_scan(svi: FloatArray, knots: FloatArray, scan: ScanGrid) -> None:
    """Fill the grids of all slices and pairs and the splines alive there; SVI must stay frozen afterwards."""
    pieces = np.empty((3, SUPPORT))
    for i in range(svi.shape[0]):
        scan.filled[i] = residual_grid(svi[i], knots[i], scan.density, scan.k[i])
        for j in range(scan.filled[i]):
            scan.first[i, j] = spline_basis(knots[i], scan.k[i, j], scan.basis[i, j])
        if i == 0:
            continue
        n = merge_sorted(scan.k[i - 1], scan.filled[i - 1], scan.k[i], scan.filled[i], scan.pair_k[i])
        n = thin_out(scan.pair_k[i], n, knots[i - 1] if knots[i, 3] == 0 else knots[i])
        scan.pair_filled[i] = n
        for j in range(n):
            for h in range(2):
                if knots[i - 1 + h, 3] == 0:
                    scan.pair_first[i, j, h] = -SUPPORT
                    continue
                scan.pair_first[i, j, h] = spline_basis(knots[i - 1 + h], scan.pair_k[i, j], pieces)
                for m in range(SUPPORT):
                    scan.pair_basis[i, j, h, m] = pieces[0, m]


@kernel(fastmath={"contract", "nsz", "arcp"})
def svi_variances(x: FloatArray, grid: FloatArray, n: int, w: FloatArray) -> None:
    """Write plain SVI's w on the grid."""
    y0, sigma, c, d, r0 = geometry(x)
    s2 = sigma * sigma
    base = x[0] - c * r0
    for j in range(n):
        y = grid[j] + y0
        w[j] = base + d * grid[j] + c * math.sqrt(y * y + s2)


@kernel(fastmath={"contract", "nsz", "arcp"})
def svi_derivatives(x: FloatArray, grid: FloatArray, n: int, w: FloatArray, w1: FloatArray, w2: FloatArray) -> None:
    """Write plain SVI's w, w', w'' on the grid."""
    y0, sigma, c, d, r0 = geometry(x)
    s2 = sigma * sigma
    base = x[0] - c * r0
    for j in range(n):
        y = grid[j] + y0
        r = math.sqrt(y * y + s2)
        inverse = 1.0 / r
        w[j] = base + d * grid[j] + c * r
        w1[j] = d + c * y * inverse
        w2[j] = c * s2 * inverse * inverse * inverse


@kernel
def scan_durrleman(
    stage: int, i: int, x: FloatArray, coefficients: FloatArray, count: int, scan: ScanGrid, out: FloatArray
) -> int:
    """Write g of slice ``i`` on its grid; return the number of points."""
    if stage == SVI_STAGE:
        scan.filled[i] = svi_grid(x, scan.money, scan.vertex, scan.k[i])
    n: int = scan.filled[i]
    grid = scan.k[i]
    w = np.empty(n)
    w1 = np.empty(n)
    w2 = np.empty(n)
    svi_derivatives(x, grid, n, w, w1, w2)
    if stage != SVI_STAGE:
        for j in range(n):
            first = scan.first[i, j]
            for m in range(max(0, -first), min(SUPPORT, count - first)):
                scaled = x[0] * coefficients[first + m]
                w[j] += scaled * scan.basis[i, j, 0, m]
                w1[j] += scaled * scan.basis[i, j, 1, m]
                w2[j] += scaled * scan.basis[i, j, 2, m]
    for j in range(n):
        out[j] = durrleman(grid[j], w[j], w1[j], w2[j])
    return n


@kernel
def scan_ratio(
    stage: int, i: int, svi: FloatArray, coefficients: FloatArray, knots: FloatArray, scan: ScanGrid, out: FloatArray
) -> int:
    """Write w_i/w_{i-1} - 1 on the pair's grid; return the number of points. Slice grids must be filled."""
    if stage == SVI_STAGE:
        scan.pair_filled[i] = merge_sorted(scan.k[i - 1], scan.filled[i - 1], scan.k[i], scan.filled[i], scan.pair_k[i])
    n: int = scan.pair_filled[i]
    earlier = np.empty(n)
    svi_variances(svi[i - 1], scan.pair_k[i], n, earlier)
    svi_variances(svi[i], scan.pair_k[i], n, out)
    if stage != SVI_STAGE:
        for j in range(n):
            for h in range(2):
                s = i - 1 + h
                first = scan.pair_first[i, j, h]
                bump = 0.0
                for m in range(max(0, -first), min(SUPPORT, int(knots[s, 3]) - first)):
                    bump += coefficients[s, first + m] * scan.pair_basis[i, j, h, m]
                if h == 0:
                    earlier[j] += svi[s, 0] * bump
                else:
                    out[j] += svi[s, 0] * bump
    for j in range(n):
        out[j] = out[j] / max(earlier[j], 1e-9 * svi[i - 1, 0]) - 1.0
    return n


@kernel
def probe(a: float, b: float, c: float, fa: float, fb: float, fc: float) -> float:
    """Return where to look next for the minimum bracketed by a < b < c: the parabola's vertex, kept off b."""
    p = (b - a) * (fb - fc)
    q = (b - c) * (fb - fa)
    width = c - a
    t = b
    if q != p:
        t = b - 0.5 * ((b - c) * q - (b - a) * p) / (q - p)
    if not a + 0.01 * width < t < c - 0.01 * width:
        t = b - 0.38 * (b - a) if b - a > c - b else b + 0.38 * (c - b)
    elif abs(t - b) < 0.02 * width:
        t = b - 0.05 * width if b - a > c - b else b + 0.05 * width
    return t


@kernel
def ratio_at(svi: FloatArray, coefficients: FloatArray, knots: FloatArray, i: int, k: float) -> float:
    """Return w_i(k)/w_{i-1}(k) - 1."""
    earlier = slice_point(svi[i - 1], geometry(svi[i - 1]), knots[i - 1], coefficients[i - 1], k)[0]
    later = slice_point(svi[i], geometry(svi[i]), knots[i], coefficients[i], k)[0]
    floor: float = 1e-9 * svi[i - 1, 0]
    return later / max(earlier, floor) - 1.0


@kernel
def durrleman_at(svi: FloatArray, coefficients: FloatArray, knots: FloatArray, i: int, k: float) -> float:
    """Return g of slice ``i`` at ``k``."""
    w, w1, w2 = slice_point(svi[i], geometry(svi[i]), knots[i], coefficients[i], k)
    return durrleman(k, w, w1, w2)


@kernel
def refined_minima(
    kind: int,
    svi: FloatArray,
    coefficients: FloatArray,
    knots: FloatArray,
    i: int,
    grid: FloatArray,
    values: FloatArray,
    n: int,
    threshold: float,
    slack: float,
    minima: Minima,
) -> float:
    """Refine the scan's local minima below threshold + slack, keep those below ``threshold``; return the lowest."""
    count = 0
    lowest = math.inf
    for j in range(1, n - 1):
        if values[j] > values[j - 1] or values[j] > values[j + 1] or values[j] > threshold + slack:
            continue
        if count == MAX_MINIMA or grid[j + 1] - grid[j - 1] < 1e-12:
            continue
        a, b, c = grid[j - 1], grid[j], grid[j + 1]
        fa, fb, fc = values[j - 1], values[j], values[j + 1]
        for refinement in range(REFINEMENTS):
            t = probe(a, b, c, fa, fb, fc)
            ft = (
                ratio_at(svi, coefficients, knots, i, t)
                if kind == CALENDAR
                else durrleman_at(svi, coefficients, knots, i, t)
            )
            gain = fb - ft
            if (t < b) == (ft < fb):
                c, fc = (b, fb) if ft < fb else (t, ft)
            else:
                a, fa = (b, fb) if ft < fb else (t, ft)
            if ft < fb:
                b, fb = t, ft
            if refinement >= 2 and 0.0 <= gain < 1e-8:
                break
        if fb < threshold:
            minima.k[kind, i, count] = b
            minima.value[kind, i, count] = fb
            count += 1
            lowest = min(lowest, fb)
    minima.found[kind, i] = count
    return lowest
