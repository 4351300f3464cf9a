"""The compose file and the Kubernetes example: locked down, on loopback, with settings the service knows."""

import argparse
import itertools
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.commands import COMMANDS, command
from app.settings import setting_table
from tests.deploy.files import DEPLOY, PROJECT, read_yaml

OUR_SERVICES = {"api", "worker", "demo"}
KNOWN_SETTINGS = {setting.variable for setting in setting_table().values()}
PROBES = {"livenessProbe": "/livez", "startupProbe": "/livez", "readinessProbe": "/readyz"}


def dockerfile() -> str:
    return (PROJECT / "Dockerfile").read_text()


def compose() -> dict[str, Any]:
    document = read_yaml(PROJECT / "docker-compose.yml")
    assert isinstance(document, dict)
    return document


def kubernetes(kind: str) -> list[dict[str, Any]]:
    documents = yaml.safe_load_all((DEPLOY / "kubernetes" / "smilekeeper.yml").read_text())
    return [each for each in documents if each["kind"] == kind]


def containers() -> list[dict[str, Any]]:
    return [each["spec"]["template"]["spec"]["containers"][0] for each in kubernetes("Deployment")]


def test_the_image_copies_what_the_build_is_given() -> None:
    given = [line.removeprefix("!") for line in (PROJECT / ".dockerignore").read_text().split() if line[0] == "!"]
    copied = [line.split()[1:-1] for line in dockerfile().splitlines() if re.match(r"COPY (?!--from)", line)]
    assert sorted(itertools.chain(*copied)) == sorted(given)
    assert [path for path in given if not (PROJECT / path).exists()] == []


def test_kernels_are_compiled_for_the_processor_they_are_run_as() -> None:
    build, run = dockerfile().split("FROM ${BASE} AS build")[1].split("FROM ${BASE}\n")
    settings = [re.findall(r"^ARG CPU_\w+=.*$", stage, flags=re.MULTILINE) for stage in (build, run)]
    assert len(settings[0]) == 2
    assert settings[0] == settings[1]
    for stage in (build, run):
        assert "ENV NUMBA_CPU_NAME=${CPU_NAME} NUMBA_CPU_FEATURES=${CPU_FEATURES} NUMBA_CACHE_DIR=" in stage


def test_the_image_runs_as_nobody_and_without_a_version_that_moves() -> None:
    assert re.search(r"^USER [1-9]\d+$", dockerfile(), flags=re.MULTILINE)
    assert re.search(r"^ARG BASE=python:3\.\d+\S*$", dockerfile(), flags=re.MULTILINE)


def test_our_containers_are_locked_down() -> None:
    services = compose()["services"]
    ours = {name: service for name, service in services.items() if "build" in service}
    assert ours.keys() == OUR_SERVICES
    for service in ours.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["tmpfs"] == ["/tmp:mode=1777"]
        assert service["environment"].keys() <= KNOWN_SETTINGS
        assert service["command"][0] in COMMANDS


def test_every_container_of_ours_says_how_it_is() -> None:
    services = compose()["services"]
    probes = {name: services[name]["healthcheck"]["test"] for name in ("redis", "worker", "demo", "prometheus")}
    for name in ("worker", "demo"):
        assert probes[name][:5] == ["CMD", "python3", "-m", "app", "healthy"]
        parser = argparse.ArgumentParser()
        command("healthy").add_arguments(parser)
        parser.parse_args(probes[name][5:])
    assert probes["worker"][5:] == ["--worker"]
    target = services["demo"]["command"][services["demo"]["command"].index("--to") + 1]
    assert probes["demo"][5:] == ["--of", target]
    assert probes["prometheus"][:4] == ["CMD", "promtool", "check", "healthy"]
    assert "healthcheck" not in services["api"], "the image's own"
    assert "HEALTHCHECK --interval=5s" in dockerfile()


