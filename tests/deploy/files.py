"""What is deployed, read from the files: alerts, dashboards and the metrics they name."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).parents[2]
DEPLOY = PROJECT / "deploy"
PROMETHEUS = DEPLOY / "prometheus"
DASHBOARDS = sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))

METRIC_NAME = re.compile(r"\b(?:volsurf|process)_\w+")


@dataclass(frozen=True)
class Query:
    """One query of a dashboard and where it stands."""

    dashboard: str
    panel: str
    expression: str

    def with_every_value(self, rate_interval: str) -> str:
        """Return the expression with Grafana's variables filled in: every underlying, tenor and parameter."""
        chosen = self.expression.replace("$__rate_interval", rate_interval)
        return re.sub(r"\$(underlying|tenor|parameter)\b", ".*", chosen)


def read_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def alerts() -> list[dict[str, Any]]:
    return [rule for group in read_yaml(PROMETHEUS / "alerts.yml")["groups"] for rule in group["rules"]]


def dashboard(path: Path) -> dict[str, Any]:
    document = json.loads(path.read_text())
    assert isinstance(document, dict)
    return document


def charts(path: Path) -> list[dict[str, Any]]:
    """Return the panels that show data."""
    return [panel for panel in dashboard(path)["panels"] if panel["type"] != "row"]


def queries() -> Iterator[Query]:
    for path in DASHBOARDS:
        for panel in charts(path):
            for target in panel["targets"]:
                yield Query(path.stem, panel["title"], target["expr"])


def metrics_named() -> set[str]:
    """Return every metric of the service that an alert or a dashboard names."""
    expressions = [rule["expr"] for rule in alerts()] + [query.expression for query in queries()]
    return {name for expression in expressions for name in METRIC_NAME.findall(expression)}
