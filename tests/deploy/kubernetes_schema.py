"""The part of the Kubernetes API that the example uses, closed: a field that is misspelt or misplaced is refused.

Taken from the API reference (apps/v1, v1, policy/v1, autoscaling/v2), field by field. A client's dry run says no more
about a file, and needs a cluster for it.
"""

from typing import Any, Final

STRING: Final = {"type": "string", "minLength": 1}
NAME: Final = {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", "maxLength": 253}
PORT_NAME: Final = {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?$"}
LABEL: Final = {"type": "string", "pattern": "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$", "maxLength": 63}
BOOLEAN: Final = {"type": "boolean"}
COUNT: Final = {"type": "integer", "minimum": 0}
SECONDS: Final = {"type": "integer", "minimum": 1}
PORT: Final = {"type": "integer", "minimum": 1, "maximum": 65_535}
QUANTITY: Final = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$"}
LABELS: Final = {"type": "object", "additionalProperties": LABEL, "minProperties": 1}
ANNOTATIONS: Final = {"type": "object", "additionalProperties": {"type": "string"}}


def one(required: str, optional: str = "", /, **fields: Any) -> dict[str, Any]:
    """Return the schema of an object with these fields and no other."""
    assert set(fields) == {*required.split(), *optional.split()}
    return {"type": "object", "properties": fields, "required": required.split(), "additionalProperties": False}


def several(item: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a list with at least one ``item``."""
    return {"type": "array", "items": item, "minItems": 1}


METADATA: Final = one("name", "labels", name=NAME, labels=LABELS)
SELECTOR: Final = one("matchLabels", matchLabels=LABELS)
RESOURCES: Final = one("", "cpu memory", cpu=QUANTITY, memory=QUANTITY)
PROBE: Final = one(
    "httpGet",
    "periodSeconds timeoutSeconds failureThreshold",
    httpGet=one("path port", path={"type": "string", "pattern": "^/"}, port={"anyOf": [PORT, PORT_NAME]}),
    periodSeconds=SECONDS,
    timeoutSeconds=SECONDS,
    failureThreshold=SECONDS,
)
VARIABLE: Final = one(
    "name valueFrom",
    name={"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"},
    valueFrom=one("secretKeyRef", secretKeyRef=one("name key", name=NAME, key=STRING)),
)
CONTAINER: Final = one(
    "name image args resources securityContext",
    "env ports startupProbe livenessProbe readinessProbe volumeMounts",
    name=NAME,
    image=STRING,
    args=several(STRING),
    env=several(VARIABLE),
    ports=several(one("name containerPort", name=PORT_NAME, containerPort=PORT)),
    startupProbe=PROBE,
    livenessProbe=PROBE,
    readinessProbe=PROBE,
    resources=one("requests limits", requests=RESOURCES, limits=RESOURCES),
    securityContext=one(
        "allowPrivilegeEscalation readOnlyRootFilesystem capabilities",
        allowPrivilegeEscalation=BOOLEAN,
        readOnlyRootFilesystem=BOOLEAN,
        capabilities=one("drop", drop=several(STRING)),
    ),
    volumeMounts=several(one("name mountPath", name=NAME, mountPath={"type": "string", "pattern": "^/"})),
)
POD: Final = one(
    "containers securityContext",
    "automountServiceAccountToken terminationGracePeriodSeconds volumes",
    automountServiceAccountToken=BOOLEAN,
    terminationGracePeriodSeconds=COUNT,
    securityContext=one(
        "runAsNonRoot runAsUser runAsGroup seccompProfile",
        runAsNonRoot=BOOLEAN,
        runAsUser=COUNT,
        runAsGroup=COUNT,
        seccompProfile=one("type", type={"enum": ["RuntimeDefault", "Unconfined", "Localhost"]}),
    ),
    containers=several(CONTAINER),
    volumes=several(
        one(
            "name emptyDir",
            name=NAME,
            emptyDir=one("", "medium sizeLimit", medium={"enum": ["", "Memory"]}, sizeLimit=QUANTITY),
        )
    ),
)
TEMPLATE: Final = one(
    "metadata spec", metadata=one("labels", "annotations", labels=LABELS, annotations=ANNOTATIONS), spec=POD
)
METRIC: Final = {
    "oneOf": [
        one(
            "type external",
            type={"const": "External"},
            external=one(
                "metric target",
                metric=one("name", name=STRING),
                target=one("type value", type={"const": "Value"}, value=QUANTITY),
            ),
        ),
        one(
            "type resource",
            type={"const": "Resource"},
            resource=one(
                "name target",
                name={"enum": ["cpu", "memory"]},
                target=one("type averageUtilization", type={"const": "Utilization"}, averageUtilization=SECONDS),
            ),
        ),
    ]
}
SPECS: Final = {
    ("apps/v1", "Deployment"): one(
        "selector template", "replicas", replicas=COUNT, selector=SELECTOR, template=TEMPLATE
    ),
    ("v1", "Service"): one(
        "selector ports",
        selector=LABELS,
        ports=several(one("name port targetPort", name=PORT_NAME, port=PORT, targetPort={"anyOf": [PORT, PORT_NAME]})),
    ),
    ("policy/v1", "PodDisruptionBudget"): one("minAvailable selector", minAvailable=COUNT, selector=SELECTOR),
    ("autoscaling/v2", "HorizontalPodAutoscaler"): one(
        "scaleTargetRef minReplicas maxReplicas metrics",
        scaleTargetRef=one("apiVersion kind name", apiVersion=STRING, kind=STRING, name=NAME),
        minReplicas=SECONDS,
        maxReplicas=SECONDS,
        metrics=several(METRIC),
    ),
}


def schema_of(document: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a document by its version and kind. Raises KeyError for one that is not known."""
    version, kind = document["apiVersion"], document["kind"]
    return one(
        "apiVersion kind metadata spec",
        apiVersion={"const": version},
        kind={"const": kind},
        metadata=METADATA,
        spec=SPECS[version, kind],
    )
