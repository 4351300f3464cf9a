"""Published SVI curves one upon another, so that points on any of them are evaluated in one call."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from app.quant.arrays import FloatArray, IntArray
from app.quant.compiled import kernel
from app.quant.models.svi_coordinates import SLICE_SIZE
from app.quant.models.svi_curve import SviCurve, residual_value


class StackedSvi(NamedTuple):
    """Numbers of n curves: ``raw`` (n, 5) is a, b, rho, m, sigma; ``knots`` (n, 4) scale, spacing, first and count of
    the residual, count 0 without one; ``coefficients`` (n, most of any residual)."""

    raw: FloatArray
    knots: FloatArray
    coefficients: FloatArray

    @classmethod
    def of(cls, curves: Sequence[SviCurve]) -> "StackedSvi":
        """Stack ``curves``."""
        raw = np.array([(c.a, c.b, c.rho, c.m, c.sigma) for c in curves]).reshape(-1, SLICE_SIZE)
        knots = np.zeros((len(curves), 4))
        coefficients = np.zeros((len(curves), max((len(c.spline.coefficients) for c in curves if c.spline), default=0)))
        for i, curve in enumerate(curves):
            if curve.spline:
                s, count = curve.spline, len(curve.spline.coefficients)
                knots[i] = s.scale, s.spacing, s.first, count
                coefficients[i, :count] = s.coefficients
        return cls(raw, knots, coefficients)

    def total_variance(self, of_curve: IntArray, k: FloatArray) -> FloatArray:
        """Return w(k_i) of curve ``of_curve[i]``, the same numbers as the curves' own."""
        w = np.empty(k.shape)
        stacked_variance(self.raw, self.knots, self.coefficients, of_curve, k, w)
        return w


@kernel
def stacked_variance(
    raw: FloatArray, knots: FloatArray, coefficients: FloatArray, of_curve: IntArray, k: FloatArray, w: FloatArray
) -> None:
    """Write w(k_i) of curve ``of_curve[i]`` with its residual."""
    for i in range(k.shape[0]):
        w[i] = curve_variance(raw, knots, coefficients, of_curve[i], k[i])


@kernel
def curve_variance(raw: FloatArray, knots: FloatArray, coefficients: FloatArray, row: int, k: float) -> float:
    """Return w(k) of curve ``row`` with its residual."""
    a, b, rho, m, sigma = raw[row, 0], raw[row, 1], raw[row, 2], raw[row, 3], raw[row, 4]
    y = k - m
    w: float = a + b * (rho * y + math.sqrt(y * y + sigma * sigma))
    count = int(knots[row, 3])
    if count > 0:
        scale, spacing, first = knots[row, 0], knots[row, 1], knots[row, 2]
        at_the_money = a + b * (-rho * m + math.hypot(m, sigma))
        w += at_the_money * residual_value(k, scale, spacing, first, coefficients[row, :count])
    return w
