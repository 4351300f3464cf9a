"""Whether two forecasters differ: the Diebold-Mariano test on a series of loss differentials.

Diebold and Mariano 1995 compare the mean differential with its long-run standard deviation. The variance here is Newey
and West's (1987, Bartlett weights, never negative), because one chain's loss resembles that of the chain before.
Harvey, Leybourne and Newbold 1997 scale the statistic for short series and take its tail from Student's t with n - 1
degrees of freedom; their h, the number of autocovariances that count, is lags + 1.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from app.quant.arrays import FloatArray

LEAST_DIFFERENTIALS: Final = 8
"""Fewer say nothing: a long-run variance of less is a guess."""
LAGS_AT_100: Final = 4.0
LAGS_POWER: Final = 2.0 / 9.0
"""Newey and West's (1994) rule for Bartlett weights: 4 (n / 100)^(2/9) lags, 4 at 100 and 4.9 at 256."""


@dataclass(frozen=True, slots=True)
class DieboldMariano:
    """``statistic`` is negative where the differentials are; ``p_value`` is two-sided."""

    statistic: float
    p_value: float


def usual_lags(n: int) -> int:
    """Return how many autocovariances of ``n`` differentials count."""
    return int(LAGS_AT_100 * (n / 100.0) ** LAGS_POWER)


def long_run_variance(differentials: FloatArray, lags: int) -> float:
    """Return gamma_0 + 2 sum_j (1 - j / (lags + 1)) gamma_j over j = 1 ... ``lags``, autocovariances over n."""
    n = differentials.shape[0]
    deviations = differentials - differentials.mean()
    gamma = np.array([deviations[j:] @ deviations[: n - j] for j in range(lags + 1)]) / n
    weights = 2.0 * (1.0 - np.arange(lags + 1) / (lags + 1.0))
    weights[0] = 1.0
    return float(weights @ gamma)


def diebold_mariano(differentials: FloatArray, *, lags: int | None = None) -> DieboldMariano | None:
    """Test that ``differentials`` (n) have mean zero: statistic sqrt(c / n) mean / sqrt(variance / n), with

    c = n + 1 - 2 h + h (h - 1) / n and h = ``lags`` + 1 (None: usual_lags). Losses that were always equal give 0 and
    a p-value of 1; None for fewer than LEAST_DIFFERENTIALS, or where all differ by one amount and nothing is random.
    """
    n = differentials.shape[0]
    if n < LEAST_DIFFERENTIALS:
        return None
    if not differentials.any():
        return DieboldMariano(0.0, 1.0)
    lags = usual_lags(n) if lags is None else lags
    variance = long_run_variance(differentials, lags)
    if variance <= np.finfo(float).eps * float(differentials.mean()) ** 2:
        return None
    from scipy.special import stdtr  # noqa: PLC0415  # a third of the time that a worker's imports would take

    h = lags + 1
    correction = (n + 1 - 2 * h + h * (h - 1) / n) / n
    statistic = float(np.sqrt(correction) * differentials.mean() / np.sqrt(variance / n))
    return DieboldMariano(statistic, float(2.0 * stdtr(n - 1, -abs(statistic))))
