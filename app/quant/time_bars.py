"""Series that tick at their own times, read at common ones: the last value of each bar.

A bar is (end - length, end] and its value the last in it, so a value serves one bar at most and is never older than
one. A bar without a value has none, and the two changes that touch it are missing: a gap breaks the chain of changes
and never becomes one long change.

Series that tick at different times within a bar still share only a part of it: of two Brownian motions with
correlation rho the changes correlate by rho times the share of time they have in common (Epps, Comovements in stock
prices in the very short run, 1979). :func:`overlap` measures that share, so that it can be said.
"""

import numpy as np

from app.quant.arrays import FloatArray, IntArray


def bar_ends(newest_ms: int, bar_ms: int, count: int) -> IntArray:
    """Return the last ``count`` ends of bars up to ``newest_ms``, ascending: whole multiples of ``bar_ms`` UTC."""
    return (newest_ms // bar_ms + np.arange(1 - count, 1)) * bar_ms


def last_in_bar(times_ms: IntArray, ends_ms: IntArray, bar_ms: int) -> IntArray:
    """Return for each bar the place in ``times_ms`` (n, ascending) of its value, -1 where it has none."""
    place = np.searchsorted(times_ms, ends_ms, side="right") - 1
    if times_ms.size == 0:
        return place
    return np.where(times_ms[np.maximum(place, 0)] > ends_ms - bar_ms, place, -1)


def overlap(times_ms: FloatArray) -> FloatArray:
    """Return the share of time that the changes of each two series have in common, shape (series, series).

    ``times_ms`` (bars, series) is when each bar's value is of, NaN where it has none. NaN where two series never
    change together.
    """
    start, end = times_ms[:-1], times_ms[1:]
    count = times_ms.shape[1]
    share = np.full((count, count), np.nan)
    for i in range(count):
        for j in range(count):
            both = np.isfinite(start[:, [i, j]] + end[:, [i, j]]).all(axis=1)
            if both.any():
                begun, ended = start[both][:, [i, j]], end[both][:, [i, j]]
                common = np.maximum(ended.min(axis=1) - begun.max(axis=1), 0.0).sum()
                share[i, j] = common / np.sqrt(np.prod((ended - begun).sum(axis=0)))
    return share
