"""The Helm chart and its manifests, checked by Helm, against the real schemas, and by promtool and the Collector."""

from __future__ import annotations

import re
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from agents.settings import Settings
from dashboards.adapter import tasks_of_pods
from stack import manifests
from stack.manifests import CHART, DOCUMENT, KUBERNETES, render
from tests.helpers.kubeconform import Kubeconform, Validation
from tests.helpers.required_servers import built_server

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.usefixtures("helm")

BOARDS = sorted(ROOT.glob("dashboards/agentos-*.json"))
CORE = ["ConfigMap"] * (1 + len(BOARDS)) + [
    "Deployment",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "Service",
    "Service",
    "ServiceAccount",
]
MORE = ["ConfigMap", "ConfigMap", "Secret", "HorizontalPodAutoscaler", "OpenTelemetryCollector", "PodMonitor"]
MORE += ["PrometheusRule", "PrometheusRule"]
MONITORED = ["PrometheusRule", "PrometheusRule", "ServiceMonitor"]
KNOWN = (
    "--api-versions",
    "monitoring.coreos.com/v1/ServiceMonitor",
    "--api-versions",
    "monitoring.coreos.com/v1/PrometheusRule",
)

EVERYTHING = """
fullnameOverride: shop
image: {digest: "sha256:0000000000000000000000000000000000000000000000000000000000000000"}
imagePullSecrets: [{name: registry}]
workers: 4
listenHost: "::"
runAs: 1000650000
settings: {AGENTOS_RATE_LIMIT: 100/second, OTEL_TRACES_SAMPLER: always_on, OTEL_RESOURCE_ATTRIBUTES: team=shop}
redis: {url: "rediss://redis:6380/0"}
prices: {models: {small: {input: 0.15, output: 0.0000006}}}
budgets: {acme: {usd: 12345678, period: month}}
secret:
  create: {tokens: first-token-of-metrics, keys: '{"acme": "first-key-of-acme-7f3a"}', openai: sk-of-the-provider}
  keys: {metricsTokens: tokens, apiKeys: keys}
  env: {OPENAI_API_KEY: openai}
metrics: {nativeHistograms: true, monitor: PodMonitor, labels: {release: kps}}
rules: {enabled: true, labels: {release: kps}}
links: {grafana: "https://grafana.example.com/", runbooks: "https://wiki.example.com/agentos"}
dashboards: {namespace: monitoring}
collector:
  enabled: true
  tailSampling: true
  serviceMonitor: true
  storage: {className: fast}
  env: [{name: TRACES_AUTHORIZATION, valueFrom: {secretKeyRef: {name: traces, key: header}}}]
service: {type: LoadBalancer, annotations: {a: b}, ipFamilyPolicy: PreferDualStack}
networkPolicy: {from: [{podSelector: {}}], egress: [{ports: [{port: 9000}]}]}
podDisruptionBudget: {maxUnavailable: 25%}
autoscaling: {enabled: true}
serviceAccount: {annotations: {a: b}}
podAnnotations: {a: b}
podLabels: {team: shop}
nodeSelector: {disk: fast}
tolerations: [{operator: Exists}]
affinity: {nodeAffinity: {}}
priorityClassName: high
topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule}]
volumes: [{name: ledger, emptyDir: {}}]
volumeMounts: [{name: ledger, mountPath: /ledger}]
"""

ALONE = """
replicas: 1
workers: 1
serviceAccount: {create: false}
networkPolicy: {enabled: false}
podDisruptionBudget: {enabled: false}
dashboards: {enabled: false}
metrics: {monitor: none, models: false, agents: false, runtime: false}
rules: {enabled: false}
"""


@pytest.fixture
def values(tmp_path: Path) -> Callable[[str], tuple[str, str]]:
    """Writes values to a file and returns Helm's arguments that name it."""

    def write(text: str) -> tuple[str, str]:
        path = tmp_path / "values.yaml"
        path.write_text(text)
        return ("--values", str(path))

    return write


def _objects(*arguments: str) -> dict[str, dict[str, Any]]:
    """Renders the chart; returns its objects by ``Kind/name``."""
    found = [one for one in yaml.safe_load_all(render(*arguments)) if one]
    return {f"{one['kind']}/{one['metadata']['name']}": one for one in found}


def _refusal(*arguments: str) -> str:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        render(*arguments)
    return str(refused.value.stderr)


