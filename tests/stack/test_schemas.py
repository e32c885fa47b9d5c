"""The schemas of the real APIs accept what their API servers accept, and nothing else."""

from __future__ import annotations

import json
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from stack import schemas
from stack.servers.binaries import PINS, BinaryMissingError
from tests.helpers.kubeconform import Kubeconform

OBJECTS: list[dict[str, Any]] = list(
    yaml.safe_load_all("""
apiVersion: apps/v1
kind: Deployment
metadata: {name: agentos, labels: {app: agentos}}
spec:
  selector: {matchLabels: {app: agentos}}
  strategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 25%}}
  template:
    metadata: {labels: {app: agentos}}
    spec:
      containers:
      - name: agentos
        image: agentos
        ports: [{name: http, containerPort: 8000}]
        resources: {limits: {cpu: 1, memory: 1Gi}}
        livenessProbe: {httpGet: {path: /health, port: http}}
      volumes: [{name: state, emptyDir: {sizeLimit: 64Mi}}]
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: agentos}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: agentos}
  maxReplicas: 3
  metrics: [{type: Pods, pods: {metric: {name: a2a_active_tasks}, target: {type: AverageValue, averageValue: "5"}}}]
---
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata: {name: agentos}
spec: {selector: {matchLabels: {app: agentos}}, endpoints: [{port: metrics, interval: 15s}]}
---
apiVersion: monitoring.coreos.com/v1
kind: PodMonitor
metadata: {name: agentos}
spec: {selector: {}, podMetricsEndpoints: [{port: metrics}]}
---
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata: {name: agentos}
spec: {groups: [{name: agentos, rules: [{alert: Down, expr: up == 0, for: 5m, labels: {severity: page}}]}]}
---
apiVersion: opentelemetry.io/v1beta1
kind: OpenTelemetryCollector
metadata: {name: agentos}
spec:
  mode: deployment
  config:
    receivers: {otlp: {protocols: {http: {endpoint: "0.0.0.0:4318"}}}}
    exporters: {debug: {}}
    service: {pipelines: {metrics: {receivers: [otlp], exporters: [debug]}}}
""")
)
CONTAINER = "spec/template/spec/containers/0"
# Kind, place, wrong value, and the reason of the refusal.
WRONG = [
    ("Deployment", "spec/replica", 2, "additional properties 'replica' not allowed"),
    ("Deployment", f"{CONTAINER}/livenesProbe", {}, "additional properties 'livenesProbe' not allowed"),
    ("Deployment", f"{CONTAINER}/env", [{"name": "A", "value": 1}], "got number, want string"),
    ("Deployment", f"{CONTAINER}/resources/limits/cpu", True, "got boolean, want string"),
    ("Deployment", "metadata/labels/app", True, "got boolean, want string"),
    ("Deployment", "metadata/label", {}, "additional properties 'label' not allowed"),
    ("Deployment", "spec/template/spec/volumes/0/emptyDir", None, "got null, want object"),
    ("HorizontalPodAutoscaler", "spec/maxReplicas", "3", "got string, want integer"),
    ("ServiceMonitor", "spec/endpoints/0/intervall", "15s", "additional properties 'intervall' not allowed"),
    ("ServiceMonitor", "spec/endpoints/0/interval", "15", "does not match pattern"),
    ("ServiceMonitor", "metadata/labels", {"app": 1}, "got number, want string"),
    ("PodMonitor", "spec/endpoints", [], "additional properties 'endpoints' not allowed"),
    ("PrometheusRule", "spec/groups/0/rules/0/alerts", "Down", "additional properties 'alerts' not allowed"),
    ("PrometheusRule", "spec/groups/0/rules/0/for", "5 minutes", "does not match pattern"),
    ("OpenTelemetryCollector", "spec/mode", "pod", "value must be one of"),
    ("OpenTelemetryCollector", "spec/mood", "deployment", "additional properties 'mood' not allowed"),
    ("OpenTelemetryCollector", "spec/config/service", None, "got null, want object"),
]


