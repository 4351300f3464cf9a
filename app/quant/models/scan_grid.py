"""Where the constraints of a surface are scanned: points dense at the money, at each vertex and on a residual."""

import math
from typing import Final, NamedTuple

import numpy as np

from app.quant.arrays import FloatArray, IntArray
from app.quant.compiled import ZERO, inner_kernel, kernel
from app.quant.models.packed_curve import MAX_COEFFICIENTS, knot_place, knot_places, svi_derivatives, svi_variances
from app.quant.models.surface_problem import SVI_STAGE
from app.quant.models.svi_coordinates import geometry

CELL_POINTS: Final = 4
"""Scan points in a knot cell of the residual, at density 1."""
RESIDUAL_VERTEX_POINTS: Final = 15
"""Scan points around the vertex, within the residual's support, at density 1."""
FIT_DENSITY: Final = 1
PROOF_DENSITY: Final = 4
"""Density of the scan that looks once more when a fit is done."""
BEYOND: Final = -100.0
"""A place in knot cells where no spline lives."""


class ScanGrid(NamedTuple):
    """Where slices and pairs are scanned, and what does not change there while only a residual moves."""

    density: int
    money: FloatArray
    """Points around the money in units of sqrt(w(0)), ascending."""
    vertex: FloatArray
    """Points around the vertex m of the hyperbola in units of sigma, ascending."""
    k: FloatArray
    """(n, points)"""
    filled: IntArray
    """(n): points in use."""
    place: FloatArray
    """(n, points): the point in knot cells of the slice's residual."""
    stretch: FloatArray
    """(n, 2, points): the first and second derivative of the place in k."""
    plain: FloatArray
    """(n, 3, points): w, w', w'' of plain SVI."""
    pair_k: FloatArray
    """(n, 2 points): row i is the pair of slices i - 1 and i."""
    pair_filled: IntArray
    pair_place: FloatArray
    """(n, 2, 2 points): the point in knot cells of the earlier and of the later residual."""
    pair_plain: FloatArray
    """(n, 2, 2 points): w of plain SVI of the earlier and of the later slice."""
    pair_gap: FloatArray
    """(n): least gap of the two plain SVIs over the pair's grid; only in the residual's stage."""
    pair_ready: IntArray
    """(n): 1 once the places in the earlier residual are tabulated."""


def money_points(density: int) -> FloatArray:
    """Return points dense at 0, out to 370 in even steps of ln, and from there in factors of 4 to 100,000."""
    near = 0.25 * np.sinh(np.linspace(-8.0, 8.0, 40 * density + 1))
    far = near[-1] * 4.0 ** np.arange(1.0, 5.0)
    return np.concatenate([-far[::-1], near, far])


def vertex_points(density: int) -> FloatArray:
    """Return points dense at 0, out to 22."""
    return np.asarray(0.5 * np.sinh(np.linspace(-4.5, 4.5, 22 * density + 1)))


def residual_vertex_points(density: int) -> FloatArray:
    """Return points dense at 0, out to 5."""
    return np.asarray(0.5 * np.sinh(np.linspace(-3.0, 3.0, RESIDUAL_VERTEX_POINTS * density)))


def empty_scan(n: int, stage: int, density: int = FIT_DENSITY) -> ScanGrid:
    """Return an unfilled grid for ``n`` slices; only the residual's stage has tables."""
    residual = stage != SVI_STAGE
    money, vertex, residual_vertex = _TEMPLATES[density]
    cells = CELL_POINTS * density * (MAX_COEFFICIENTS + 3) + 1
    points = cells + residual_vertex.shape[0] if residual else money.shape[0] + vertex.shape[0]
    table = n if residual else 0
    return ScanGrid(
        density,
        money,
        residual_vertex if residual else vertex,
        np.empty((n, points)),
        np.zeros(n, dtype=np.int64),
        np.empty((table, points)),
        np.empty((table, 2, points)),
        np.empty((table, 3, points)),
        np.empty((n, 2 * points)),
        np.zeros(n, dtype=np.int64),
        np.empty((table, 2, 2 * points)),
        np.empty((table, 2, 2 * points)),
        np.zeros(n),
        np.zeros(n, dtype=np.int64),
    )


def scan_template(density: int) -> tuple[FloatArray, FloatArray]:
    """Return a plain SVI slice's scan points: around the money and around the vertex, as in ScanGrid."""
    return _TEMPLATES[density][:2]


_TEMPLATES: Final = {
    density: (money_points(density), vertex_points(density), residual_vertex_points(density))
    for density in (FIT_DENSITY, PROOF_DENSITY)
}


