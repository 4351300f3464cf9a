"""Alerts that parse, fire on their fault, name metrics that exist, and say what to do."""

import re
import shutil
import subprocess
import time

import httpx
import pytest
from prometheus_client.metrics_core import CounterMetricFamily
from prometheus_client.parser import text_string_to_metric_families

from app.metrics import fleet
from tests.deploy.files import DEPLOY, PROMETHEUS, alerts, metrics_named, read_yaml
from tests.running_service import RunningService

BORN_WITH_THE_FIRST_EVENT = {"volsurf_quarantined_payloads_total"}
"""Not in the metrics of a service to which nothing happened."""

EXPORTED_WITHIN_S = 300.0

needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")


@needs_promtool
@pytest.mark.parametrize(
    "arguments",
    [("check", "config", "prometheus.yml"), ("check", "rules", "alerts.yml"), ("test", "rules", "alerts_test.yml")],
    ids=" ".join,
)
def test_promtool_finds_nothing(arguments: tuple[str, ...]) -> None:
    found = subprocess.run(["promtool", *arguments], cwd=PROMETHEUS, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


def test_every_alert_fires_in_a_test() -> None:
    cases = [case for test in read_yaml(PROMETHEUS / "alerts_test.yml")["tests"] for case in test["alert_rule_test"]]
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == {rule["alert"] for rule in alerts()}


def test_every_alert_has_a_severity_and_its_paragraph_in_the_runbook() -> None:
    headings = re.findall(r"^## (\w+)$", (DEPLOY / "RUNBOOK.md").read_text(), flags=re.MULTILINE)
    assert sorted(headings) == sorted(rule["alert"] for rule in alerts())
    for rule in alerts():
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["runbook"] == f"deploy/RUNBOOK.md#{rule['alert'].lower()}"


@pytest.mark.e2e
@pytest.mark.timeout(600)
def test_every_metric_named_is_exported(service: RunningService) -> None:
    deadline = time.monotonic() + EXPORTED_WITHIN_S
    while missing := metrics_named() - BORN_WITH_THE_FIRST_EVENT - exported_by(service):
        assert time.monotonic() < deadline, missing
        time.sleep(0.5)


def test_metrics_of_events_are_declared() -> None:
    declared = {f"{each.name}_total" for each in fleet.DECLARED if each.family is CounterMetricFamily}
    assert declared >= BORN_WITH_THE_FIRST_EVENT


def exported_by(service: RunningService) -> set[str]:
    """Return the names of the samples of a scrape, and of counters that have none yet."""
    families = list(text_string_to_metric_families(httpx.get(f"{service.base_url}/metrics", timeout=60.0).text))
    counters = {f"{family.name}_total" for family in families if family.type == "counter"}
    return counters | {sample.name for family in families for sample in family.samples}