def _changed(kind: str, place: str, value: object) -> dict[str, Any]:
    """Returns the object of a kind with another value at a place."""
    (found,) = (deepcopy(one) for one in OBJECTS if one["kind"] == kind)
    node: Any = found
    *parents, last = place.split("/")
    for key in parents:
        node = node[int(key)] if isinstance(node, list) else node[key]
    node[last] = value
    return found


def test_right_objects_are_valid(kubeconform: Kubeconform) -> None:
    """Objects that use numbers or strings, quantities and free-form configuration are valid, each of them."""
    validation = kubeconform.validate_objects(OBJECTS)
    assert (validation.valid, validation.refused, validation.skipped) == (len(OBJECTS), {}, 0)


@pytest.mark.parametrize(("kind", "place", "value", "reason"), WRONG, ids=[f"{kind}-{place}" for kind, place, *_ in WRONG])
def test_a_wrong_object_is_refused(kubeconform: Kubeconform, kind: str, place: str, value: object, reason: str) -> None:
    """An unknown field, a wrong type, a wrong word or a wrong duration is refused, for its reason."""
    validation = kubeconform.validate_objects([_changed(kind, place, value)])
    (refusal,) = validation.refused.values()
    assert reason in refusal


def test_a_kind_without_a_schema_is_refused(kubeconform: Kubeconform) -> None:
    """An object of an unknown kind is an error, and is not skipped."""
    unknown = {"apiVersion": "example.com/v1", "kind": "Unknown", "metadata": {"name": "agentos"}}
    validation = kubeconform.validate_objects([unknown])
    assert (validation.valid, validation.skipped) == (0, 0)
    assert validation.refused == {"Unknown/agentos": "could not find schema for Unknown"}


def test_each_kind_of_the_kubernetes_api_has_a_schema(kubernetes_schemas: Path) -> None:
    """The folder holds a file for each kind that the API of Kubernetes serves by name."""
    swagger = json.loads(schemas.module_file("k8s.io/kubernetes", "api/openapi-spec/swagger.json").read_text())
    read = [path["get"] for path in swagger["paths"].values() if path.get("get", {}).get("x-kubernetes-action") == "get"]
    kinds = [one["x-kubernetes-group-version-kind"] for one in read]
    names = {f"{one['kind'].lower()}-{one['group'] or one['version']}-{one['version']}.json" for one in kinds}
    missing = {name for name in names if not (kubernetes_schemas / name).exists()}
    assert missing == set()
    assert len(names) > 60


def test_each_module_is_pinned_by_the_hash_of_its_content() -> None:
    """``go.sum`` has the hash of each module whose files are read."""
    pins = PINS / "schemas"
    required = re.findall(r"(?m)^\t(\S+) (v\S+)$", (pins / "go.mod").read_text())
    hashed = re.findall(r"(?m)^(\S+) (v[^/\s]+) h1:", (pins / "go.sum").read_text())
    assert len(required) == 3
    assert sorted(required) == sorted(hashed)


def test_a_module_that_is_not_the_pinned_one_is_refused(
    kubernetes_schemas: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A module whose hash differs from ``go.sum`` is refused by name."""
    (tmp_path / "schemas").mkdir()
    for name in ("go.mod", "go.sum"):
        text = (PINS / "schemas" / name).read_text()
        (tmp_path / "schemas" / name).write_text(re.sub(r"(?m)^(k8s\S+ v\S+ h1:).{8}", r"\1AAAAAAAA", text))
    monkeypatch.setattr(schemas, "PINS", tmp_path)
    schemas.module_file.cache_clear()
    with pytest.raises(BinaryMissingError, match=r"^k8s\.io/kubernetes could not be downloaded: .*checksum mismatch"):
        schemas.module_file("k8s.io/kubernetes", "api/openapi-spec/swagger.json")


def test_without_go_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The reason names the module and how to install Go."""
    monkeypatch.setenv("PATH", str(tmp_path))
    schemas.module_file.cache_clear()
    with pytest.raises(BinaryMissingError) as missing:
        schemas.module_file("k8s.io/kubernetes", "LICENSE")
    assert str(missing.value) == (
        "k8s.io/kubernetes is downloaded with Go, which is not installed: "
        "install Go 1.26.7 or newer (https://go.dev/doc/install)"
    )
