"""Combining witnesses: inverse variance among those who agree, the majority where they do not."""

import math
from typing import Final

import numpy as np

from app.quant.arrays import BoolArray, FloatArray, IntArray
from app.quant.compiled import kernel

AGREEMENT_SIGMAS: Final = 5.0
"""Two estimates further apart than this many sds of their difference contradict each other."""
NEWEST: Final = 5
"""Quotes whose median is the newest value: two of them may be wrong."""


def believed(value: FloatArray, sd: FloatArray, slack: FloatArray, votes: FloatArray) -> BoolArray:
    """Return which of the n x m estimates are believed; NaN in ``value`` is a witness who says nothing.

    Around each witness gather those who agree with it: |difference| <= 5 sd of the difference + both slacks. The group
    with most votes wins, then the one with the smallest variance of its inverse-variance mean.
    """
    winners = np.zeros(value.shape, dtype=np.bool_)
    elect(value, sd, slack, votes, winners)
    return winners


def weighted_mean(value: FloatArray, sd: FloatArray, included: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Return the inverse-variance mean of each row's included estimates and its sd.

    The sd is scaled up, never down, by the root of chi-square per degree of freedom. A row that includes nothing has
    mean NaN and sd infinity.
    """
    mean, mean_sd = np.full(value.shape[0], np.nan), np.full(value.shape[0], np.inf)
    weigh(value, sd, included, mean, mean_sd)
    return mean, mean_sd


def newest_median(
    group: IntArray, groups: int, age: FloatArray, value: FloatArray, has: BoolArray
) -> tuple[FloatArray, FloatArray]:
    """Return each group's median over its five newest values and the age of the newest; NaN where it has none."""
    ages, values = np.full((2, groups, NEWEST), np.inf)
    keep_newest(group, age, value, has, ages, values)
    median, newest = np.full((2, groups), np.nan)
    take_middles(ages, values, median, newest)
    return median, newest


@kernel
def elect(value: FloatArray, sd: FloatArray, slack: FloatArray, votes: FloatArray, winners: BoolArray) -> None:
    """Set ``winners`` for the group of each row that :func:`believed` describes."""
    sources = value.shape[1]
    for i in range(value.shape[0]):
        most, tightest = -1.0, 0.0
        for a in range(sources):
            if np.isnan(value[i, a]):
                continue
            agree = np.zeros(sources, np.bool_)
            support, precision = 0.0, 0.0
            for b in range(sources):
                apart = abs(value[i, a] - value[i, b]) - slack[i, a] - slack[i, b]
                if apart <= AGREEMENT_SIGMAS * math.sqrt(sd[i, a] * sd[i, a] + sd[i, b] * sd[i, b]):
                    agree[b] = True
                    support += votes[i, b]
                    precision += 1.0 / (sd[i, b] * sd[i, b])
            if support > most or (support == most and precision > tightest):
                most, tightest = support, precision
                for b in range(sources):
                    winners[i, b] = agree[b]


@kernel
def weigh(value: FloatArray, sd: FloatArray, included: BoolArray, mean: FloatArray, mean_sd: FloatArray) -> None:
    """Write what :func:`weighted_mean` returns for the rows that include something."""
    for i in range(value.shape[0]):
        total, first, count = 0.0, 0.0, 0
        for j in range(value.shape[1]):
            if included[i, j]:
                weight = 1.0 / (sd[i, j] * sd[i, j])
                total += weight
                first += weight * value[i, j]
                count += 1
        if count == 0:
            continue
        mean[i] = first / total
        chi2 = 0.0
        for j in range(value.shape[1]):
            if included[i, j]:
                chi2 += (value[i, j] - mean[i]) ** 2 / (sd[i, j] * sd[i, j])
        mean_sd[i] = math.sqrt(max(1.0, chi2 / max(count - 1, 1))) / math.sqrt(total)


@kernel
def keep_newest(
    group: IntArray, age: FloatArray, value: FloatArray, has: BoolArray, ages: FloatArray, values: FloatArray
) -> None:
    """Keep in each group's row of ``ages``, infinite at first, its least ages in order, and whose they are in
    ``values``; of equal ages the first."""
    for i in range(group.shape[0]):
        row = group[i]
        place = ages.shape[1]
        while has[i] and place > 0 and age[i] < ages[row, place - 1]:
            place -= 1
        for j in range(ages.shape[1] - 1, place, -1):
            ages[row, j], values[row, j] = ages[row, j - 1], values[row, j - 1]
        if place < ages.shape[1]:
            ages[row, place], values[row, place] = age[i], value[i]


@kernel
def take_middles(ages: FloatArray, values: FloatArray, median: FloatArray, newest: FloatArray) -> None:
    """Write the median of each row of ``values``, which it sorts, and the first of ``ages``; none where that is
    infinite."""
    for row in range(ages.shape[0]):
        taken = 0
        while taken < ages.shape[1] and ages[row, taken] < np.inf:
            i, value = taken, values[row, taken]
            while i > 0 and value < values[row, i - 1]:
                values[row, i] = values[row, i - 1]
                i -= 1
            values[row, i] = value
            taken += 1
        if taken > 0:
            median[row] = 0.5 * values[row, (taken - 1) // 2] + 0.5 * values[row, taken // 2]
            newest[row] = ages[row, 0]
