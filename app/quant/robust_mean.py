"""Combining witnesses: inverse variance among those who agree, the majority where they do not."""

from typing import Final

import numpy as np

from app.quant.arrays import BoolArray, FloatArray, IntArray

AGREEMENT_SIGMAS: Final = 5.0
"""Two estimates further apart than this many sds of their difference contradict each other."""
NEWEST: Final = 5
"""Quotes whose median is the newest value: two of them may be wrong."""


def believed(value: FloatArray, sd: FloatArray, slack: FloatArray, votes: FloatArray) -> BoolArray:
    """Return which of the n x m estimates are believed; NaN in ``value`` is a witness who says nothing.

    Around each witness gather those who agree with it: |difference| <= 5 sd of the difference + both slacks. The group
    with most votes wins, then the one with the smallest variance of its inverse-variance mean.
    """
    here = ~np.isnan(value)
    centre, variance = np.where(here, value, 0.0), np.where(here, sd, 1.0) ** 2
    apart = np.abs(centre[:, :, None] - centre[:, None, :]) - slack[:, :, None] - slack[:, None, :]
    allowed = AGREEMENT_SIGMAS * np.sqrt(variance[:, :, None] + variance[:, None, :])
    agree = (apart <= allowed) & here[:, :, None] & here[:, None, :]
    support = np.where(agree, votes[:, None, :], 0.0).sum(axis=2)
    precision = np.where(agree, 1.0 / variance[:, None, :], 0.0).sum(axis=2)
    best = np.lexsort((-precision, -support), axis=1)[:, 0]
    winners: BoolArray = agree[np.arange(value.shape[0]), best]
    return winners


def weighted_mean(value: FloatArray, sd: FloatArray, included: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Return the inverse-variance mean of each row's included estimates and its sd.

    The sd is scaled up, never down, by the root of chi-square per degree of freedom. A row that includes nothing has
    mean NaN and sd infinity.
    """
    weight = np.where(included, 1.0 / np.where(included, sd, 1.0) ** 2, 0.0)
    centre = np.where(included, value, 0.0)
    total = weight.sum(axis=1)
    known = total > 0.0
    safe = np.where(known, total, 1.0)
    mean = (weight * centre).sum(axis=1) / safe
    chi2 = (weight * (centre - mean[:, None]) ** 2).sum(axis=1)
    scale = np.sqrt(np.maximum(1.0, chi2 / np.maximum(included.sum(axis=1) - 1, 1)))
    return np.where(known, mean, np.nan), np.where(known, scale / np.sqrt(safe), np.inf)


def newest_median(
    group: IntArray, groups: int, age: FloatArray, value: FloatArray, has: BoolArray
) -> tuple[FloatArray, FloatArray]:
    """Return each group's median over its five newest values and the age of the newest; NaN where it has none."""
    rows = np.flatnonzero(has)
    rows = rows[np.lexsort((age[rows], group[rows]))]
    count = np.bincount(group[rows], minlength=groups)
    first = np.cumsum(count) - count
    taken = np.minimum(count, NEWEST)
    column = np.arange(NEWEST)
    inside = column < taken[:, None]
    index = np.where(inside, first[:, None] + column, 0)
    values = np.full((groups, NEWEST), np.inf)
    values[inside] = value[rows[index[inside]]]
    values.sort(axis=1)
    some = taken > 0
    rank = np.arange(groups)
    low, high = values[rank, np.maximum(taken - 1, 0) // 2], values[rank, taken // 2]
    newest = np.full(groups, np.nan)
    newest[some] = age[rows[first[some]]]
    return np.where(some, 0.5 * low + 0.5 * high, np.nan), newest
