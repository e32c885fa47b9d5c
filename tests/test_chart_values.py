"""The Helm chart agrees with the service, the dashboards and the Collector's configuration, without Helm."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from agents.main import create_app
from agents.settings import Settings
from dashboards.config import GRAFANA, JOB, RUNBOOKS
from stack.manifests import CHART, DOCUMENT, MANIFESTS, with_values_table
from telemetry import AgentOSTelemetry
from telemetry.agentos.catalogue import A2A_ACTIVE_TASKS
from tests.helpers.asgi_server import serving

ROOT = Path(__file__).parents[1]
TEMPLATES = {path.name: path.read_text() for path in sorted((CHART / "templates").iterdir())}
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
VARIABLES = set(map(Settings.variable, Settings.model_fields))

SECRETS = {"AGENTOS_API_KEYS", "AGENTOS_METRICS_TOKENS", "AGENTOS_REDIS_URL"}
"""Settings that hold a secret, or may: they come from a Secret alone."""

OPEN = {
    "prices",
    "budgets",
    "resources",
    "affinity",
    "settings",
    "labels",
    "annotations",
    "requests",
    "limits",
    "podAnnotations",
}
OPEN |= {"podLabels", "nodeSelector", "create", "env"}
"""Maps whose keys are the user's or those of Kubernetes."""


def _set_by_the_chart() -> set[str]:
    return set(re.findall(r"\bAGENTOS_\w+", TEMPLATES["configmap.yaml"] + TEMPLATES["deployment.yaml"]))


def test_the_chart_sets_only_variables_that_exist() -> None:
    """Each AGENTOS_ variable of the templates is a setting, and each one of the Collector is read by its configuration."""
    assert _set_by_the_chart() - VARIABLES == {"AGENTOS_PORT"}  # named in the reason for enableServiceLinks
    collector = set(re.findall(r"name: ([A-Z_]+), value", TEMPLATES["collector.yaml"]))
    read = set(re.findall(r"\$\{env:(\w+)", (ROOT / "otel-collector.yaml").read_text()))
    assert len(collector) == 12
    assert collector - read == set()


def test_each_setting_can_be_given_in_exactly_one_way() -> None:
    """A setting is one of `settings`, of a value of its own, or of the Secret; AGENTOS_WORKERS follows from `workers`."""
    given = set(SCHEMA["properties"]["settings"]["propertyNames"]["anyOf"][0]["enum"])
    own = _set_by_the_chart() & VARIABLES | SECRETS | {"AGENTOS_WORKERS"}
    assert given & own == set()
    assert given | own == VARIABLES


def test_the_probes_ask_routes_that_exist() -> None:
    """The paths of the probes and of the scrape are answered with 200 by a service without settings."""
    paths = set(re.findall(r"\bpath: (/[\w/]+)[,\n]", TEMPLATES["deployment.yaml"] + TEMPLATES["_helpers.tpl"]))
    telemetry = AgentOSTelemetry()
    with serving(create_app(Settings(), telemetry)) as url:
        answers = {path: httpx.get(url + path, trust_env=False).status_code for path in paths}
    telemetry.shutdown()
    assert answers == {"/health/live": 200, "/health/ready": 200, "/metrics": 200}


def test_the_ports_are_the_ones_that_the_processes_listen_on() -> None:
    """The container's ports are those of the arguments and of AGENTOS_METRICS_LISTEN."""
    deployment = TEMPLATES["deployment.yaml"]
    assert re.findall(r"--port=(\d+)|containerPort: (\d+)", deployment) == [("8000", ""), ("", "8000")]
    assert "containerPort: {{ .Values.metrics.port }}" in deployment
    assert ".Values.metrics.port | quote }}" in re.findall("AGENTOS_METRICS_LISTEN: .*", TEMPLATES["configmap.yaml"])[0]


def test_the_image_has_the_command() -> None:
    """The container's command is a script of the service's distribution."""
    (command,) = re.findall(r"command: \[(\w+)\]", TEMPLATES["deployment.yaml"])
    assert f'\n{command} = "agents.command:main"\n' in (ROOT / "agents/pyproject.toml").read_text()


@pytest.mark.parametrize("link", sorted((CHART / "files").iterdir()), ids=lambda path: path.name)
def test_rules_dashboards_and_configuration_are_links(link: Path) -> None:
    """Each file of the chart that is made elsewhere is a relative link to it, and a template reads it."""
    assert link.is_symlink()
    assert not link.readlink().is_absolute()
    assert link.resolve().is_relative_to(ROOT)
    assert link.resolve().is_file()
    assert link.resolve().name == link.name


def test_every_dashboard_and_every_file_of_rules_is_in_the_chart() -> None:
    """The links are the dashboards, the rules and the Collector's configuration."""
    made = [*ROOT.glob("dashboards/agentos-*.json"), *ROOT.glob("dashboards/rules/*.yml"), ROOT / "otel-collector.yaml"]
    assert sorted(link.resolve() for link in (CHART / "files").iterdir()) == sorted(made)
    made_of = re.findall(r'Files.Glob "files/(.*?)"', TEMPLATES["dashboards.yaml"] + TEMPLATES["prometheusrule.yaml"])
    assert made_of == ["agentos-*.json", "agentos-*.yml"]


