"""Correlations of changes that die away, shrunk, with a standard error for each.

Weights halve with a half-life (RiskMetrics, 1996) and changes have mean zero: over minutes a mean is noise. The matrix

    rho_ij = sum_t w_t x_ti x_tj / sqrt(sum_t w_t x_ti^2 sum_t w_t x_tj^2)        over times at which all are known

is a Gram matrix of unit vectors, hence positive semidefinite with diagonal 1. It is shrunk towards a market in which
each factor moves with the same factor elsewhere and with nothing else; there, each factor's block towards the identity:

    a rho + (1 - a) sum over factors of (b_f rho_f + (1 - b_f) I)

a mixture of such matrices and so one of them. One target for all would take most from the few correlations that are
large and known, of two forwards, because the many others are small. The shares 1 - a and 1 - b_f are Ledoit and Wolf's
(A well-conditioned estimator for large-dimensional covariance matrices, 2004), with correlations for covariances as in
Schafer and Strimmer (2005), over the entries that the target is about:

    min(1, sum_ij variance of rho_ij / sum_ij (rho_ij - target_ij)^2)

Few observations and heavy tails make the variance large, so what one observation makes up is taken back most.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from app.quant.arrays import BoolArray, FloatArray, IntArray

LEAST_OBSERVATIONS: Final = 10
"""Effective ones, and moves of each series: at ten the standard error of no correlation is a third."""
ROUNDING: Final = 1e-14
"""Share of a sum of squares that is rounding when one of them makes up all of it."""


@dataclass(frozen=True, slots=True, eq=False)
class Correlation:
    """``value`` and ``standard_error`` (p, p), NaN where a series has none; ``used`` (p) says which have.

    ``observations`` times were used, worth ``effective`` of equal weight; ``shrinkage`` (p, p) is the share of what
    was measured that the value lacks.
    """

    value: FloatArray
    standard_error: FloatArray
    shrinkage: FloatArray
    used: BoolArray
    observations: int
    effective: float


def decaying_weights(age: FloatArray, half_life: float) -> FloatArray:
    """Return weights that sum to 1 and halve with each ``half_life`` of ``age`` (n, at least one)."""
    weights = np.exp2(-(age - age.min()) / half_life)
    return np.asarray(weights / weights.sum())


def effective_observations(weights: FloatArray) -> float:
    """Return 1 / sum w^2 of weights that sum to 1 (Kish 1965): as many of equal weight say as much."""
    return float(1.0 / (weights @ weights))


def weighted_correlation(x: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the correlation (p, p) of changes ``x`` (n, p) about zero, each column with some that is not 0."""
    z = _standardised(x, weights)
    value = np.clip(z.T @ (weights[:, None] * z), -1.0, 1.0)
    np.fill_diagonal(value, 1.0)
    return np.asarray(value)


def ledoit_wolf(value: FloatArray, variance: FloatArray, target: FloatArray, about: BoolArray) -> float:
    """Return the share by which ``value``, known with ``variance``, is best shrunk to ``target``, all (p, p).

    Only the entries in ``about`` (p, p) count; 0 where the value is the target there already.
    """
    away = float(np.sum((value - target)[about] ** 2))
    return min(1.0, float(np.sum(variance[about])) / away) if away > 0.0 else 0.0


def sampling_error(x: FloatArray, weights: FloatArray, value: FloatArray) -> FloatArray:
    """Return the standard error (p, p) of the correlation ``value`` of ``x``, before shrinkage.

    The larger of (1 - rho^2)/sqrt(n - 1), n effective observations of a normal law, and the jackknife's
    sqrt(sum_t (rho without t - rho)^2), which knows heavy tails: a jump that makes a correlation alone makes it unsure.
    """
    z = _standardised(x, weights)
    error = (1.0 - value**2) / np.sqrt(max(effective_observations(weights) - 1.0, 1.0))
    left = np.maximum(1.0 - weights[:, None] * z**2, ROUNDING)
    for i in range(z.shape[1]):
        without = (value[i] - weights[:, None] * z[:, [i]] * z) / np.sqrt(left[:, [i]] * left)
        jackknife = np.sqrt(np.sum((np.clip(without, -1.0, 1.0) - value[i]) ** 2, axis=0))
        error[i] = np.maximum(error[i], jackknife)
    error = np.maximum(error, error.T)  # equal but for rounding
    np.fill_diagonal(error, 0.0)
    return np.asarray(error)


def shrunk_correlation(changes: FloatArray, age: FloatArray, half_life: float, factor: IntArray) -> Correlation:
    """Return the correlation of ``changes`` (n, p), NaN where one is missing, with weights that halve by ``age`` (n).

    Series with the same ``factor`` (p) are of one kind. Times count at which all series that are used have a change. A
    series that moved less than LEAST_OBSERVATIONS times is not used, and while the common times are too few, neither
    are those known least. The standard error is the root of the sampling variance of what was measured and of the
    square of what shrinkage took from it: a value that was shrunk to nothing is not known better for it.
    """
    used, rows = _usable(changes)
    weights = decaying_weights(age[rows], half_life) if rows.any() else np.zeros(0)
    effective = effective_observations(weights) if rows.any() else 0.0
    value, error, taken = np.full((3, used.size, used.size), np.nan)
    if effective < LEAST_OBSERVATIONS:
        return Correlation(value, error, taken, np.zeros_like(used), int(rows.sum()), effective)
    x = changes[rows][:, used]
    raw = weighted_correlation(x, weights)
    block = np.ix_(used, used)
    raw_error = sampling_error(x, weights, raw)
    share = taken[block] = _shrinkage(raw, raw_error**2, factor[used])
    value[block] = (1.0 - share) * raw + 0.0  # never -0
    error[block] = np.hypot(raw_error, share * raw)
    return Correlation(value, error, taken, used, int(rows.sum()), effective)


def _shrinkage(value: FloatArray, variance: FloatArray, factor: IntArray) -> FloatArray:
    """Return the share (p, p) that is taken from each correlation, 0 on the diagonal."""
    none = np.zeros_like(value)
    alike = factor[:, None] == factor
    share = np.full_like(value, 1.0 if alike.all() else ledoit_wolf(value, variance, none, ~alike))
    for each in np.unique(factor):
        own = alike & (factor == each) & ~np.eye(factor.size, dtype=np.bool_)
        share[own] *= ledoit_wolf(value, variance, none, own)
    np.fill_diagonal(share, 0.0)
    return share


def _standardised(x: FloatArray, weights: FloatArray) -> FloatArray:
    largest = np.abs(x).max(axis=0)  # before squaring, so that no scale underflows
    scaled = x / largest
    return np.asarray(scaled / np.sqrt(weights @ scaled**2))


def _usable(changes: FloatArray) -> tuple[BoolArray, BoolArray]:
    """Return the columns that are used and the rows in which all of them are known."""
    known = np.isfinite(changes)
    moved = known & (changes != 0.0)
    count = known.sum(axis=0)
    used = moved.sum(axis=0) >= LEAST_OBSERVATIONS
    while used.any():
        rows: BoolArray = np.asarray(known[:, used].all(axis=1))
        lacking = used & (moved[rows].sum(axis=0) < LEAST_OBSERVATIONS)
        if not lacking.any():
            return used, rows
        # Too few common times are the fault of who is known least; enough of them, of who stood still.
        dropped = count == count[used].min() if rows.sum() < LEAST_OBSERVATIONS else lacking
        used &= ~dropped
    return used, np.zeros(changes.shape[0], np.bool_)
