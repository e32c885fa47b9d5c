"""A real API server of Kubernetes takes the chart's objects: besides the schemas it checks what the fields say together.

``make test-api-server`` runs it: API server and etcd take 5 minutes to build, which the suite does without.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from stack.manifests import MANIFESTS, render
from stack.schemas import custom_resources
from stack.servers.kubernetes import Kubernetes
from tests.helpers.chart_values import COMBINATIONS, combinations, rendered
from tests.helpers.required_servers import built_server

pytestmark = pytest.mark.api_server

ROOT = Path(__file__).parents[2]
RESTRICTED = {"pod-security.kubernetes.io/warn": "restricted"}
NUMBERS = itertools.count(1)
ALL = ("autoscaling.enabled=true", "collector.enabled=true", "rules.enabled=true", "metrics.monitor=ServiceMonitor")
POD = "spec/template/spec"


@pytest.fixture(scope="module")
def cluster(kubernetes_schemas: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubernetes]:
    """An API server that knows the kinds of both operators."""
    folder = tmp_path_factory.mktemp("kubernetes")
    with Kubernetes(built_server("kube-apiserver"), built_server("etcd"), folder) as server:
        for definition in custom_resources():
            server.add_kind(definition)
        yield server


@pytest.fixture
def namespace(cluster: Kubernetes) -> str:
    """A namespace of the test's own that warns of pods outside the Pod Security Standard `restricted`."""
    name = f"test-{next(NUMBERS)}"
    cluster.add_namespace(name, RESTRICTED)
    return name


@pytest.fixture(scope="module")
def objects(helm: Path) -> list[dict[str, Any]]:
    """The chart's objects, of each kind one at least."""
    return list(filter(None, yaml.safe_load_all(render(*(word for value in ALL for word in ("--set", value))))))


def test_each_object_of_the_chart_is_created(cluster: Kubernetes, namespace: str, objects: list[dict[str, Any]]) -> None:
    """The server takes each object, and warns of nothing: neither of deprecated fields nor of pods with too many rights."""
    answers = {f"{one['kind']}/{one['metadata']['name']}": cluster.create(one, namespace) for one in objects}
    assert {name: answer for name, answer in answers.items() if not answer.created or answer.warnings} == {}
    assert len(answers) == len(objects) == 16


@pytest.mark.parametrize("values", combinations(), ids=map(str, range(COMBINATIONS)))
def test_each_combination_of_values_is_created(
    cluster: Kubernetes, namespace: str, tmp_path: Path, values: dict[str, Any]
) -> None:
    """The server takes each object without a warning, whatever values are combined."""
    without = {**values, "dashboards.enabled": False}  # which are the same in all of them, and large
    answers = {
        f"{one['kind']}/{one['metadata']['name']}": cluster.create(one, namespace)
        for one in yaml.safe_load_all(rendered(tmp_path, without))
        if one
    }
    assert {name: answer for name, answer in answers.items() if not answer.created or answer.warnings} == {}
    assert len(answers) > 4


@pytest.mark.parametrize("name", MANIFESTS)
def test_each_object_of_a_manifest_is_created(cluster: Kubernetes, namespace: str, name: str) -> None:
    """The server takes each object of a committed manifest without a warning."""
    things = list(filter(None, yaml.safe_load_all((ROOT / "deploy/kubernetes" / name).read_text())))
    answers = [cluster.create(one, namespace) for one in things]
    assert [answer for answer in answers if not answer.created or answer.warnings] == []
    assert answers != []


WRONG = [
    ("Deployment", "spec/selector/matchLabels/team", "shop", "`selector` does not match template `labels`"),
    ("Deployment", f"{POD}/containers/0/ports/0/name", "port-of-the-requests", "must be no more than 15 characters"),
    ("Deployment", f"{POD}/containers/0/volumeMounts/0/name", "nowhere", "Not found"),
    ("Deployment", f"{POD}/containers/0/resources/requests/memory", "64Gi", "must be less than or equal to memory limit"),
    ("Deployment", "spec/replica", 2, 'unknown field "spec.replica"'),
    ("HorizontalPodAutoscaler", "spec/minReplicas", 100, "must be greater than or equal to `minReplicas`"),
    ("NetworkPolicy", "spec/policyTypes", ["Egres"], "Unsupported value"),
    ("ServiceMonitor", "spec/endpoints/0/intervall", "15s", 'unknown field "spec.endpoints[0].intervall"'),
    ("PrometheusRule", "spec/groups", [{"name": "twice"}, {"name": "twice"}], 'Duplicate value: {"name":"twice"}'),
    ("OpenTelemetryCollector", "spec/mode", "pod", "Unsupported value"),
]


@pytest.mark.parametrize(("kind", "place", "value", "reason"), WRONG, ids=[f"{kind}-{place}" for kind, place, *_ in WRONG])
def test_an_object_that_a_cluster_refuses_is_refused(
    cluster: Kubernetes, namespace: str, objects: list[dict[str, Any]], kind: str, place: str, value: object, reason: str
) -> None:
    """A contradiction between fields is refused for its reason, as is an unknown field."""
    wrong = deepcopy(next(one for one in objects if one["kind"] == kind))
    _put(wrong, place, value)
    answer = cluster.create(wrong, namespace, dry_run=True)
    assert (answer.created, reason in answer.reason) == (False, True), answer.reason


def test_a_pod_with_too_many_rights_is_named(cluster: Kubernetes, namespace: str, objects: list[dict[str, Any]]) -> None:
    """A Deployment whose pods may become root is created with a warning that names the field."""
    wrong = deepcopy(next(one for one in objects if one["kind"] == "Deployment"))
    _put(wrong, f"{POD}/securityContext/runAsNonRoot", False)
    answer = cluster.create(wrong, namespace, dry_run=True)
    (warning,) = answer.warnings
    assert (answer.created, "runAsNonRoot != true" in warning) == (True, True), answer


def _put(node: Any, place: str, value: object) -> None:
    *parents, last = place.split("/")
    for key in parents:
        node = node[int(key)] if isinstance(node, list) else node[key]
    node[last] = value
