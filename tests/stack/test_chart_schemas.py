"""Whatever values are combined, the chart renders objects that the APIs of Kubernetes and of the operators accept."""

from __future__ import annotations

import itertools
import re
import subprocess
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helpers.chart_values import COMBINATIONS, OTHER, combinations, rendered
from tests.helpers.kubeconform import Kubeconform, Validation

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.usefixtures("helm")


def _objects(text: str) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all(text) if one]


def test_the_combinations_have_each_pair_of_values() -> None:
    """Each two values meet in all four ways: both default, both not, and one of them."""
    chosen = [set(combination) for combination in combinations()]
    pairs = itertools.combinations(OTHER, 2)
    assert [pair for pair in pairs if len({(pair[0] in one, pair[1] in one) for one in chosen}) < 4] == []


def test_each_combination_of_values_fits_the_schemas(kubeconform: Kubeconform, tmp_path: Path) -> None:
    """Every object of every combination is valid, and none is skipped."""
    texts = [rendered(tmp_path, values) for values in combinations()]
    count = sum(len(re.findall(r"(?m)^kind: ", one)) for one in texts)
    assert kubeconform.validate("\n---\n".join(texts)) == Validation(count, {}, 0)
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
    return _objects(rendered(tmp_path_factory.mktemp("values"), values))


def _put(node: Any, place: str, value: object) -> None:
    *parents, last = place.split("/")
    for key in parents:
        node = node[int(key)] if isinstance(node, list) else node[key]
    node[last] = value


@pytest.mark.parametrize("links", [{}, {"links.grafana": "https://g.example.com", "links.runbooks": "https://w.example.com"}])
def test_promtool_accepts_the_rules_of_the_operators_objects(promtool: Path, tmp_path: Path, links: dict[str, str]) -> None:
    """``promtool check rules`` finds each generated rule in the objects, with and without a site's links."""
    objects = [one for one in _objects(rendered(tmp_path, links)) if one["kind"] == "PrometheusRule"]
    for name in ("recording", "alerts"):
        (spec,) = (one["spec"] for one in objects if one["metadata"]["name"] == f"agentos-{name}")
        rules = tmp_path / f"{name}.yml"
        rules.write_text(yaml.safe_dump(spec))
        command: list[str | Path] = [promtool, "check", "rules", "--lint=all", "--lint-fatal", rules]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        written = re.findall(r"(?m)^ *- (?:alert|record): ", (ROOT / f"dashboards/rules/agentos-{name}.yml").read_text())
        assert f"SUCCESS: {len(written)} rules found" in done.stdout, done.stdout + done.stderr
