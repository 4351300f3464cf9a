"""Local minima of Durrleman's g along a slice and of w_later/w_earlier - 1 between neighbours.

A semi-infinite constraint "f(k) >= eps for all k" is enforced at the local minima of f, found anew at every iterate:
scan, bracket, refine by successive parabolas.
"""

import math
from typing import Final, NamedTuple, cast

import numpy as np

from app.quant.arrays import FloatArray, IntArray
from app.quant.compiled import inner_kernel, kernel
from app.quant.models.packed_curve import (
    MAX_COEFFICIENTS,
    SUPPORT,
    add_residual,
    add_residual_derivatives,
    durrleman,
    slice_point,
    spline_pieces_by_cell,
    svi_derivatives,
    svi_variances,
)
from app.quant.models.scan_grid import ScanGrid, merge_sorted, tabulate_pair
from app.quant.models.surface_problem import SVI_STAGE
from app.quant.models.svi_coordinates import Geometry, geometry, least_svi_variance

BUTTERFLY: Final = cast(int, np.int64(0))
CALENDAR: Final = cast(int, np.int64(1))
"""Kinds of constraint: g of a slice, the gap of a pair."""
MAX_MINIMA: Final = 14
"""Minima kept of one scan."""
REFINEMENTS: Final = 8
LEAST_SHARE: Final = 1e-9
"""Share of w(0) that an earlier slice's variance is taken to be at least: a gap in units of none is no number."""


class Minima(NamedTuple):
    """Local minima below the scan's threshold, by kind (BUTTERFLY, CALENDAR); calendar row i is the pair i - 1, i."""

    k: FloatArray
    """(2, n, MAX_MINIMA)"""
    value: FloatArray
    found: IntArray
    """(2, n)"""
    violation: FloatArray
    """(2, n): how far the lowest is below its margin, 0 above."""


@kernel
def empty_minima(n: int) -> Minima:
    """Return room for the minima of ``n`` slices."""
    return Minima(
        np.empty((2, n, MAX_MINIMA)), np.empty((2, n, MAX_MINIMA)), np.zeros((2, n), dtype=np.int64), np.zeros((2, n))
    )


@inner_kernel
def scan_durrleman(
    stage: int, i: int, x: FloatArray, coefficients: FloatArray, knots: FloatArray, scan: ScanGrid, out: FloatArray
) -> int:
    """Write g of slice ``i`` on its grid, which must be filled; return the number of points."""
    n: int = scan.filled[i]
    grid = scan.k[i]
    jet = np.empty((3, n))
    w, w1, w2 = jet[0], jet[1], jet[2]
    if stage == SVI_STAGE:
        svi_derivatives(x, grid, n, w, w1, w2)
    else:
        for p in range(3):
            for j in range(n):
                jet[p, j] = scan.plain[i, p, j]
        count = int(knots[3])
        cubics = np.empty((count + 3, SUPPORT))
        spline_pieces_by_cell(coefficients, count, cubics)
        add_residual_derivatives(cubics, count, x[0], scan.place[i], scan.stretch[i], n, w, w1, w2)
    for j in range(n):
        out[j] = durrleman(grid[j], w[j], w1[j], w2[j])
    return n


@inner_kernel
def cannot_meet(
    i: int, svi: FloatArray, coefficients: FloatArray, knots: FloatArray, scan: ScanGrid, limit: float
) -> bool:
    """Tell whether residuals this small keep the gap of the pair i - 1, i above ``limit`` without looking.

    B-splines sum to at most 1, so a residual moves w by at most max|c| w(0), relative to w by w(0)/min w times that.
    """
    factor = 1.0 + scan.pair_gap[i]
    for h in range(2):
        s = i - 1 + h
        swing = 0.0
        for j in range(int(knots[s, 3])):
            swing = max(swing, abs(coefficients[s, j]))
        swing *= svi[s, 0] / max(least_svi_variance(svi[s])[1], 1e-12 * svi[s, 0])
        factor = factor / (1.0 + swing) if h == 0 else factor * (1.0 - swing)
    return bool(factor - 1.0 > limit)


@inner_kernel
def scan_ratio(
    stage: int, i: int, svi: FloatArray, coefficients: FloatArray, knots: FloatArray, scan: ScanGrid, out: FloatArray
) -> int:
    """Write w_i/w_{i-1} - 1 on the pair's grid; return the number of points. Slice grids must be filled."""
    if stage == SVI_STAGE:
        scan.pair_filled[i] = merge_sorted(scan.k[i - 1], scan.filled[i - 1], scan.k[i], scan.filled[i], scan.pair_k[i])
    else:
        tabulate_pair(i, knots, scan)
    n: int = scan.pair_filled[i]
    earlier = np.empty(n)
    if stage == SVI_STAGE:
        svi_variances(svi[i - 1], scan.pair_k[i], n, earlier)
        svi_variances(svi[i], scan.pair_k[i], n, out)
    else:
        cubics = np.empty((MAX_COEFFICIENTS + 3, SUPPORT))
        for h in range(2):
            s = i - 1 + h
            w = earlier if h == 0 else out
            for j in range(n):
                w[j] = scan.pair_plain[i, h, j]
            count = int(knots[s, 3])
            spline_pieces_by_cell(coefficients[s], count, cubics)
            add_residual(cubics, count, svi[s, 0], scan.pair_place[i, h], n, w)
    for j in range(n):
        out[j] = out[j] / max(earlier[j], LEAST_SHARE * svi[i - 1, 0]) - 1.0
    return n


@inner_kernel
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


@inner_kernel
def constrained_value(
    kind: int,
    k: float,
    x: FloatArray,
    shape: Geometry,
    knots: FloatArray,
    coefficients: FloatArray,
    earlier_x: FloatArray,
    earlier_shape: Geometry,
    earlier_knots: FloatArray,
    earlier_coefficients: FloatArray,
) -> float:
    """Return g of a slice, or the gap w/w_earlier - 1 to the earlier one, at ``k``; shapes are ``geometry(x)``."""
    w, w1, w2 = slice_point(x, shape, knots, coefficients, k)
    if kind == BUTTERFLY:
        return durrleman(k, w, w1, w2)
    earlier = slice_point(earlier_x, earlier_shape, earlier_knots, earlier_coefficients, k)[0]
    floor: float = LEAST_SHARE * earlier_x[0]
    return w / max(earlier, floor) - 1.0


@inner_kernel
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
    before = max(i - 1, 0)
    x, own_knots, own = svi[i], knots[i], coefficients[i]
    earlier_x, earlier_knots, earlier = svi[before], knots[before], coefficients[before]
    for j in range(1, n - 1):
        if values[j] > values[j - 1] or values[j] > values[j + 1] or values[j] > threshold + slack:
            continue
        lowest = min(lowest, values[j])
        if count == MAX_MINIMA or grid[j + 1] - grid[j - 1] < 1e-12:
            continue
        shape, earlier_shape = geometry(x), geometry(earlier_x)
        a, b, c = grid[j - 1], grid[j], grid[j + 1]
        fa, fb, fc = values[j - 1], values[j], values[j + 1]
        for refinement in range(REFINEMENTS):
            t = probe(a, b, c, fa, fb, fc)
            ft = constrained_value(kind, t, x, shape, own_knots, own, earlier_x, earlier_shape, earlier_knots, earlier)
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