def _pod(*arguments: str) -> dict[str, Any]:
    pod: dict[str, Any] = _objects("--show-only", "templates/deployment.yaml", *arguments)["Deployment/agentos"]
    return dict(pod["spec"]["template"]["spec"])


@pytest.mark.parametrize("text", ["", EVERYTHING, ALONE], ids=["default", "everything", "alone"])
def test_helm_finds_no_fault(helm: Path, values: Callable[[str], tuple[str, str]], text: str) -> None:
    """``helm lint --strict`` passes."""
    command: list[str | Path] = [helm, "lint", "--strict", "--kube-version", KUBERNETES, CHART, *values(text)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, "0 chart(s) failed" in done.stdout) == (0, True), done.stdout


@pytest.mark.parametrize(
    ("text", "arguments", "kinds"),
    [
        ("", (), CORE),
        ("", KNOWN, CORE + MONITORED),
        (EVERYTHING, (), [*CORE, *MORE]),
        (ALONE, KNOWN, ["ConfigMap", "Deployment", "Service", "Service"]),
    ],
    ids=["bare cluster", "operator known", "everything", "alone"],
)
def test_each_rendering_fits_the_real_schemas(
    kubeconform: Kubeconform, values: Callable[[str], tuple[str, str]], text: str, arguments: tuple[str, ...], kinds: list[str]
) -> None:
    """Each object has the fields and types of its API, and the objects are those that the values ask for."""
    rendered = render(*values(text), *arguments)
    assert sorted(one["kind"] for one in yaml.safe_load_all(rendered) if one) == sorted(kinds)
    assert kubeconform.validate(rendered) == Validation(len(kinds), {}, 0)


@pytest.mark.parametrize("name", sorted(manifests.MANIFESTS))
def test_each_manifest_fits_the_real_schemas(kubeconform: Kubeconform, name: str) -> None:
    """Each object of a committed manifest has the fields and types of its API."""
    found = kubeconform.validate((ROOT / "deploy/kubernetes" / name).read_text())
    assert (found.refused, found.skipped, found.valid > 0) == ({}, 0, True)


def test_the_committed_manifests_are_those_of_the_chart(capfd: pytest.CaptureFixture[str]) -> None:
    """`make manifests` would change nothing."""
    assert (manifests.main(["--check"]), capfd.readouterr().err) == (0, "")