def test_every_container_has_a_limit_of_memory_and_its_root_is_read_only() -> None:
    services = compose()["services"]
    assert [name for name, service in services.items() if "mem_limit" not in service] == []
    writable = [name for name, service in services.items() if not service.get("read_only")]
    assert writable == ["grafana"], "it keeps its database beside its program"
    maxmemory = services["redis"]["command"][services["redis"]["command"].index("--maxmemory") + 1]
    assert (maxmemory, services["redis"]["mem_limit"]) == ("512mb", "1g")


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_has_the_check_that_the_container_is_asked_with() -> None:
    (_, *probe) = compose()["services"]["prometheus"]["healthcheck"]["test"]
    (flag,) = [word.partition("=")[0] for word in probe if word.startswith("--")]
    if "check healthy" not in ended("promtool", "--help-long").stdout:
        pytest.skip("this promtool is older than the container's: it has no such check")
    found = ended(*probe[:3], "--help")
    assert (found.returncode, flag in found.stdout + found.stderr) == (0, True)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize("unit", sorted((DEPLOY / "systemd").glob("*.service")), ids=lambda unit: unit.name)
def test_systemd_accepts_the_unit(unit: Path, tmp_path: Path) -> None:
    """As it is but for the interpreter, which is this one: verify looks for the program."""
    copy = tmp_path / unit.name.replace("@", "@1")
    copy.write_text(unit.read_text().replace("/opt/smilekeeper/.venv/bin/python", sys.executable))
    found = ended("systemd-analyze", "verify", "--man=no", str(copy))
    complaints = [line for line in found.stderr.splitlines() if copy.name in line]
    assert complaints == []


def test_ports_are_published_on_loopback_only() -> None:
    ports = [port for service in compose()["services"].values() for port in service.get("ports", [])]
    assert ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_the_api_trusts_the_network_of_the_containers_and_no_other() -> None:
    (pool,) = compose()["networks"]["default"]["ipam"]["config"]
    for name in OUR_SERVICES:
        assert compose()["services"][name]["environment"]["SMILEKEEPER_TRUSTED_NETWORKS"] == pool["subnet"]


def test_images_have_versions() -> None:
    images = [service["image"] for service in compose()["services"].values() if "build" not in service]
    versions = [re.fullmatch(r"\$\{\w+:-[\w/]+:v?(\d[\d.]*)\}", image) for image in images]
    assert images
    assert None not in versions, images


@pytest.mark.parametrize("program", [("docker-compose",), ("docker", "compose")], ids=" ".join)
def test_compose_accepts_the_file(program: tuple[str, ...]) -> None:
    if shutil.which(program[0]) is None or ended(*program, "version").returncode:
        pytest.skip(f"{' '.join(program)} is not installed")
    found = ended(*program, "-f", str(PROJECT / "docker-compose.yml"), "config", "--quiet")
    assert found.returncode == 0, found.stderr


def ended(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_pods_are_found_by_what_selects_them() -> None:
    deployments = {each["metadata"]["name"]: each for each in kubernetes("Deployment")}
    labels = {name: each["spec"]["template"]["metadata"]["labels"] for name, each in deployments.items()}
    for name, deployment in deployments.items():
        assert deployment["spec"]["selector"]["matchLabels"] == labels[name]
    (service,), (budget,) = kubernetes("Service"), kubernetes("PodDisruptionBudget")
    assert service["spec"]["selector"] == labels["smilekeeper-api"] == budget["spec"]["selector"]["matchLabels"]
    (scaler,) = kubernetes("HorizontalPodAutoscaler")
    assert scaler["spec"]["scaleTargetRef"]["name"] in deployments


def test_pods_are_locked_down() -> None:
    for container in containers():
        assert container["args"][0] in COMMANDS
        assert {each["name"] for each in container["env"]} <= KNOWN_SETTINGS
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}]
    for deployment in kubernetes("Deployment"):
        assert deployment["spec"]["template"]["spec"]["securityContext"]["runAsNonRoot"] is True


def test_probes_ask_for_what_they_are_for() -> None:
    api, worker = containers()
    assert {name: api[name]["httpGet"]["path"] for name in PROBES} == PROBES
    assert not PROBES.keys() & worker.keys()


def test_units_start_commands_of_the_program() -> None:
    units = sorted((DEPLOY / "systemd").glob("*.service"))
    started = [re.findall(r"^ExecStart=\S+ -m app (\S+)", unit.read_text(), flags=re.MULTILINE) for unit in units]
    assert sorted(itertools.chain(*started)) == ["api", "worker"]
    assert {"api", "worker"} <= COMMANDS.keys()
