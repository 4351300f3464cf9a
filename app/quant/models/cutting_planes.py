"""No-arbitrage constraints of a surface, cut at their exact local minima and linearised there (constraint_rows.py).

Butterfly: g(k) >= butterfly margin. Calendar: w_later(k)/w_earlier(k) - 1 >= calendar margin, and the same for the
ratio of the wing slopes, its limits at infinity. Domain: least variance above a share of w(0), wings within bounds.
"""

from typing import Final, NamedTuple

import numpy as np

from app.quant.arrays import FloatArray, IntArray
from app.quant.compiled import inner_kernel
from app.quant.models.local_minima import (
    BUTTERFLY,
    CALENDAR,
    Minima,
    cannot_meet,
    refined_minima,
    scan_durrleman,
    scan_ratio,
)
from app.quant.models.scan_grid import ScanGrid, svi_grid
from app.quant.models.surface_problem import SVI_STAGE
from app.quant.models.svi_coordinates import least_svi_variance

MARGIN_BUTTERFLY: Final = 1e-3
MARGIN_CALENDAR: Final = 1e-4
"""Least g and least relative calendar gap of a fitted surface: what rounding to 12 digits and the certificate's
interval arithmetic may eat, a thousand times over."""
LEAST_VARIANCE: Final = 1e-3
"""Smallest variance of a slice in units of its w(0)."""
FEASIBLE: Final = 1e-5
"""Sum of violations below which a surface counts as feasible: a tenth of the smaller margin."""

SVI_BUTTERFLY_NEAR, SVI_CALENDAR_NEAR = 0.06, 0.02
RESIDUAL_BUTTERFLY_NEAR, RESIDUAL_CALENDAR_NEAR = 0.06, 0.015
"""Minima below these values become rows: those that a step could bring to the margin."""
BUTTERFLY_SLACK, CALENDAR_SLACK = 0.06, 0.01
"""How far above that a scanned minimum may lie and still be refined."""


class Margins(NamedTuple):
    """What the constraints must keep."""

    butterfly: float
    calendar: float


@inner_kernel
def find_minima(
    stage: int,
    svi: FloatArray,
    coefficients: FloatArray,
    knots: FloatArray,
    size: IntArray,
    scan: ScanGrid,
    margins: Margins,
    minima: Minima,
) -> float:
    """Fill ``minima`` where a slice moves (size > 0); return the sum of the violations."""
    n = svi.shape[0]
    svi_stage = stage == SVI_STAGE
    butterfly_near = SVI_BUTTERFLY_NEAR if svi_stage else RESIDUAL_BUTTERFLY_NEAR
    calendar_near = SVI_CALENDAR_NEAR if svi_stage else RESIDUAL_CALENDAR_NEAR
    values = np.empty(scan.pair_k.shape[1])
    total = 0.0
    for i in range(n):
        for kind in range(2):
            minima.found[kind, i] = 0
            minima.violation[kind, i] = 0.0
        if svi_stage:
            scan.filled[i] = svi_grid(svi[i], scan.money, scan.vertex, scan.k[i])
        if size[i] > 0:
            points = scan_durrleman(stage, i, svi[i], coefficients[i], knots[i], scan, values)
            lowest = refined_minima(
                BUTTERFLY,
                svi,
                coefficients,
                knots,
                i,
                scan.k[i],
                values,
                points,
                butterfly_near,
                BUTTERFLY_SLACK,
                minima,
            )
            short = max(0.0, margins.butterfly - lowest)
            if svi_stage:
                short += max(0.0, LEAST_VARIANCE - least_svi_variance(svi[i])[1] / svi[i, 0])
            minima.violation[BUTTERFLY, i] = short
            total += short
        if i == 0 or (size[i] == 0 and size[i - 1] == 0):
            continue
        if not svi_stage and cannot_meet(i, svi, coefficients, knots, scan, calendar_near + CALENDAR_SLACK):
            continue
        points = scan_ratio(stage, i, svi, coefficients, knots, scan, values)
        lowest = refined_minima(
            CALENDAR, svi, coefficients, knots, i, scan.pair_k[i], values, points, calendar_near, CALENDAR_SLACK, minima
        )
        if svi_stage:
            for p in range(3, 5):
                lowest = min(lowest, svi[i, p] / svi[i - 1, p] - 1.0)
        minima.violation[CALENDAR, i] = max(0.0, margins.calendar - lowest)
        total += minima.violation[CALENDAR, i]
    return total
