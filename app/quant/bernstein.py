"""Positivity of a polynomial on an interval, proven by Bernstein coefficients and subdivision.

On [0, 1] a polynomial lies above the least of its Bernstein coefficients (convex hull property), and halving the
interval by de Casteljau's scheme makes that bound converge quadratically (Farouki 2012, "The Bernstein polynomial
basis: a centennial retrospective"). Every coefficient carries its own rounding bound, so a proof is a proof for the
real polynomial and not for its image in doubles.
"""

from math import comb
from typing import Final

import numpy as np

from app.quant.arrays import FloatArray
from app.quant.compiled import inner_kernel

DEGREE: Final = 10
"""Degree of Durrleman's condition of a raw SVI slice, the one polynomial this room has to sign."""

EPSILON: Final = float(np.finfo(np.float64).eps)
"""Twice the unit roundoff: covers one rounding and the rounding of the bound itself."""

CONVERSION_ERROR: Final = 16.0 * EPSILON
"""Relative to the sum of magnitudes: 11 terms, each a guarded coefficient, a power, a tabled ratio, two products and
up to 11 additions (at most 26 roundings of half an epsilon)."""

SAFETY: Final = 1.0 + 1e-9
"""Inflates a bound that was itself summed in doubles: at most 10 * MAX_DEPTH roundings, below 1e-12 of it."""

UNDERFLOW: Final = 1e-290
"""Coefficients this small may have lost digits to gradual underflow: nothing is concluded from them."""

MAX_DEPTH: Final = 80
"""Halvings of [0, 1]: resolves features at 1e-24, where only slices a trillion times flatter than any have one."""

MAX_CELLS: Final = 4000
"""Cells before giving up; a slice on the market takes fewer than 40."""

BASIS: Final[FloatArray] = np.array(
    [[comb(i, j) / comb(DEGREE, j) for j in range(DEGREE + 1)] for i in range(DEGREE + 1)]
)
"""Bernstein coefficient i of z^j on [0, 1]: C(i, j) / C(n, j)."""


@inner_kernel
def positive_up_to(coefficients: FloatArray, guard: FloatArray, end: float) -> bool:
    """Prove sum_j p_j z^j > 0 for all z in [0, end] and all p_j within ``guard[j]`` of ``coefficients[j]``.

    Both arrays have DEGREE + 1 entries, lowest power first. False says "not proven". For z >= 0 every power is
    non-negative, so the polynomial of p_j = coefficients[j] - guard[j] is the lowest one and the only one to sign;
    with z = end * u it is one in u on [0, 1].
    """
    lowest = np.empty(DEGREE + 1)
    power = 1.0
    for j in range(DEGREE + 1):
        lowest[j] = (coefficients[j] - guard[j]) * power
        power *= end
    value = np.empty((MAX_DEPTH + 2, DEGREE + 1))
    error = np.empty((MAX_DEPTH + 2, DEGREE + 1))
    depth = np.empty(MAX_DEPTH + 2, np.int64)
    for i in range(DEGREE + 1):
        total = 0.0
        magnitude = 0.0
        for j in range(i + 1):
            term = BASIS[i, j] * lowest[j]
            total += term
            magnitude += abs(term)
        value[0, i] = total
        error[0, i] = CONVERSION_ERROR * magnitude
    depth[0] = 0
    top = 1
    cells = 0
    while top > 0:
        cells += 1
        b = value[top - 1]
        e = error[top - 1]
        positive = True
        for i in range(DEGREE + 1):
            positive = positive and b[i] > SAFETY * e[i] + UNDERFLOW
        if positive:
            top -= 1
            continue
        d = depth[top - 1]
        ends_positive = b[0] > SAFETY * e[0] + UNDERFLOW and b[DEGREE] > SAFETY * e[DEGREE] + UNDERFLOW
        if not ends_positive or d == MAX_DEPTH or cells > MAX_CELLS:
            return False
        halve(value[top - 1], error[top - 1], value[top], error[top])
        depth[top - 1] = d + 1
        depth[top] = d + 1
        top += 1
    return True


@inner_kernel
def halve(b: FloatArray, e: FloatArray, left: FloatArray, left_error: FloatArray) -> None:
    """Split at the middle by de Casteljau: (b, e) become the right half, the left half is written beside it.

    A mean of two coefficients inherits the mean of their error bounds plus one rounding of its own.
    """
    left[0] = b[0]
    left_error[0] = e[0]
    for level in range(1, DEGREE + 1):
        for i in range(DEGREE + 1 - level):
            b[i] = 0.5 * (b[i] + b[i + 1])
            e[i] = 0.5 * (e[i] + e[i + 1]) + EPSILON * abs(b[i])
        left[level] = b[0]
        left_error[level] = e[0]