def test_every_dashboard_is_in_the_kustomization() -> None:
    """`kubectl apply -k dashboards` makes the same ConfigMaps as the chart does."""
    made = yaml.safe_load((ROOT / "dashboards/kustomization.yaml").read_text())
    names = {one["name"]: one["files"] for one in made["configMapGenerator"]}
    boards = [path.name for path in ROOT.glob("dashboards/agentos-*.json")]
    assert names == {f"agentos-grafana-{name.removeprefix('agentos-').removesuffix('.json')}": [name] for name in boards}
    assert (made["generatorOptions"]["labels"], made["generatorOptions"]["annotations"]) == (
        VALUES["dashboards"]["labels"],
        VALUES["dashboards"]["annotations"],
    )


def test_the_job_is_the_one_that_dashboards_and_rules_read() -> None:
    """The job of a scrape is the label app.kubernetes.io/name, which is the job of dashboards/config.py."""
    assert "jobLabel: app.kubernetes.io/name " in TEMPLATES["monitor.yaml"]
    assert f'define "agentos.selector" -}}}}\napp.kubernetes.io/name: {JOB}\n' in TEMPLATES["_helpers.tpl"]
    assert "nameOverride" not in VALUES


def test_the_autoscaler_reads_the_metric_of_the_adapter() -> None:
    """The autoscaler's metric is the one of the catalogue and of the adapter's rule."""
    adapter = yaml.safe_load((ROOT / "deploy/kubernetes/prometheus-adapter-values.yaml").read_text())
    name = A2A_ACTIVE_TASKS.prometheus_name
    assert [rule["name"]["as"] for rule in adapter["rules"]["custom"]] == [name]
    assert re.findall(r"metric:\n +name: (\w+)", TEMPLATES["horizontalpodautoscaler.yaml"]) == [name]


def test_the_replaced_addresses_are_those_of_the_generated_files() -> None:
    """The addresses that `links` replaces are those of dashboards/config.py."""
    assert re.findall(r'replace "(http[^"]+)"', TEMPLATES["_helpers.tpl"]) == [GRAFANA, RUNBOOKS]


def test_the_values_and_their_schema_have_the_same_names() -> None:
    """Each value has a schema, and each name of the schema but Helm's own a default."""
    assert sorted(_names(VALUES)) == sorted(set(_schema_names(SCHEMA)) - {"global", *_PROBES})


_PROBES = {f"probes.{probe}.initialDelaySeconds" for probe in ("startup", "readiness", "liveness")}


def _names(values: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for name, value in values.items():
        yield above + name
        if isinstance(value, Mapping) and name not in OPEN:
            yield from _names(value, f"{above}{name}.")


def _schema_names(schema: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for name, below in schema.get("properties", {}).items():
        yield above + name
        yield from _schema_names(below, f"{above}{name}.")


def test_no_map_of_the_schema_takes_unknown_names() -> None:
    """Each map whose names are ours refuses others."""
    assert [where for where, schema in _maps(SCHEMA) if schema.get("additionalProperties") is not False] == []


def _maps(schema: Mapping[str, Any], where: str = "values") -> Iterator[tuple[str, Mapping[str, Any]]]:
    if "properties" in schema:
        yield where, schema
        for name, below in schema["properties"].items():
            yield from _maps(below, f"{where}.{name}")


def test_no_default_is_a_secret() -> None:
    """By default no Secret is named and none is made."""
    assert VALUES["secret"] == {
        "existing": "",
        "create": {},
        "keys": {"metricsTokens": "", "scrapeToken": "", "apiKeys": "", "redisUrl": ""},
        "env": {},
    }


def test_each_value_has_a_meaning_in_the_document() -> None:
    """The document's table is made of values.yaml, and has each value or a map that holds it."""
    text = DOCUMENT.read_text()
    assert with_values_table(text, (CHART / "values.yaml").read_text()) == text
    told = set(re.findall(r"(?m)^\| `([\w.]+)` \| ", text.split("<!-- values -->")[1]))
    leaves = {name for name in _names(VALUES) if not any(other.startswith(f"{name}.") for other in _names(VALUES))}
    assert {name for name in leaves if name not in told and name.rpartition(".")[0] not in told} == set()


def test_the_collectors_image_is_the_one_of_compose() -> None:
    """Chart and compose.yaml run the same Collector."""
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    assert VALUES["collector"]["image"] == compose["services"]["otel-collector"]["image"]


def test_the_kustomization_fits_the_manifests() -> None:
    """The files, patches and image that it names exist, also those that are commented out."""
    folder = ROOT / "deploy/kubernetes"
    text = (folder / "kustomization.yaml").read_text()
    text = re.sub(r"(?m)^  # - (\w+\.yaml) .*", r"  - \1", text)
    whole = yaml.safe_load(re.sub(r"(?m)^# ?", "", text[text.index("apiVersion") :]))
    assert sorted(whole["resources"]) == sorted(MANIFESTS)
    manifests = [one for one in yaml.safe_load_all((folder / "agentos.yaml").read_text()) if one]
    core = {f"{one['kind']}/{one['metadata']['name']}": one for one in manifests}
    (container,) = core["Deployment/agentos"]["spec"]["template"]["spec"]["containers"]
    assert [image["name"] for image in whole["images"]] == [container["image"].partition(":")[0]]
    patched = [(f"{one['target']['kind']}/{one['target']['name']}", yaml.safe_load(one["patch"])) for one in whole["patches"]]
    assert [(name, operation["op"], operation["path"]) for name, (operation,) in patched] == [
        ("Deployment/agentos", "remove", "/spec/replicas"),
        ("ConfigMap/agentos", "add", "/data/OTEL_EXPORTER_OTLP_ENDPOINT"),
        ("NetworkPolicy/agentos", "add", "/spec/egress/-"),
    ]
    assert core["Deployment/agentos"]["spec"]["replicas"] == 2
    assert isinstance(core["NetworkPolicy/agentos"]["spec"]["egress"], list)
