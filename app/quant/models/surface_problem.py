"""What a surface fit is given: quotes by slice, and numbers by slice.

Misfit is 100 (sqrt(w(k)/t) - mid vol), in vol points, through the loss of quote_loss. A stage says which parameters
move: SVI coordinates (5 a slice) or the coefficients of the residual on a frozen SVI.
"""

from typing import Final, NamedTuple, cast

import numpy as np

from app.quant.arrays import FloatArray, IntArray

SVI_STAGE: Final = cast(int, np.int64(0))
RESIDUAL_STAGE: Final = cast(int, np.int64(1))
VALUE: Final = cast(bool, np.bool_(False))
DERIVATIVES: Final = cast(bool, np.bool_(True))
"""Numpy scalars, because numba compiles a kernel anew for every literal it is called with."""

INVERSE_T, SLOPE_MIN, RIDGE = 0, 1, 2
"""Columns of the slice array: 1/t, gentlest wing, the residual's ridge at the money, ..."""
SHAPE_CENTRE: Final = 3
SHAPE_WEIGHT: Final = 7
"""... centre and weight of the shape prior on (s, l, ln u, ln v)."""
SLICE_COLUMNS: Final = 11
INFINITE: Final = 1e300
"""Objective of a point outside the domain: variance not positive at a quote."""


class SurfaceProblem(NamedTuple):
    """What a fit is given: quotes by slice, and numbers by slice."""

    loss_kind: int
    offsets: IntArray
    """(n + 1): the quotes of slice i are offsets[i]:offsets[i + 1]."""
    quotes: FloatArray
    """(QUOTE_ROWS, quotes)"""
    slices: FloatArray
    """(n, SLICE_COLUMNS)"""
    knots: FloatArray
    """(n, 4): scale, spacing, first, count of the residual; count 0 without one."""
    plain: FloatArray
    """(quotes): w of the frozen SVI; empty in the SVI stage."""
    basis: FloatArray
    """(quotes, SUPPORT): the residual's splines at the quotes; empty in the SVI stage."""
    first: IntArray
    """(quotes): index of the first of them."""


def window(problem: SurfaceProblem, first: int, last: int) -> SurfaceProblem:
    """Return the problem of slices first..last - 1 alone."""
    return problem._replace(
        offsets=problem.offsets[first : last + 1],
        slices=problem.slices[first:last],
        knots=problem.knots[first:last],
    )