def test_a_stale_manifest_fails_the_check_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A changed line fails the check, which names the file and the command to run."""
    monkeypatch.setattr(manifests, "ROOT", tmp_path)
    monkeypatch.setattr(manifests, "MANIFESTS", {"autoscaling.yaml": manifests.MANIFESTS["autoscaling.yaml"]})
    (tmp_path / "deploy/kubernetes").mkdir(parents=True)
    assert manifests.main([]) == 0
    written = tmp_path / "deploy/kubernetes/autoscaling.yaml"
    written.write_text(written.read_text().replace("maxReplicas: 10", "maxReplicas: 11"))
    assert manifests.main(["--check"]) == 1
    assert capfd.readouterr().err == "deploy/kubernetes/autoscaling.yaml is stale: run make manifests\n"


def test_rules_and_dashboards_arrive_unchanged(values: Callable[[str], tuple[str, str]]) -> None:
    """Rules, with their own braces, and dashboards are those of the generated files, byte for byte or value for value."""
    objects = _objects(*KNOWN)
    for name in ("recording", "alerts"):
        rules = yaml.safe_load((ROOT / f"dashboards/rules/agentos-{name}.yml").read_text())
        assert objects[f"PrometheusRule/agentos-{name}"]["spec"] == rules
    for board in BOARDS:
        shown = objects[f"ConfigMap/{board.stem.replace('-', '-grafana-', 1)}"]
        assert shown["data"] == {board.name: board.read_text()}
        assert shown["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_links_lead_to_the_sites_addresses(values: Callable[[str], tuple[str, str]]) -> None:
    """With addresses in `links`, no rule and no dashboard leads to this machine."""
    rendered = render(
        *values(EVERYTHING), "--show-only", "templates/prometheusrule.yaml", "--show-only", "templates/dashboards.yaml"
    )
    assert "localhost" not in rendered
    assert "runbook_url: https://wiki.example.com/agentos/AgentOSDown.md" in rendered
    assert "dashboard_url: https://grafana.example.com/d/agentos?var-job=agentos\n" in rendered


@pytest.mark.parametrize(("sampling", "processors"), [("false", []), ("true", ["tail_sampling"])])
def test_the_collector_gets_our_configuration(tmp_path: Path, sampling: str, processors: list[str]) -> None:
    """Its configuration is otel-collector.yaml but for a list and a port, and the Collector accepts it."""
    arguments = ("--set", "collector.enabled=true", "--set", f"collector.tailSampling={sampling}")
    spec = _objects(*arguments)["OpenTelemetryCollector/agentos"]["spec"]
    expected = yaml.safe_load((ROOT / "otel-collector.yaml").read_text())
    expected["service"]["pipelines"]["traces/kept"]["processors"] = processors
    expected["service"]["telemetry"]["metrics"]["readers"][0]["pull"]["exporter"]["prometheus"]["port"] = 8888
    assert spec["config"] == expected
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(spec["config"]))
    options = [f"--{name}={value}" for name, value in spec["args"].items()]
    named_by_pod = {"COLLECTOR_NAME": "agentos-collector-0", "QUEUE_DIRECTORY": str(tmp_path)}
    environment = {one["name"]: one.get("value", "") for one in spec["env"]} | named_by_pod
    command: list[str | Path] = [built_server("otelcol"), "validate", "--config", config, *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("shutdown", "pre_stop", "seconds"), [("10", "5", 30), ("0.5", "0", 6), ("12.3", "5", 35), ("600", "30", 1235)]
)
def test_the_grace_period_follows_the_setting(shutdown: str, pre_stop: str, seconds: int) -> None:
    """A pod has the sleep, twice AGENTOS_SHUTDOWN_TIMEOUT and 5 seconds, rounded up, and no sleep of 0 seconds."""
    pod = _pod("--set-json", f"shutdownTimeout={shutdown}", "--set-json", f"preStopSeconds={pre_stop}")
    lifecycle = {"preStop": {"sleep": {"seconds": int(pre_stop)}}} if pre_stop != "0" else None
    assert (pod["terminationGracePeriodSeconds"], pod["containers"][0].get("lifecycle")) == (seconds, lifecycle)


def test_the_pod_is_locked_down(values: Callable[[str], tuple[str, str]]) -> None:
    """The pod has no root, no token, no capability and no file system to write to but two volumes of limited size."""
    pod = _pod("--set", "runAs=1000650000")
    (container,) = pod["containers"]
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 1000650000,
        "runAsGroup": 1000650000,
        "fsGroup": 1000650000,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False)
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/run/agentos", "/tmp"}
    assert [volume["emptyDir"] for volume in pod["volumes"]] == [
        {"medium": "Memory", "sizeLimit": "64Mi"},
        {"sizeLimit": "64Mi"},
    ]


def test_secrets_are_in_the_secret_alone(values: Callable[[str], tuple[str, str]]) -> None:
    """What `secret.create` holds is in one object, and the pods and the monitor read it by key."""
    objects = _objects(*values(EVERYTHING.replace("fullnameOverride: shop", "")))
    for secret in ("first-token-of-metrics", "first-key-of-acme-7f3a", "sk-of-the-provider"):
        assert [name for name, one in objects.items() if secret in yaml.safe_dump(one)] == ["Secret/agentos"]
    container = objects["Deployment/agentos"]["spec"]["template"]["spec"]["containers"][0]
    read = {
        one["name"]: one["valueFrom"]["secretKeyRef"] for one in container["env"] if "secretKeyRef" in one.get("valueFrom", {})
    }
    assert read == {
        "AGENTOS_API_KEYS": {"name": "agentos", "key": "keys"},
        "OPENAI_API_KEY": {"name": "agentos", "key": "openai"},
    }
    (endpoint,) = objects["PodMonitor/agentos"]["spec"]["podMetricsEndpoints"]
    assert endpoint["authorization"] == {"type": "Bearer", "credentials": {"name": "agentos", "key": "tokens"}}


@pytest.mark.parametrize(
    ("argument", "restarts"),
    [
        ("settings.AGENTOS_RETRIES=2", True),
        ("prices.currency=USD", True),
        ("secret.create.a=b", True),
        ("budgets.acme.usd=10", False),
        ("links.grafana=https://grafana.example.com", False),
    ],
)
def test_a_change_of_what_is_read_at_the_start_restarts_the_pods(argument: str, restarts: bool) -> None:
    """The annotations of the pods change with settings, prices and Secret, and with nothing else."""
    base = ("--set", "budgets.acme.usd=5,prices.per=1000,secret.create.a=x")
    before, after = (
        _objects(*base, *more)["Deployment/agentos"]["spec"]["template"] for more in ((), ("--set-string", argument))
    )
    assert (before != after) is restarts


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--set", "replica=3"), "additional properties 'replica' not allowed"),
        (("--set", "workers=0"), "'/workers': minimum"),
        (("--set", "metrics.port=8000"), "'/metrics/port'"),
        (("--set", "metrics.monitor=podmonitor"), "'/metrics/monitor'"),
        (("--set-string", "settings.AGENTOS_RATE_LIMITS=1"), "invalid propertyName 'AGENTOS_RATE_LIMITS'"),
        (("--set-string", "settings.AGENTOS_API_KEYS=x"), "invalid propertyName 'AGENTOS_API_KEYS'"),
        (("--set-string", "settings.OTEL_EXPORTER_OTLP_HEADERS=x"), "invalid propertyName 'OTEL_EXPORTER_OTLP_HEADERS'"),
        (("--set", "settings.AGENTOS_RETRIES=2"), "'/settings/AGENTOS_RETRIES': got number, want string"),
        (("--set", "redis.url=redis://user:password@redis:6379"), "'/redis/url'"),
        (("--set", "podLabels.app\\.kubernetes\\.io/name=x"), "invalid propertyName 'app.kubernetes.io/name'"),
        (("--set", "secret.keys.apiKeys=keys"), "secret.existing or secret.create has to be set too"),
        (("--set", "secret.create.a=b,secret.keys.apiKeys=keys"), 'secret.create has no key "keys"'),
        (("--set", "secret.create.a=b,secret.existing=c"), "secret.create and secret.existing exclude each other"),
    ],
    ids=lambda value: value[-1].partition("=")[0] if isinstance(value, tuple) else "",
)
def test_wrong_values_are_refused(arguments: tuple[str, ...], reason: str) -> None:
    """Nothing is rendered, and the message names what is wrong."""
    assert reason in _refusal(*arguments)


def test_the_service_reads_what_the_chart_sets(values: Callable[[str], tuple[str, str]]) -> None:
    """The variables of the pods are settings that the service accepts, with prices and budgets in their form."""
    data = _objects(*values(EVERYTHING.replace("fullnameOverride: shop", "")))["ConfigMap/agentos"]["data"]
    files = ("AGENTOS_PRICES", "AGENTOS_BUDGETS", "AGENTOS_METRICS_TOKEN_FILE")
    settings = Settings.from_environment({name: value for name, value in data.items() if name not in files})
    assert (settings.shutdown_timeout, settings.metrics_listen, settings.rate_limit) == (10.0, "[::]:9464", "100/second")
    assert (settings.model_metrics, settings.agent_metrics, settings.native_histograms) == (True, True, True)
    assert settings.redis_url.get_secret_value() == "rediss://redis:6380/0"
    assert {name: data[name] for name in files} == {
        "AGENTOS_PRICES": "/etc/agentos/prices/prices.json",
        "AGENTOS_BUDGETS": "/etc/agentos/budgets/budgets.json",
        "AGENTOS_METRICS_TOKEN_FILE": "/etc/agentos/metrics/tokens",
    }


def test_the_documents_example_renders(kubeconform: Kubeconform, values: Callable[[str], tuple[str, str]]) -> None:
    """The `site.yaml` of the document is accepted, by the chart and the service, and Prometheus sends the scrape token."""
    (site, *_) = re.findall(r"```yaml\n(image: .*?)```", DOCUMENT.read_text(), re.DOTALL)
    rendered = render(*values(site), *KNOWN)
    assert kubeconform.validate(rendered).refused == {}
    objects = {f"{one['kind']}/{one['metadata']['name']}": one for one in yaml.safe_load_all(rendered) if one}
    data = objects["ConfigMap/agentos"]["data"]
    settings = Settings.from_environment({name: value for name, value in data.items() if name != "AGENTOS_METRICS_TOKEN_FILE"})
    assert settings.agents == {"navi": "http://navi.agents:9000"}
    (endpoint,) = objects["ServiceMonitor/agentos"]["spec"]["endpoints"]
    assert endpoint["authorization"]["credentials"] == {"name": "agentos", "key": "scrape-token"}


def test_the_policy_lets_out_what_the_values_name(values: Callable[[str], tuple[str, str]]) -> None:
    """Ports are those of DNS, OTLP, Redis, HTTPS and of further rules; scrapes come from one namespace."""
    policy = _objects(*values(EVERYTHING))["NetworkPolicy/shop"]["spec"]
    assert [[port["port"] for port in rule["ports"]] for rule in policy["egress"]] == [[53, 53], [4317], [6380], [443], [9000]]
    assert [rule["ports"][0]["port"] for rule in policy["ingress"]] == ["http", "metrics"]
    monitoring = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    assert [rule["from"] for rule in policy["ingress"]] == [[{"podSelector": {}}], [monitoring]]


def test_a_package_holds_the_files_behind_the_links(helm: Path, tmp_path: Path) -> None:
    """`helm package` writes the links' contents, sets the versions, and the package renders without the repository."""
    command: list[str | Path] = [
        helm,
        "package",
        CHART,
        "--version",
        "1.2.3",
        "--app-version",
        "1.2.3",
        "--destination",
        tmp_path,
    ]
    subprocess.run(command, capture_output=True, check=True)
    with tarfile.open(tmp_path / "agentos-1.2.3.tgz") as package:
        packed = {one.name: one for one in package.getmembers()}
    files = [f"agentos/files/{link.name}" for link in (CHART / "files").iterdir()]
    assert [packed[name].isreg() for name in files] == [True] * (len(BOARDS) + 3)
    assert [packed[name].size for name in files] == [(CHART / "files" / Path(name).name).stat().st_size for name in files]
    rendering: list[str | Path] = [
        helm,
        "template",
        "agentos",
        tmp_path / "agentos-1.2.3.tgz",
        "--kube-version",
        KUBERNETES,
        *KNOWN,
    ]
    rendered = subprocess.run(rendering, capture_output=True, text=True, check=True).stdout
    assert re.findall('image: "(.*)"', rendered) == ["agentos:1.2.3"]
    assert rendered.replace("1.2.3", "0.0.0").splitlines()[:50] == render(*KNOWN).splitlines()[:50]


