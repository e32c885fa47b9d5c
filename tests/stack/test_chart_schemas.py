"""Whatever values are combined, the chart renders objects that the APIs of Kubernetes and of the operators accept."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from stack.manifests import render
from tests.helpers.kubeconform import Kubeconform, Validation

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.usefixtures("helm")

OTHER: dict[str, Any] = {
    "fullnameOverride": "shop",
    "image.digest": "sha256:" + "0" * 64,
    "imagePullSecrets": [{"name": "registry"}],
    "replicas": 0,
    "workers": 1,
    "listenHost": "::",
    "shutdownTimeout": 0.5,
    "preStopSeconds": 0,
    "settings": {"AGENTOS_RATE_LIMIT": "10/second", "OTEL_RESOURCE_ATTRIBUTES": "team=shop"},
    "redis.url": "redis://redis:6379/0",
    "otlp.endpoint": "https://collector.example.com:4318",
    "otlp.protocol": "http/protobuf",
    "prices": {"models": {"small": {"input": 0.15}}},
    "budgets": {"acme": {"usd": 12345678}},
    "secret": {
        "existing": "agentos",
        "keys": {"metricsTokens": "tokens", "apiKeys": "keys"},
        "env": {"OPENAI_API_KEY": "openai"},
    },
    "metrics.port": 9100,
    "metrics.models": False,
    "metrics.nativeHistograms": True,
    "metrics.monitor": "PodMonitor",
    "metrics.labels": {"release": "kps", "number": "1"},
    "rules.enabled": False,
    "rules.labels": {"on": "true"},
    "links.grafana": "https://grafana.example.com",
    "links.runbooks": "https://wiki.example.com/agentos",
    "dashboards.enabled": False,
    "dashboards.namespace": "monitoring",
    "collector.enabled": True,
    "collector.tailSampling": True,
    "collector.storage.className": "fast",
    "collector.env": [{"name": "TRACES_AUTHORIZATION", "valueFrom": {"secretKeyRef": {"name": "traces", "key": "header"}}}],
    "service.type": "NodePort",
    "service.ipFamilyPolicy": "PreferDualStack",
    "networkPolicy.enabled": False,
    "networkPolicy.from": [{"podSelector": {}}],
    "networkPolicy.https": [],
    "podDisruptionBudget.enabled": False,
    "podDisruptionBudget.maxUnavailable": "25%",
    "autoscaling.enabled": True,
    "autoscaling.cpuPercent": 0,
    "serviceAccount.create": False,
    "serviceAccount.name": "runner",
    "resources": {},
    "podAnnotations": {"checked": "true"},
    "tolerations": [{"operator": "Exists"}],
    "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}],
    "volumes": [{"name": "ledger", "emptyDir": {}}],
}
"""A value for each name that differs from the default."""

BASE = {"metrics": {"monitor": "ServiceMonitor"}, "rules": {"enabled": True}}
COMBINATIONS = 10


def _nested(values: Mapping[str, Any], base: Mapping[str, Any] = BASE) -> dict[str, Any]:
    """Returns the tree of values whose names have dots between their parts."""
    tree: dict[str, Any] = json.loads(json.dumps(base))
    for name, value in values.items():
        *parents, last = name.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = value
    return tree


def _combinations() -> list[dict[str, Any]]:
    """Returns few choices of the values, in which each two values meet in all four ways.

    A value differs from the default in half of the choices, always in the first one. Two such halves share the first choice,
    each has one that the other lacks, and so both lack another one.
    """
    halves = itertools.combinations(range(1, COMBINATIONS), COMBINATIONS // 2 - 1)
    chosen = dict(zip(OTHER, ({0, *half} for half in halves), strict=False))
    return [{name: OTHER[name] for name in OTHER if number in chosen[name]} for number in range(COMBINATIONS)]


def _rendered(tmp_path: Path, values: Mapping[str, Any]) -> str:
    path = tmp_path / "values.json"
    path.write_text(json.dumps(_nested(values)))
    return render("--values", str(path))


def _objects(rendered: str) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all(rendered) if one]


def test_the_combinations_have_each_pair_of_values() -> None:
    """Each two values meet in all four ways: both default, both not, and one of them."""
    chosen = [set(combination) for combination in _combinations()]
    pairs = itertools.combinations(OTHER, 2)
    assert [pair for pair in pairs if len({(pair[0] in one, pair[1] in one) for one in chosen}) < 4] == []


def test_each_combination_of_values_fits_the_schemas(kubeconform: Kubeconform, tmp_path: Path) -> None:
    """Every object of every combination is valid, and none is skipped."""
    rendered = [_rendered(tmp_path, values) for values in _combinations()]
    count = sum(len(re.findall(r"(?m)^kind: ", one)) for one in rendered)
    assert kubeconform.validate("\n---\n".join(rendered)) == Validation(count, {}, 0)
    assert count > COMBINATIONS * 8


BROKEN = [
    ("Deployment", "spec/template/spec/containers/0/readinesProbe", {}),
    ("Deployment", "spec/template/spec/containers/0/securityContext/runAsNonRoot", "yes"),
    ("Service", "spec/ports/0/port", "http"),
    ("ConfigMap", "data/AGENTOS_WORKERS", 2),
    ("NetworkPolicy", "spec/egress/0/port", 53),
    ("PodDisruptionBudget", "spec/maxUnavailable", True),
    ("ServiceMonitor", "spec/endpoints/0/scheme", "ftp"),
    ("ServiceMonitor", "spec/endpoints/0/bearer", "token"),
    ("PrometheusRule", "spec/groups/0/rules/0/records", "up"),
    ("HorizontalPodAutoscaler", "spec/metrics/0/pods/metric/names", "a2a_active_tasks"),
    ("OpenTelemetryCollector", "spec/volumeMounts/0/path", "/var"),
]


@pytest.mark.parametrize(("kind", "place", "value"), BROKEN, ids=[f"{kind}-{place}" for kind, place, _ in BROKEN])
def test_a_fault_in_one_object_of_the_chart_is_found(
    kubeconform: Kubeconform, whole: list[dict[str, Any]], kind: str, place: str, value: object
) -> None:
    """One wrong field in one object is refused there, and the other objects stay valid."""
    objects = deepcopy(whole)
    broken = next(one for one in objects if one["kind"] == kind)
    _put(broken, place, value)
    found = kubeconform.validate_objects(objects)
    ((where, reason),) = found.refused.items()
    assert where == f"{kind}/{broken['metadata']['name']}"
    assert place.rpartition("/")[2] in reason
    assert (found.valid, found.skipped) == (len(objects) - 1, 0)


@pytest.fixture(scope="module")
def whole(helm: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """An object of each kind that the chart has, without the dashboards."""
    values = {"autoscaling.enabled": True, "collector.enabled": True, "dashboards.enabled": False}
    return _objects(_rendered(tmp_path_factory.mktemp("values"), values))


def _put(node: Any, place: str, value: object) -> None:
    *parents, last = place.split("/")
    for key in parents:
        node = node[int(key)] if isinstance(node, list) else node[key]
    node[last] = value


@pytest.mark.parametrize("links", [{}, {"links.grafana": "https://g.example.com", "links.runbooks": "https://w.example.com"}])
def test_promtool_accepts_the_rules_of_the_operators_objects(promtool: Path, tmp_path: Path, links: dict[str, str]) -> None:
    """``promtool check rules`` finds each generated rule in the objects, with and without a site's links."""
    objects = [one for one in _objects(_rendered(tmp_path, links)) if one["kind"] == "PrometheusRule"]
    for name in ("recording", "alerts"):
        (spec,) = (one["spec"] for one in objects if one["metadata"]["name"] == f"agentos-{name}")
        rules = tmp_path / f"{name}.yml"
        rules.write_text(yaml.safe_dump(spec))
        command: list[str | Path] = [promtool, "check", "rules", "--lint=all", "--lint-fatal", rules]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        written = re.findall(r"(?m)^ *- (?:alert|record): ", (ROOT / f"dashboards/rules/agentos-{name}.yml").read_text())
        assert f"SUCCESS: {len(written)} rules found" in done.stdout, done.stdout + done.stderr
