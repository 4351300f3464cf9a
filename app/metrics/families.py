"""Series of one scrape: samples are added under their labels, and those that share labels are merged."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import add

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric


@dataclass(frozen=True, slots=True)
class Declaration:
    """A metric's name, help, labels, and how samples of one series merge (several underlyings under one label)."""

    name: str
    help: str
    labels: tuple[str, ...]
    merge: Callable[[float, float], float]
    family: type[CounterMetricFamily] | type[GaugeMetricFamily]


def counter(name: str, text: str, *labels: str) -> Declaration:
    """Declare a counter; merged series add up."""
    return Declaration(name, text, labels, add, CounterMetricFamily)


def gauge(name: str, text: str, *labels: str, merge: Callable[[float, float], float] = max) -> Declaration:
    """Declare a gauge; merged series show the largest, unless ``merge`` says that another one is worse."""
    return Declaration(name, text, labels, merge, GaugeMetricFamily)


class Series:
    """The samples of one scrape."""

    def __init__(self) -> None:
        self._values: dict[Declaration, dict[tuple[str, ...], float]] = {}

    def add(self, declaration: Declaration, value: float | None, *labels: str) -> None:
        """Add a sample; None (nothing is known) adds none."""
        if value is None:
            return
        series = self._values.setdefault(declaration, {})
        series[labels] = declaration.merge(series[labels], value) if labels in series else value

    def add_all(self, declaration: Declaration, values: Mapping[str, float], *labels: str) -> None:
        """Add a sample for each key of ``values``, which is the last label."""
        for key, value in values.items():
            self.add(declaration, value, *labels, key)

    def metrics(self, declared: Sequence[Declaration]) -> Iterator[Metric]:
        """Return the families of ``declared`` that have a sample."""
        for declaration in declared:
            if declaration in self._values:
                family = declaration.family(declaration.name, declaration.help, labels=declaration.labels)
                for labels, value in self._values[declaration].items():
                    family.add_metric(labels, value)
                yield family
