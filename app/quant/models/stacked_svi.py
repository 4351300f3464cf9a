"""Published SVI curves one upon another, so that points on any of them are evaluated in one call."""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from app.quant.arrays import FloatArray, IntArray
from app.quant.compiled import kernel
from app.quant.models.svi_coordinates import SLICE_SIZE
from app.quant.models.svi_curve import PADDING, SplineResidual, SviCurve, inverse_sinhs, padded, residual_value

NO_RESIDUAL: Final = SplineResidual(scale=1.0, spacing=1.0, first=0, coefficients=())


class StackedSvi(NamedTuple):
    """Numbers of n curves: ``raw`` (n, 5) is a, b, rho, m, sigma; ``knots`` (n, 5) scale, spacing, first and count of
    the residual and the variance it is relative to; ``coefficients`` (n, most of any residual) padded. Without a
    residual: one of no coefficients."""

    raw: FloatArray
    knots: FloatArray
    coefficients: FloatArray

    @classmethod
    def of(cls, curves: Sequence[SviCurve]) -> "StackedSvi":
        """Stack ``curves``."""
        raw = np.array([(c.a, c.b, c.rho, c.m, c.sigma) for c in curves]).reshape(-1, SLICE_SIZE)
        splines = [c.spline or NO_RESIDUAL for c in curves]
        knots = np.array(
            [
                (s.scale, s.spacing, s.first, len(s.coefficients), c.atm_svi_variance)
                for c, s in zip(curves, splines, strict=True)
            ]
        ).reshape(-1, 5)
        room = max((len(s.coefficients) for s in splines), default=0)
        coefficients = np.array([padded(s.coefficients, room) for s in splines]).reshape(
            len(curves), room + 2 * PADDING
        )
        return cls(raw, knots, coefficients)

    @property
    def unpadded(self) -> FloatArray:
        """The coefficients alone."""
        return np.ascontiguousarray(self.coefficients[:, PADDING:-PADDING])

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
    x = np.empty(k.shape[0])
    for i in range(k.shape[0]):
        x[i] = k[i] / knots[of_curve[i], 0]
    inverse_sinhs(x)
    for i in range(k.shape[0]):
        row = of_curve[i]
        a, b, rho, m, sigma = raw[row, 0], raw[row, 1], raw[row, 2], raw[row, 3], raw[row, 4]
        y = k[i] - m
        svi = a + b * (rho * y + math.sqrt(y * y + sigma * sigma))
        spacing, first, count, at_the_money = knots[row, 1], knots[row, 2], knots[row, 3], knots[row, 4]
        w[i] = svi + at_the_money * residual_value(x[i] / spacing - first, count, coefficients[row])