def test_an_older_cluster_is_refused(helm: Path) -> None:
    """A cluster older than 1.30 is refused by name, since its pods have no native sleep."""
    command: list[str | Path] = [helm, "template", "agentos", CHART, "--kube-version", "1.29.9"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, "incompatible with Kubernetes v1.29.9" in done.stderr) == (1, True)


def test_the_adapters_query_counts_an_idle_pod_as_zero(promtool: Path, tmp_path: Path) -> None:
    """A pod's tasks are added up; one without series is 0 while it is scraped, and unknown when it is not."""
    pods = 'namespace="shop",pod=~"busy|idle|down|new"'
    series = {
        'a2a_active_tasks{job="agentos",namespace="shop",pod="busy",agent="navi"}': 3,
        'a2a_active_tasks{job="agentos",namespace="shop",pod="busy",agent="herald"}': 4,
        'a2a_active_tasks{job="agentos",namespace="shop",pod="idle",agent="navi"}': 0,
        'a2a_active_tasks{job="other",namespace="shop",pod="down",agent="navi"}': 9,
        'up{job="agentos",namespace="shop",pod="busy"}': 1,
        'up{job="agentos",namespace="shop",pod="idle"}': 1,
        'up{job="agentos",namespace="shop",pod="down"}': 0,
        'up{job="agentos",namespace="shop",pod="new"}': 1,
        'up{job="agentos",namespace="else",pod="busy"}': 1,
    }
    expected = [{"labels": f'{{pod="{pod}"}}', "value": value} for pod, value in (("busy", 7), ("idle", 0), ("new", 0))]
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": str(value)} for name, value in series.items()],
        "promql_expr_test": [{"expr": tasks_of_pods(pods, "pod"), "eval_time": "0m", "exp_samples": expected}],
    }
    path = tmp_path / "tests.yaml"
    path.write_text(yaml.safe_dump({"rule_files": [], "tests": [test]}))
    done = subprocess.run([promtool, "test", "rules", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
