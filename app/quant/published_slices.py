"""The numbers that SVI slices publish, packed for the kernels that prove something about them.

Nothing here is shared with the code that fits or with the curve that answers queries (svi_jet.py says why).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

import numpy as np

from app.quant.arrays import FloatArray, IntArray
from app.quant.compiled import kernel
from app.quant.models.svi_curve import SviCurve

_FRAME, _COEFFICIENTS = 5, 9
"""Columns of a row of numbers where the frame and the coefficients start."""
_ZEROS: Final = 6
"""Zeros about the coefficients, three on either side."""


@dataclass(frozen=True, slots=True, eq=False)
class PublishedSlices:
    """Numbers of n slices, packed for the kernels; ``m`` is the largest count of spline coefficients.

    ``raw`` (n, 5): a, b, rho, m, sigma. ``frame`` (n, 4): scale q, spacing h, first, magnitude of the residual (for
    its rounding). ``count`` (n): coefficients of the residual, 0 without one. ``knots``
    (n, m + 4): log-moneyness of the knots. ``cubics`` (n, m + 3, 4): the residual's polynomial in x - x_middle
    between two knots, powers ascending, already times w_svi(0).
    """

    raw: FloatArray
    frame: FloatArray
    count: IntArray
    knots: FloatArray
    cubics: FloatArray


def published_slices(curves: Sequence[SviCurve]) -> PublishedSlices:
    """Pack the published parameters of ``curves``."""
    count = np.array([len(c.spline.coefficients) if c.spline else 0 for c in curves])
    n, longest = len(curves), int(count.max())
    width = _COEFFICIENTS + longest + _ZEROS
    table = np.fromiter(chain.from_iterable(_row(c, longest) for c in curves), np.float64, n * width).reshape(n, width)
    raw, frame, coefficients = table[:, :_FRAME].copy(), table[:, _FRAME:_COEFFICIENTS].copy(), table[:, _COEFFICIENTS:]
    knots = np.zeros((n, longest + 4))
    cubics = np.zeros((n, longest + 3, 4))
    if longest > 0:
        residual_pieces(raw, frame, count, coefficients.copy(), knots, cubics)
    return PublishedSlices(raw, frame, count, knots, cubics)


def _row(curve: SviCurve, longest: int) -> tuple[float, ...]:
    raw = (curve.a, curve.b, curve.rho, curve.m, curve.sigma)
    if curve.spline is None:
        return (*raw, 1.0, 1.0, 1.0, 1.0, *(0.0,) * (longest + _ZEROS))
    spline, c = curve.spline, curve.spline.coefficients
    return (*raw, spline.scale, spline.spacing, spline.first, 1.0, 0.0, 0.0, 0.0, *c, *(0.0,) * (longest + 3 - len(c)))


@kernel
def residual_pieces(
    raw: FloatArray,
    frame: FloatArray,
    count: IntArray,
    coefficients: FloatArray,
    knots: FloatArray,
    cubics: FloatArray,
) -> None:
    """Fill knots, cubics and the magnitudes of ``frame`` for slices with a residual.

    ``coefficients`` has three zeros before the first c_j. On a piece the four B-splines that live there, in
    v = x - x_middle in [-1/2, 1/2], are (1/2 - v)^3/6, 23/48 - 5v/8 - v^2/4 + v^3/2 and their mirror images.
    """
    for i in range(raw.shape[0]):
        if count[i] == 0:
            continue
        a, b, rho, m, sigma = raw[i, 0], raw[i, 1], raw[i, 2], raw[i, 3], raw[i, 4]
        root = math.sqrt(m * m + sigma * sigma)
        at_the_money = a + b * (root - rho * m)
        magnitude = abs(a) + b * (root + abs(rho * m))
        largest = 0.0
        for j in range(count[i] + 4):
            knots[i, j] = frame[i, 0] * math.sinh(frame[i, 1] * (frame[i, 2] - 2.0 + j))
            largest = max(largest, abs(coefficients[i, j]))
        frame[i, 3] = 4.0 * largest * magnitude
        for j in range(count[i] + 3):
            p, q, r, s = coefficients[i, j : j + 4]
            cubics[i, j, 0] = at_the_money * ((p + s) + 23.0 * (q + r)) / 48.0
            cubics[i, j, 1] = at_the_money * ((s - p) + 5.0 * (r - q)) / 8.0
            cubics[i, j, 2] = at_the_money * ((p + s) - (q + r)) / 4.0
            cubics[i, j, 3] = at_the_money * ((s - p) + 3.0 * (q - r)) / 6.0