@inner_kernel
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


@inner_kernel
def svi_grid(x: FloatArray, money: FloatArray, vertex: FloatArray, out: FloatArray) -> int:
    """Write the scan points of a plain SVI slice, ascending."""
    y0, sigma, _, _, _ = geometry(x)
    sd = math.sqrt(x[0])
    return merge_sorted(sd * money, money.shape[0], -y0 + sigma * vertex, vertex.shape[0], out)


@inner_kernel
def residual_grid(x: FloatArray, knots: FloatArray, density: int, vertex: FloatArray, out: FloatArray) -> int:
    """Write the scan points over a residual's support in its knot cells, ascending; none without a residual."""
    count = int(knots[3])
    if count == 0:
        return 0
    y0, sigma, _, _, _ = geometry(x)
    per_cell = CELL_POINTS * density
    cells = np.empty(per_cell * (count + 3) + 1)
    for j in range(cells.shape[0]):
        cells[j] = j / per_cell - 2.0
    around = np.empty(vertex.shape[0])
    inside = ZERO
    for j in range(vertex.shape[0]):
        place = knot_place(knots, -y0 + sigma * vertex[j])
        if -2.0 < place < count + 1.0:
            around[inside] = place
            inside += 1
    return merge_sorted(cells, cells.shape[0], around, inside, out)


@inner_kernel
def tabulate_slice(i: int, svi: FloatArray, knots: FloatArray, scan: ScanGrid) -> None:
    """Fill the grid of slice ``i`` and what plain SVI is on it."""
    n = residual_grid(svi[i], knots[i], scan.density, scan.vertex, scan.place[i])
    scan.filled[i] = n
    scale, spacing, first = knots[i, 0], knots[i, 1], knots[i, 2]
    for j in range(n):
        growth = math.exp(spacing * (first + scan.place[i, j]))
        shrink = 1.0 / growth
        k = 0.5 * scale * (growth - shrink)
        inverse_root = 2.0 / (scale * (growth + shrink))
        scan.k[i, j] = k
        scan.stretch[i, 0, j] = inverse_root / spacing
        scan.stretch[i, 1, j] = -k * inverse_root * inverse_root * scan.stretch[i, 0, j]
    svi_derivatives(svi[i], scan.k[i], n, scan.plain[i, 0], scan.plain[i, 1], scan.plain[i, 2])


@inner_kernel
def splice_pair(i: int, scan: ScanGrid) -> int:
    """Write the grid of the pair i - 1, i: the later slice's, and of the earlier one what lies beyond."""
    earlier, later, out = scan.k[i - 1], scan.k[i], scan.pair_k[i]
    m, n = scan.filled[i - 1], scan.filled[i]
    count = 0
    for j in range(m):
        if n == 0 or earlier[j] < later[0]:
            out[count] = earlier[j]
            scan.pair_place[i, 1, count] = BEYOND
            count += 1
    for j in range(n):
        out[count] = later[j]
        scan.pair_place[i, 1, count] = scan.place[i, j]
        count += 1
    for j in range(m):
        if n > 0 and earlier[j] > later[n - 1]:
            out[count] = earlier[j]
            scan.pair_place[i, 1, count] = BEYOND
            count += 1
    return count


@kernel
def tabulate_scan(svi: FloatArray, knots: FloatArray, scan: ScanGrid) -> None:
    """Fill the grids of all slices and pairs and what plain SVI is on them; SVI must stay frozen afterwards."""
    for i in range(svi.shape[0]):
        tabulate_slice(i, svi, knots, scan)
        if i == 0:
            continue
        n = splice_pair(i, scan)
        scan.pair_filled[i] = n
        earlier, later = scan.pair_plain[i, 0], scan.pair_plain[i, 1]
        svi_variances(svi[i - 1], scan.pair_k[i], n, earlier)
        svi_variances(svi[i], scan.pair_k[i], n, later)
        gap = math.inf
        for j in range(n):
            gap = min(gap, later[j] / earlier[j] - 1.0)
        scan.pair_gap[i] = gap


@inner_kernel
def tabulate_pair(i: int, knots: FloatArray, scan: ScanGrid) -> None:
    """Write the places of the grid of the pair i - 1, i in the earlier residual, unless that is done."""
    if scan.pair_ready[i] == 1:
        return
    scan.pair_ready[i] = 1
    if knots[i - 1, 3] > 0:
        knot_places(knots[i - 1], scan.pair_k[i], scan.pair_filled[i], scan.pair_place[i, 0])
    else:
        for j in range(scan.pair_filled[i]):
            scan.pair_place[i, 0, j] = BEYOND
