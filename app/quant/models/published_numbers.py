"""What the outside gets of a fit: curves of numbers with 12 digits, and the constraints that bind."""

import math
from collections.abc import Sequence
from typing import Final, cast

import numpy as np

from app.quant.arrays import FloatArray
from app.quant.compiled import kernel
from app.quant.models.base import BindingConstraint
from app.quant.models.constraint_rows import Rows
from app.quant.models.local_minima import BUTTERFLY, CALENDAR
from app.quant.models.packed_curve import KNOT_NUMBERS
from app.quant.models.svi_coordinates import SLICE_SIZE, to_raw
from app.quant.models.svi_curve import SplineResidual, SviCurve
from app.quant.smile import Smile

DIGITS: Final = cast(int, np.int64(12))
"""Significant digits of a published number: far below the margins of the constraints, short on the wire.

No literal, for which numba would compile the rounding once more."""
LARGEST_EXACT_POWER: Final = 22
"""10^22 is the last power of ten that is a double, so dividing an integer by it rounds once and correctly."""
NOTICEABLE: Final = 1e-6
"""Multipliers below this share of the objective are not reported."""
_COEFFICIENTS: Final = SLICE_SIZE + KNOT_NUMBERS
"""Where the coefficients start among a slice's numbers."""
KIND_NAMES: Final = {int(BUTTERFLY): "butterfly", int(CALENDAR): "calendar"}


@kernel
def round_significant(values: FloatArray, digits: int) -> None:
    """Round in place to ``digits`` significant digits, each to the double nearest to that decimal."""
    for i in range(values.shape[0]):
        x = values[i]
        if x == 0.0 or not math.isfinite(x):
            continue
        places = min(digits - 1 - math.floor(math.log10(abs(x))), LARGEST_EXACT_POWER)
        if places >= 0:
            power = 10.0**places
            values[i] = np.rint(x * power) / power
        else:
            power = 10.0**-places
            values[i] = np.rint(x / power) * power


@kernel
def published_numbers(svi: FloatArray, knots: FloatArray, coefficients: FloatArray) -> FloatArray:
    """Return raw SVI, knots and coefficients of each slice side by side, rounded for publication."""
    numbers = np.empty((svi.shape[0], _COEFFICIENTS + coefficients.shape[1]))
    for i in range(svi.shape[0]):
        to_raw(svi[i], numbers[i])
        for j in range(KNOT_NUMBERS):
            numbers[i, SLICE_SIZE + j] = knots[i, j]
        for j in range(coefficients.shape[1]):
            numbers[i, _COEFFICIENTS + j] = coefficients[i, j]
        round_significant(numbers[i], DIGITS)
    return numbers


def published_curves(svi: FloatArray, knots: FloatArray, coefficients: FloatArray) -> tuple[SviCurve, ...]:
    """Return the curves of slices ``svi`` (n, 5) with residuals ``knots`` (n, 4), ``coefficients`` (n, MAX)."""
    curves = []
    for row in published_numbers(svi, knots, coefficients).tolist():
        a, b, rho, m, sigma, scale, spacing, first, count = row[:_COEFFICIENTS]
        values = row[_COEFFICIENTS : _COEFFICIENTS + int(count)]
        spline = SplineResidual(scale, spacing, int(first), tuple(values)) if values else None
        curves.append(SviCurve(a, b, rho, m, sigma, spline))
    return tuple(curves)


def binding_constraints(
    smiles: Sequence[Smile], rows: Rows, multipliers: FloatArray, count: int, objective: float
) -> tuple[BindingConstraint, ...]:
    """Return the rows with a multiplier worth reporting, in the order of their slices.

    A calendar row names the later of its two expiries; k is -inf or inf for a wing.
    """
    columns = (column[:count].tolist() for column in (rows.kind, rows.slice, rows.k, multipliers))
    return tuple(
        BindingConstraint(KIND_NAMES.get(kind, "wing"), smiles[i].expiry_ms, k, multiplier)
        for kind, i, k, multiplier in zip(*columns, strict=True)
        if multiplier > NOTICEABLE * objective
    )
