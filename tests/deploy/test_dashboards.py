"""Dashboards that fill: Grafana fails open on a broken file, so the files and every query are tried here."""

import itertools
import math
import re
import time
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.conftest import RunningPrometheus
from tests.deploy.files import DASHBOARDS, DEPLOY, Query, charts, dashboard, queries, read_yaml

DATA_SOURCE = "smilekeeper-prometheus"
GRID_COLUMNS = 24
FILLED_WITHIN_S = 300.0
RATE_INTERVAL = "10s"
"""What Grafana would choose for a scrape a second is four of them; more bridges a busy machine."""

EXPECTED_VARIABLES = {
    "operations": {"underlying"},
    "calibration_quality": {"underlying", "tenor"},
    "drift": {"underlying", "tenor", "parameter"},
}


def test_the_three_dashboards_are_there() -> None:
    assert {path.stem for path in DASHBOARDS} == EXPECTED_VARIABLES.keys()
    documents = [dashboard(path) for path in DASHBOARDS]
    assert len({document["uid"] for document in documents}) == len(documents)
    assert len({document["title"] for document in documents}) == len(documents)


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_panels_have_ids_of_their_own_and_do_not_overlap(path: Path) -> None:
    panels = dashboard(path)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels if panel["type"] == "row"}) > 1
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= GRID_COLUMNS, panel["title"]
        cells = set(
            itertools.product(range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"]))
        )
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_everything_asks_the_provisioned_data_source(path: Path) -> None:
    provisioned = read_yaml(DEPLOY / "grafana" / "provisioning" / "datasources" / "prometheus.yml")["datasources"]
    assert [source["uid"] for source in provisioned] == [DATA_SOURCE]
    document = dashboard(path)
    asked = [*charts(path), *document["templating"]["list"], *document["annotations"]["list"]]
    asked += [target for panel in charts(path) for target in panel["targets"]]
    assert {each["datasource"]["uid"] for each in asked} == {DATA_SOURCE}


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_variables_are_declared_and_used(path: Path) -> None:
    declared = {each["name"] for each in dashboard(path)["templating"]["list"]}
    used = {
        name
        for panel in charts(path)
        for target in panel["targets"]
        for name in re.findall(r"\$([a-z]+)\b", target["expr"])
    }
    assert declared == EXPECTED_VARIABLES[path.stem] == used


def test_compose_puts_the_dashboards_where_grafana_is_told_to_look() -> None:
    provider = read_yaml(DEPLOY / "grafana" / "provisioning" / "dashboards" / "smilekeeper.yml")["providers"][0]
    mounted = read_yaml(DEPLOY.parent / "docker-compose.yml")["services"]["grafana"]["volumes"]
    assert f"./deploy/grafana/dashboards:{provider['options']['path']}:ro" in mounted
    assert "./deploy/grafana/provisioning:/etc/grafana/provisioning:ro" in mounted


@pytest.mark.e2e
@pytest.mark.timeout(180)
def test_every_panel_shows_a_number_of_the_running_demo(prometheus: RunningPrometheus) -> None:
    empty = list(queries())
    assert len(empty) > len(DASHBOARDS)
    deadline = time.monotonic() + FILLED_WITHIN_S
    while empty and time.monotonic() < deadline:
        time.sleep(1.0)
        empty = [query for query in empty if not has_a_number(query, prometheus)]
    assert empty == []


def has_a_number(query: Query, prometheus: RunningPrometheus) -> bool:
    """Say whether some series of ``query`` has a value now; a quantile of nothing is NaN."""
    found = prometheus.series(query.with_every_value(RATE_INTERVAL))
    return any(math.isfinite(float(series["value"][1])) for series in found)


@pytest.mark.e2e
@pytest.mark.timeout(180)
@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_every_variable_has_values(path: Path, prometheus: RunningPrometheus) -> None:
    for variable in dashboard(path)["templating"]["list"]:
        assert values_of(variable, prometheus), variable["name"]


def values_of(variable: dict[str, Any], prometheus: RunningPrometheus) -> list[str]:
    asked = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
    assert asked is not None, variable["query"]
    match = re.sub(r"\$underlying\b", ".*", asked[1])
    values = prometheus.ask(f"/api/v1/label/{asked[2]}/values", **{"match[]": match})
    assert isinstance(values, list)
    return values
