"""A residual that ends with arbitrage is withdrawn towards the SVI surface below it, no further than needed."""

from typing import Final

import numpy as np

from app.quant.arrays import FloatArray, IntArray
from app.quant.compiled import kernel
from app.quant.models.cutting_planes import FEASIBLE, Margins, find_minima
from app.quant.models.local_minima import Minima
from app.quant.models.scan_grid import ScanGrid
from app.quant.models.surface_problem import RESIDUAL_STAGE, SurfaceProblem

SHARES: Final = np.array([1.0, 0.97, 0.9, 0.8, 0.65, 0.5, 0.35, 0.2, 0.1])
"""Shares of the residual that are tried in turn, all of it first."""


@kernel
def withdraw(
    problem: SurfaceProblem,
    size: IntArray,
    svi: FloatArray,
    coefficients: FloatArray,
    scan: ScanGrid,
    margins: Margins,
    minima: Minima,
    out: FloatArray,
) -> float:
    """Write the largest share of ``coefficients`` that is feasible and return its violation, infinite without one.

    Variance is linear in the residual: a calendar gap of the share is the same share of the way between the gaps of
    SVI, which keeps the margin, and of the whole residual.
    """
    for share in SHARES:
        for i in range(out.shape[0]):
            for j in range(out.shape[1]):
                out[i, j] = share * coefficients[i, j]
        violation = find_minima(RESIDUAL_STAGE, svi, out, problem.knots, size, scan, margins, minima)
        if violation < FEASIBLE:
            return violation
    return np.inf
