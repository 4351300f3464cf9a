"""What a misfit at one quote costs: the loss, and the per-quote numbers each objective needs."""

import math
from typing import Final

import numpy as np

from app.quant.arrays import FloatArray, IntArray
from app.quant.compiled import inner_kernel, kernel
from app.quant.models.base import Objective

DEAD_ZONE: Final = 0
HUBER: Final = 1
STUDENT_T: Final = 2
K, MID, WEIGHT, OUTSIDE, WIDTH = 0, 1, 2, 3, 4
"""Rows of the quote array: log-moneyness, mid vol, weight, weight outside the band, band or scale; vols in points."""
QUOTE_ROWS: Final = 5

POINTS: Final = 100.0
"""Vol points in a vol of 1."""
HALF_SPREAD_MIN: Final = 0.2
"""Vol points; a tighter quote weighs no more, so that one fake-tight quote cannot rule a slice."""
BAND_HALF_SPREAD_MIN: Final = 0.02
"""Vol points; the narrowest band the dead zone believes in."""
BAND_SHARE: Final = 0.9
"""Share of the half-spread that is free: a little less than all, so that the optimum lies inside the band."""
BAND_PULL: Final = 0.05
"""Weight of the mid inside a narrow band."""
BAND_PULL_HALVED: Final = 8.0
"""Vol points; half-spread at which the mid weighs half: of a far wider quote one side is a mere placeholder."""
BAND_PUSH: Final = 30.0
"""Mean weight outside the band: 600 times the pull, so that the mids' noise inside it moves little."""
HUBER_SCALE: Final = 1.345
"""Noise standard deviations after which Huber's loss is linear: 95 % efficient for normal noise (Huber 1981)."""
STUDENT_FREEDOM: Final = 4.0
"""Degrees of freedom of the t loss (Lange, Little and Taylor 1989 recommend 4 when it is not estimated)."""
UNBOUNDED_SCALE: Final = 1e6
"""Vol points; a scale at which every loss is quadratic."""
BY_BAND, BY_SPREAD, BY_NOISE = 0, 1, 2
"""What the weights of an objective are made of."""
EMPHASES: Final = {
    Objective.MIX: (BY_SPREAD, UNBOUNDED_SCALE),
    Objective.BAND: (BY_BAND, UNBOUNDED_SCALE),
    Objective.LEAST_SQUARES: (BY_NOISE, UNBOUNDED_SCALE),
    Objective.HUBER: (BY_NOISE, HUBER_SCALE),
    Objective.STUDENT_T: (BY_NOISE, 1.0),
}
"""By objective: what its weights are made of, and its width in units of the noise where that counts."""
_KINDS: Final = {Objective.HUBER: HUBER, Objective.STUDENT_T: STUDENT_T}
"""Objectives whose loss is not the dead zone's."""


@inner_kernel
def loss(kind: int, error: float, weight: float, outside: float, width: float) -> tuple[float, float, float]:
    """Return (value, slope, curvature >= 0) of the loss at ``error`` in vol points.

    DEAD_ZONE: weight e^2/2 + outside max(|e| - width, 0)^2/2. HUBER: quadratic to ``width``, linear beyond.
    STUDENT_T: weight width^2 (nu + 1)/2 ln(1 + e^2/(nu width^2)). The curvature of the last two is the one of
    iteratively reweighted least squares, which stays positive.
    """
    if kind == HUBER:
        size = abs(error)
        if size <= width:
            return 0.5 * weight * error * error, weight * error, weight
        slope = weight * width * (1.0 if error > 0.0 else -1.0)
        return weight * width * (size - 0.5 * width), slope, weight * width / size
    if kind == STUDENT_T:
        r2 = error * error / (width * width)
        reweight = weight * (STUDENT_FREEDOM + 1.0) / (STUDENT_FREEDOM + r2)
        value = 0.5 * weight * width * width * (STUDENT_FREEDOM + 1.0) * math.log1p(r2 / STUDENT_FREEDOM)
        return value, reweight * error, reweight
    value = 0.5 * weight * error * error
    slope = weight * error
    curvature = weight
    excess = abs(error) - width
    if excess > 0.0:
        value += 0.5 * outside * excess * excess
        slope += outside * excess * (1.0 if error > 0.0 else -1.0)
        curvature += outside
    return value, slope, curvature


def loss_kind(objective: Objective) -> int:
    """Return the kernel's number of an objective's loss."""
    return _KINDS.get(objective, DEAD_ZONE)


def quote_weights(objective: Objective, half_spread: FloatArray, noise: FloatArray, offsets: IntArray) -> FloatArray:
    """Return (weight, weight outside, width), shape (3, n), of quotes with these vol-point spreads and noises.

    Weights have mean 1 in each slice, so objectives of all kinds are sums of squared vol points.
    """
    weights: FloatArray = np.empty((3, half_spread.shape[0]))
    weigh_quotes(*EMPHASES[objective], half_spread, noise, offsets, weights)
    return weights


@kernel
def weigh_quotes(
    emphasis: int, scale: float, half_spread: FloatArray, noise: FloatArray, offsets: IntArray, weights: FloatArray
) -> None:
    """Write what :func:`quote_weights` returns; ``scale`` is the width in units of the noise."""
    for j in range(half_spread.shape[0]):
        weights[1, j] = 0.0
        if emphasis == BY_BAND:
            narrow = max(half_spread[j], BAND_HALF_SPREAD_MIN)
            weights[0, j] = BAND_PULL / (1.0 + (half_spread[j] / BAND_PULL_HALVED) ** 2)
            weights[1, j] = 1.0 / (narrow * narrow)
            weights[2, j] = BAND_SHARE * half_spread[j]
        elif emphasis == BY_SPREAD:
            weights[0, j] = 1.0 / max(half_spread[j], HALF_SPREAD_MIN)
            weights[2, j] = UNBOUNDED_SCALE
        else:
            weights[0, j] = 1.0 / (noise[j] * noise[j])
            weights[2, j] = scale * noise[j]
    if emphasis == BY_BAND:
        scale_to_mean(BAND_PUSH, weights[1], offsets)
    else:
        scale_to_mean(1.0, weights[0], offsets)


@inner_kernel
def scale_to_mean(mean: float, weight: FloatArray, offsets: IntArray) -> None:
    """Scale ``weight`` in place to this mean within each slice ``offsets[i]:offsets[i + 1]``."""
    for i in range(offsets.shape[0] - 1):
        total = 0.0
        for j in range(offsets[i], offsets[i + 1]):
            total += weight[j]
        factor = mean * (offsets[i + 1] - offsets[i]) / total
        for j in range(offsets[i], offsets[i + 1]):
            weight[j] *= factor
