"""How the models of an underlying do out of sample: the newest reports of champion and challengers."""

from collections.abc import Iterable, Iterator
from typing import Final

from prometheus_client.metrics_core import Metric

from app.metrics.families import Series, gauge
from app.metrics.labels import UnderlyingLabels
from app.service.score_document import ModelScores

SCORE: Final = gauge(
    "volsurf_model_score",
    "Mean score of a model on the chain after its surface; score=log is better when larger, the others when smaller.",
    "underlying",
    "model",
    "score",
)
STATISTIC: Final = gauge(
    "volsurf_model_dm_statistic",
    "Diebold-Mariano statistic of a challenger; below -2 it is better than the champion, above 2 worse.",
    "underlying",
    "model",
)
DECLARED: Final = (SCORE, STATISTIC)


def model_metrics(reports: Iterable[ModelScores], label: UnderlyingLabels) -> Iterator[Metric]:
    """Return the families of ``reports``."""
    series = Series()
    for report in reports:
        underlying = label(report.underlying)
        for each in report.models:
            series.add(SCORE, each.log_score, underlying, each.model, "log")
            series.add(SCORE, each.weighted_error, underlying, each.model, "weighted_error")
            series.add(SCORE, each.rmse_vol, underlying, each.model, "rmse_vol")
            series.add(SCORE, each.outside, underlying, each.model, "outside")
            series.add(STATISTIC, each.dm_statistic, underlying, each.model)
    yield from series.metrics(DECLARED)
