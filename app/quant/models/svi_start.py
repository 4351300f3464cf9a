"""Where a joint SVI fit starts: slices alone, a surface free of arbitrage by construction, or the previous one."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from app.quant.arrays import FloatArray, IntArray
from app.quant.compiled import inner_kernel, kernel
from app.quant.models.base import FitOptions
from app.quant.models.essvi import Essvi
from app.quant.models.essvi_curve import essvi_curve
from app.quant.models.quote_loss import MID, POINTS, WEIGHT, K
from app.quant.models.surface_problem import INFINITE, INVERSE_T, SLOPE_MIN, VALUE, SurfaceProblem
from app.quant.models.svi_coordinates import SLICE_SIZE, clamp, from_raw
from app.quant.models.svi_objective import svi_objective
from app.quant.models.svi_slice import fit_slice
from app.quant.smile import Smile

SLICE_ITERATIONS: Final = 50
SLICE_TOLERANCE: Final = 1e-6
VERTEX_REACH: Final = 12.0
"""Largest |m| / sigma of a start; beyond it the slice is a straight line where it is quoted."""
WING_START_MIN: Final = 2e-3
WING_START_MAX: Final = 1.9
LEVEL_SHARE: Final = 0.2
"""A start whose w(0) is below this share of the nearest quote's variance takes the quote's."""
SSVI_GROWTH: Final = 1.002
"""Least ratio of neighbouring at-the-money variances of the SSVI start, 20 times the calendar margin."""


@inner_kernel
def nearest_to_money(k: FloatArray) -> int:
    """Return the index of the smallest |k|."""
    best = 0
    for j in range(k.shape[0]):
        if abs(k[j]) < abs(k[best]):
            best = j
    return best


@kernel
def slice_starts(problem: SurfaceProblem, svi: FloatArray) -> None:
    """Write each slice's own fit by variable projection, brought into the coordinates' domain."""
    raw = np.empty(SLICE_SIZE)
    for i in range(svi.shape[0]):
        a, b = problem.offsets[i], problem.offsets[i + 1]
        t = 1.0 / problem.slices[i, INVERSE_T]
        k = problem.quotes[K, a:b]
        mid = problem.quotes[MID, a:b] / POINTS
        w = mid * mid * t
        fit_slice(k, w, problem.quotes[WEIGHT, a:b] / w, SLICE_ITERATIONS, SLICE_TOLERANCE, raw)
        left = min(max(raw[1] * (1.0 - raw[2]), WING_START_MIN), WING_START_MAX)
        right = min(max(raw[1] * (1.0 + raw[2]), WING_START_MIN), WING_START_MAX)
        raw[1] = 0.5 * (left + right)
        raw[2] = (right - left) / (left + right)
        raw[3] = min(max(raw[3], -VERTEX_REACH * raw[4]), VERTEX_REACH * raw[4])
        from_raw(raw, svi[i])
        level = w[nearest_to_money(k)]
        if svi[i, 0] <= LEVEL_SHARE * level:
            svi[i, 0] = level
        clamp(svi[i], problem.slices[i, SLOPE_MIN])


@kernel
def ssvi_starts(problem: SurfaceProblem, which: int, svi: FloatArray) -> None:
    """Write SSVI with rho = 0 and phi = 1/sqrt(theta (1 + theta)), theta the running maximum at the money.

    Gatheral and Jacquier (2014), theorems 4.1 and 4.2: theta phi < 4, theta phi^2 <= 4 and theta phi rising make it
    free of arbitrage whatever the quotes. ``which`` < 0 writes all slices, otherwise only that one.
    """
    theta = 0.0
    for i in range(svi.shape[0]):
        a, b = problem.offsets[i], problem.offsets[i + 1]
        vol = problem.quotes[MID, a + nearest_to_money(problem.quotes[K, a:b])] / POINTS
        growth = SSVI_GROWTH + 4e-4 * theta
        theta = max(vol * vol / problem.slices[i, INVERSE_T], theta * growth)
        if which >= 0 and which != i:
            continue
        phi = 1.0 / math.sqrt(theta * (1.0 + theta))
        svi[i, 0] = theta
        svi[i, 1] = 0.0
        svi[i, 2] = math.log(0.5 * theta * phi * phi)
        svi[i, 3] = 0.5 * theta * phi
        svi[i, 4] = 0.5 * theta * phi


def essvi_starts(smiles: Sequence[Smile], svi: FloatArray) -> None:
    """Write the eSSVI fit of ``smiles``: free of arbitrage and, unlike SSVI, with each expiry's own skew."""
    for i, curve in enumerate(Essvi().fit(smiles, (), FitOptions()).curves):
        raw = essvi_curve(curve.parameters()).svi
        from_raw(np.array([raw.a, raw.b, raw.rho, raw.m, raw.sigma]), svi[i])


@kernel
def replace_invalid(problem: SurfaceProblem, svi: FloatArray) -> None:
    """Replace a start that is not finite or not positive at its quotes by its SSVI slice."""
    H = np.empty((SLICE_SIZE, SLICE_SIZE))
    g = np.empty(SLICE_SIZE)
    for i in range(svi.shape[0]):
        if not svi_objective(problem, i, svi[i], VALUE, H, g) < INFINITE:
            ssvi_starts(problem, i, svi)


@kernel
def aged_start(raw: FloatArray, ratio: FloatArray, svi: FloatArray, kept: IntArray) -> None:
    """Write the previous slices ``raw`` (n, 5) at their new t: w scales by ``ratio`` = t / previous t; kept = 1."""
    for i in range(raw.shape[0]):
        if kept[i] == 0:
            continue
        from_raw(raw[i], svi[i])
        for p in range(SLICE_SIZE):
            if p == 2:
                svi[i, p] += math.log(ratio[i])
            else:
                svi[i, p] *= ratio[i]
