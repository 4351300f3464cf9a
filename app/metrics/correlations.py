"""How forwards and vols move together, as GET /v1/correlations answers by default; what is not known is absent."""

from collections.abc import Iterable, Iterator
from itertools import combinations
from typing import Final

from prometheus_client.metrics_core import Metric

from app.metrics.families import Series, gauge
from app.metrics.labels import UnderlyingLabels
from app.quant.market_factors import FACTORS, FORWARD, LEVEL
from app.service.correlation_document import Correlations

BY_PAIR: Final = ("underlying", "other", "factor")
SHOWN: Final = (FACTORS[FORWARD], FACTORS[LEVEL])

CORRELATION: Final = gauge(
    "volsurf_correlation",
    "Correlation of the changes of two underlyings' 30-day forwards (factor=forward) or vols at the money (level).",
    *BY_PAIR,
)
CORRELATION_ERROR: Final = gauge("volsurf_correlation_standard_error", "Standard error of the correlation.", *BY_PAIR)
SPOT_VOL: Final = gauge(
    "volsurf_spot_vol_correlation", "Correlation of the changes of forward and vol at the money.", "underlying"
)
SPOT_VOL_ERROR: Final = gauge(
    "volsurf_spot_vol_correlation_standard_error", "Standard error of this correlation.", "underlying"
)
SPOT_VOL_BETA: Final = gauge(
    "volsurf_spot_vol_beta", "Change of vol at the money (decimal) per change of ln(forward).", "underlying"
)
STICKINESS: Final = gauge(
    "volsurf_skew_stickiness_ratio", "1 where each strike keeps its vol, 0 where each moneyness does.", "underlying"
)
STICKINESS_ERROR: Final = gauge(
    "volsurf_skew_stickiness_ratio_standard_error", "Standard error of the skew stickiness ratio.", "underlying"
)
DECLARED: Final = (
    CORRELATION,
    CORRELATION_ERROR,
    SPOT_VOL,
    SPOT_VOL_ERROR,
    SPOT_VOL_BETA,
    STICKINESS,
    STICKINESS_ERROR,
)


def correlation_metrics(found: Iterable[Correlations], label: UnderlyingLabels) -> Iterator[Metric]:
    """Return the families of ``found``: of one underlying how vol follows forward, of several their correlations."""
    series = Series()
    for each in found:
        for one, other in combinations(each.underlyings, 2):
            _add_pair(series, each, one, other, label)
        if len(each.underlyings) == 1:
            _add_spot_vol(series, each, each.underlyings[0], label)
    yield from series.metrics(DECLARED)


def _add_pair(series: Series, found: Correlations, one: str, other: str, label: UnderlyingLabels) -> None:
    for factor in SHOWN:
        i, j = found.factors.index(f"{one}.{factor}"), found.factors.index(f"{other}.{factor}")
        labels = label(one), label(other), factor
        series.add(CORRELATION, found.correlation[i][j], *labels)
        series.add(CORRELATION_ERROR, found.standard_error[i][j], *labels)


def _add_spot_vol(series: Series, found: Correlations, name: str, label: UnderlyingLabels) -> None:
    told, underlying = found.spot_vol[name], label(name)
    series.add(SPOT_VOL, told.correlation, underlying)
    series.add(SPOT_VOL_ERROR, told.correlation_sd, underlying)
    series.add(SPOT_VOL_BETA, told.beta, underlying)
    series.add(STICKINESS, told.ratio, underlying)
    series.add(STICKINESS_ERROR, told.ratio_sd, underlying)
