"""The correlations of underlyings as they are sent, one struct a level, units beside the numbers."""

from typing import Final

import msgspec

from app.quant.market_factors import FAR_DAYS, NEAR_DAYS, TENOR_DAYS
from app.quant.spot_vol import RATIO_PRIOR, RATIO_PRIOR_SD

Matrix = list[list[float | None]]

CORRELATION_UNITS: Final[dict[str, str]] = {
    "forward": f"change of ln(forward) at {TENOR_DAYS:g} days",
    "level": f"change of the at-the-money vol at {TENOR_DAYS:g} days, decimal, ACT/365",
    "skew": f"change of vol(25C) - vol(25P) at {TENOR_DAYS:g} days",
    "curvature": f"change of (vol(25C) + vol(25P))/2 - vol(ATM) at {TENOR_DAYS:g} days",
    "slope": f"change of vol(ATM) at {FAR_DAYS:g} days less that at {NEAR_DAYS:g} days",
    "correlation": "from -1 to 1, (1 - shrinkage) of what was measured",
    "standard_error": "of the correlation, what shrinkage took from it included",
    "shrinkage": "share of what was measured that was taken; 1 where many together cannot be told from none",
    "overlap": "share of time that the changes of two underlyings have in common; their correlations are low by it",
    "effective": "observations of equal weight that the weighted ones are worth",
    "beta": "change of vol (decimal) per change of ln(forward)",
    "ratio": "skew stickiness: 1 each strike keeps its vol, 0 each moneyness;"
    f" shrunk to {RATIO_PRIOR:g} +- {RATIO_PRIOR_SD:g} by ratio_prior_share",
}


class SpotVolDocument(msgspec.Struct, frozen=True):
    """How the level of vol follows the forward (app/quant/spot_vol.py); null with a reason where that is not known.

    ``ratio`` may be given to evaluate as dynamics {"ssr": ratio}. ``correlation`` is not shrunk.
    """

    tenor_days: float
    observations: int
    effective: float
    ratio: float | None = None
    ratio_sd: float | None = None
    ratio_prior_share: float | None = None
    beta: float | None = None
    beta_sd: float | None = None
    correlation: float | None = None
    correlation_sd: float | None = None
    reason: str | None = None


class ObservationsDocument(msgspec.Struct, frozen=True):
    """What the matrix rests on: changes over one bar at which every factor that has correlations is known.

    ``of_factor`` counts the known changes of each factor. By underlying, ``degraded`` counts the bars whose value is a
    degraded surface's, which is used, and ``moved`` the surfaces within the window that were moved, not fitted, whose
    vols say nothing new and are not used: where six seconds brought a fitted one, they are not counted.
    """

    changes: int
    effective: float
    of_factor: dict[str, int]
    degraded: dict[str, int]
    moved: dict[str, int]


class Correlations(msgspec.Struct, frozen=True):
    """Correlations of the changes of ``factors`` (rows and columns) up to ``as_of``, the end of the newest bar.

    ``status`` is ok, partial (some factors are null) or too_few_observations; ``reason`` says why. ``overlap`` is by
    ``underlyings``.
    """

    as_of: str
    window_minutes: int
    bar_minutes: float
    half_life_minutes: float
    underlyings: list[str]
    factors: list[str]
    correlation: Matrix
    standard_error: Matrix
    overlap: Matrix
    observations: ObservationsDocument
    shrinkage: Matrix
    spot_vol: dict[str, SpotVolDocument]
    units: dict[str, str]
    status: str
    reason: str | None = None
