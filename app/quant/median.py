"""Medians of few numbers: numpy's own spends ten times as long on its arguments as on the numbers."""

import numpy as np

from app.quant.arrays import FloatArray, IntArray
from app.quant.compiled import kernel


def median(values: FloatArray) -> float:
    """Return the median of ``values``, at least one and none NaN."""
    ascending = np.sort(values)
    n = ascending.shape[0]
    return 0.5 * float(ascending[(n - 1) // 2] + ascending[n // 2])


def medians(values: FloatArray, group: IntArray, groups: int) -> FloatArray:
    """Return the median of the ``values`` of each group, NaN for one that has none; no value is NaN."""
    found = np.empty(groups)
    fill_medians(values, group, found)
    return found


@kernel
def fill_medians(values: FloatArray, group: IntArray, found: FloatArray) -> None:
    """Write the median of each group, a few hundred numbers at most; NaN of none."""
    ascending = np.empty(values.shape[0])
    for g in range(found.shape[0]):
        n = 0
        for j in range(values.shape[0]):
            if group[j] == g:
                i = n
                while i > 0 and ascending[i - 1] > values[j]:
                    ascending[i] = ascending[i - 1]
                    i -= 1
                ascending[i] = values[j]
                n += 1
        found[g] = 0.5 * (ascending[(n - 1) // 2] + ascending[n // 2]) if n > 0 else np.nan
