"""The Kubernetes example against the API's own fields, and its names against each other."""

import copy
from typing import Any

import pytest
import yaml
from jsonschema_rs import ValidationError, validator_for

from tests.deploy.files import DEPLOY
from tests.deploy.kubernetes_schema import schema_of

DOCUMENTS: list[dict[str, Any]] = [
    document
    for path in sorted((DEPLOY / "kubernetes").glob("*.yml"))
    for document in yaml.safe_load_all(path.read_text())
]


def label(document: dict[str, Any]) -> str:
    return f"{document['kind']} {document['metadata']['name']}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=label)
def test_every_field_is_one_of_the_api(document: dict[str, Any]) -> None:
    validator_for(schema_of(document)).validate(document)


def test_a_wrong_field_would_be_refused() -> None:
    deployment = DOCUMENTS[0]
    schema = validator_for(schema_of(deployment))

    def container(document: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = document["spec"]["template"]["spec"]["containers"][0]
        return found

    for spoil in (
        lambda d: d["spec"].update(replica=2),
        lambda d: d["spec"].update(replicas="2"),
        lambda d: container(d).update(livenessprobe=container(d).pop("livenessProbe")),
        lambda d: container(d)["resources"]["limits"].update(memory="512MiB"),
        lambda d: container(d)["livenessProbe"].update(httpGet={"path": "livez", "port": "http"}),
        lambda d: container(d).pop("image"),
    ):
        wrong = copy.deepcopy(deployment)
        spoil(wrong)
        with pytest.raises(ValidationError):
            schema.validate(wrong)


def test_names_within_a_pod_are_known_there() -> None:
    deployments = [each for each in DOCUMENTS if each["kind"] == "Deployment"]
    for pod in (each["spec"]["template"]["spec"] for each in deployments):
        volumes = {each["name"] for each in pod["volumes"]}
        for container in pod["containers"]:
            ports = {each["name"] for each in container.get("ports", [])}
            probes = [probe["httpGet"]["port"] for name, probe in container.items() if name.endswith("Probe")]
            assert set(probes) <= ports
            assert {each["name"] for each in container["volumeMounts"]} <= volumes
    served = {
        port["name"]
        for d in deployments
        for c in d["spec"]["template"]["spec"]["containers"]
        for port in c.get("ports", [])
    }
    (service,) = [each for each in DOCUMENTS if each["kind"] == "Service"]
    assert {each["targetPort"] for each in service["spec"]["ports"]} <= served
