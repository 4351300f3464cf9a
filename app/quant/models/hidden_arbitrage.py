"""Arbitrage of plain SVI that hides between the scan points of a fit."""

import math

import numpy as np

from app.quant.arrays import FloatArray
from app.quant.compiled import inner_kernel, kernel
from app.quant.models.cutting_planes import LEAST_VARIANCE, Margins
from app.quant.models.local_minima import LEAST_SHARE
from app.quant.models.packed_curve import durrleman, svi_derivatives, svi_variances
from app.quant.models.scan_grid import svi_grid
from app.quant.models.svi_coordinates import least_svi_variance


@inner_kernel
def least_value(grid: FloatArray, values: FloatArray) -> float:
    """Return the lowest bottom of the parabolas through local minima and their neighbours on an ascending grid."""
    lowest = math.inf
    for j in range(1, grid.shape[0] - 1):
        if values[j] > values[j - 1] or values[j] > values[j + 1]:
            continue
        lowest = min(lowest, values[j])
        down = (values[j] - values[j - 1]) / (grid[j] - grid[j - 1])
        up = (values[j + 1] - values[j]) / (grid[j + 1] - grid[j])
        curvature = (up - down) / (grid[j + 1] - grid[j - 1])
        slope = down + curvature * (grid[j] - grid[j - 1])
        if curvature > 0.0:
            lowest = min(lowest, values[j] - 0.25 * slope * slope / curvature)
    return lowest


@inner_kernel
def least_gap(earlier: FloatArray, later: FloatArray, floor: float, grid: FloatArray, gap: FloatArray) -> float:
    """Return the least w_later/w_earlier - 1 of two slices' variances along ``grid``; ``gap`` is room for it."""
    for j in range(grid.shape[0]):
        gap[j] = later[j] / max(earlier[j], floor) - 1.0
    return least_value(grid, gap)


@kernel
def hidden_violation(svi: FloatArray, money: FloatArray, vertex: FloatArray, margins: Margins) -> float:
    """Return the summed violations of ``margins`` by slices ``svi`` (n, 5), looking where ``svi_grid`` says.

    As in a fit, but without the places of the minima: nothing is cut here.
    """
    n = money.shape[0] + vertex.shape[0]
    grids, variances = np.empty((2, n)), np.empty((2, n))
    w1, w2, other, value = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    total = 0.0
    for i in range(svi.shape[0]):
        x = svi[i]
        grid, w = grids[i % 2], variances[i % 2]
        svi_grid(x, money, vertex, grid)
        svi_derivatives(x, grid, n, w, w1, w2)
        for j in range(n):
            value[j] = durrleman(grid[j], w[j], w1[j], w2[j])
        total += max(0.0, margins.butterfly - least_value(grid, value))
        total += max(0.0, LEAST_VARIANCE - least_svi_variance(x)[1] / x[0])
        if i > 0:
            before = svi[i - 1]
            grid_before, w_before = grids[1 - i % 2], variances[1 - i % 2]
            gap = min(x[3] / before[3] - 1.0, x[4] / before[4] - 1.0)
            svi_variances(x, grid_before, n, other)
            gap = min(gap, least_gap(w_before, other, LEAST_SHARE * before[0], grid_before, value))
            svi_variances(before, grid, n, other)
            gap = min(gap, least_gap(other, w, LEAST_SHARE * before[0], grid, value))
            total += max(0.0, margins.calendar - gap)
    return total
