"""Properties of `compose.yaml` and `compose.tempo.yaml`, read from the files. ``tests/stack/test_compose_live.py`` runs them.

What a service listens on follows from its own configuration here, or from its image where it is not configured.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from agents.settings import Settings
from dashboards.__main__ import BOARDS
from dashboards.config import GRAFANA, RUNBOOKS
from tests.helpers.compose_files import PLAIN, ROOT, WITH_TEMPO, StrictLoader, merged, read

BOTH = pytest.mark.parametrize("files", [PLAIN, WITH_TEMPO], ids=["plain", "with Tempo"])
ADDRESS = re.compile(r"(?:^|//|@)([a-z][a-z0-9-]*):(\d+)(?:/|$)")
"""A host of the compose network with its port; no address of one's own such as 0.0.0.0."""
FROM_IMAGE = {
    "redis": {6379},
    "prometheus": {9090},
    "alertmanager": {9093},
    "jaeger": {4317, 4318, 13133, 16686},
    "grafana": {3000},
}
"""Ports of the images' own configurations."""
WITHOUT_A_TOOL = {"otel-collector"}
"""Services whose image has nothing that could ask them how they are."""


def _services(files: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    services: dict[str, dict[str, Any]] = merged(files)["services"]
    return services


def _listening(files: tuple[str, ...]) -> dict[str, set[int]]:
    """Returns the ports that each service listens on."""
    services = _services(files)
    collector = services["otel-collector"]["environment"]
    named = [value for key, value in collector.items() if key.endswith("_ENDPOINT") and value.startswith("0.0.0.0:")]
    own = read("otel-collector.yaml")["service"]["telemetry"]["metrics"]["readers"][0]["pull"]["exporter"]["prometheus"]
    telemetry = int(re.findall(r":-(\d+)}", own["port"])[0])
    assert collector["TELEMETRY_HOST"] == "0.0.0.0"
    command = services["alert-receiver"]["command"]
    ports = {
        **FROM_IMAGE,
        "agentos": {int(re.findall(r'"--port", "(\d+)"', (ROOT / "Dockerfile").read_text())[-1])},
        "otel-collector": {telemetry, *(int(address.partition(":")[2]) for address in named)},
        "alert-receiver": {int(command[command.index("--port") + 1])},
    }
    if "tempo" in services:
        config = read("deploy/compose/tempo.yaml")
        protocols = config["distributor"]["receivers"]["otlp"]["protocols"].values()
        received = {int(protocol["endpoint"].partition(":")[2]) for protocol in protocols}
        ports["tempo"] = {config["server"]["http_listen_port"], *received}
    return ports


def _mounts(files: tuple[str, ...]) -> Iterator[tuple[str, str, str, str]]:
    """Yields service, source, path in the container and options of each mount."""
    for name, service in _services(files).items():
        for mount in service.get("volumes", ()):
            source, target, options = (*mount.split(":"), "")[:3]
            yield name, source, target, options


def _mounted(files: tuple[str, ...], name: str) -> dict[str, str]:
    """Returns what the project mounts in a service: path in the container -> path in the project."""
    mounts = [(target, source) for service, source, target, _ in _mounts(files) if service == name]
    return {target: source.removeprefix("./") for target, source in mounts if source.startswith("./")}


def _addresses(files: tuple[str, ...]) -> Iterator[tuple[str, str, int]]:
    """Yields each address of another service: where it stands, the host and the port."""
    values = [(name, value) for name, one in _services(files).items() for value in one.get("environment", {}).values()]
    scraped = [target for job in read("dashboards/prometheus.yml")["scrape_configs"] for target in _targets(job)]
    told = [
        target
        for group in yaml.safe_load((ROOT / "deploy/compose/alertmanagers.yml").read_text())
        for target in group["targets"]
    ]
    receivers = read("dashboards/alertmanager.yml")["receivers"]
    sent = [config["url"] for receiver in receivers for config in receiver["webhook_configs"]]
    values += [("scrape", target) for target in scraped]
    values += [("alerting", target) for target in told]
    values += [("receiver", url) for url in sent]
    for where, value in values:
        for host, port in ADDRESS.findall(value):
            yield where, host, int(port)


def _targets(job: dict[str, Any]) -> list[str]:
    return [target for group in job["static_configs"] for target in group["targets"]]


def test_a_key_that_stands_twice_is_refused() -> None:
    """A mapping with a key twice does not load; one that overrides a key of a merged mapping does."""
    with pytest.raises(yaml.YAMLError, match="twice: AGENTOS_AGENT_METRICS"):
        yaml.load("environment: {AGENTOS_AGENT_METRICS: on, OTHER: on, AGENTOS_AGENT_METRICS: on}", StrictLoader)
    assert yaml.load("{a: &a {x: 1}, b: {<<: *a, x: 2}}", StrictLoader)["b"] == {"x": 2}


@BOTH
def test_each_mounted_file_exists_and_cannot_be_written(files: tuple[str, ...]) -> None:
    """Each file or folder of the project that a container sees exists, and is mounted read-only."""
    own = [(source, options) for _, source, _, options in _mounts(files) if source.startswith(".")]
    assert len(own) >= 12
    assert [source for source, _ in own if not (ROOT / source).exists()] == []
    assert [source for source, options in own if options != "ro"] == []


@BOTH
def test_each_volume_is_declared_and_used(files: tuple[str, ...]) -> None:
    """The volumes that services mount are the ones that the files declare."""
    used = {source for _, source, _, _ in _mounts(files) if not source.startswith(".")}
    assert used == merged(files)["volumes"].keys()


def test_each_file_for_compose_is_mounted() -> None:
    """Nothing lies in deploy/compose that no service reads."""
    mounted = {source for _, source, _, _ in _mounts(WITH_TEMPO)}
    assert {f"./{path.relative_to(ROOT)}" for path in (ROOT / "deploy/compose").glob("*.*")} <= mounted


@BOTH
def test_each_published_port_is_one_that_its_service_listens_on(files: tuple[str, ...]) -> None:
    """Ports are published on loopback only, under their own number, and each once."""
    listening = _listening(files)
    published = [(name, port) for name, service in _services(files).items() for port in service.get("ports", ())]
    assert len(published) >= 9
    for name, port in published:
        address, outside, inside = port.removesuffix("/udp").split(":")
        assert (address, outside) == ("127.0.0.1", inside), port
        assert int(inside) in listening[name], port
    assert len({port for _, port in published}) == len(published)


@BOTH
def test_each_address_is_a_service_that_listens_there(files: tuple[str, ...]) -> None:
    """Endpoints, data sources, scrape targets, Alertmanagers and receivers name a service of the files and one of its ports."""
    listening = _listening(files)
    assert listening.keys() == _services(files).keys()
    found = list(_addresses(files))
    assert {where for where, _, _ in found} >= {"agentos", "otel-collector", "grafana", "scrape", "alerting", "receiver"}
    assert [each for each in found if each[2] not in listening.get(each[1], ())] == []


def test_each_address_in_the_head_is_published() -> None:
    """The addresses that compose.yaml's head tells the reader, and those in alerts' links, are published."""
    head = (ROOT / "compose.yaml").read_text().partition("services:")[0]
    told = {int(port) for port in re.findall(r"http://localhost:(\d+)", head)}
    assert told == {8000, 9090, 3000, 16686, 9093, 9099}
    linked = {urlsplit(address).port for address in (GRAFANA, RUNBOOKS)}
    services = _services(PLAIN)
    external = [word for service in services.values() for word in service.get("command", ()) if "external-url" in word]
    linked |= {urlsplit(word.partition("=")[2]).port for word in external}
    published = {int(port.split(":")[1]) for service in services.values() for port in service.get("ports", ())}
    assert linked | told <= published


@BOTH
def test_each_service_has_a_health_check_of_its_own_port(files: tuple[str, ...]) -> None:
    """Services whose image has a tool for it are checked on a port of their own; agentos is by its Dockerfile."""
    listening = _listening(files)
    checked = {name: one["healthcheck"]["test"] for name, one in _services(files).items() if "healthcheck" in one}
    checked["agentos"] = ["CMD", re.findall(r"HEALTHCHECK .*\\\n *CMD (.*)", (ROOT / "Dockerfile").read_text())[0]]
    assert _services(files).keys() - checked.keys() == WITHOUT_A_TOOL
    for name, test in checked.items():
        assert test[0] == "CMD", f"{name}: no shell is needed"
        for port in re.findall(r"http://127\.0\.0\.1:(\d+)", " ".join(test)):
            assert int(port) in listening[name]


@BOTH
def test_a_service_waits_for_the_health_of_those_that_have_a_check(files: tuple[str, ...]) -> None:
    """Each dependency is a service of the files, awaited healthy if it has a health check and started if it has none."""
    services = _services(files)
    awaited = [(other, how["condition"]) for one in services.values() for other, how in one.get("depends_on", {}).items()]
    assert awaited
    for other, condition in awaited:
        assert condition == ("service_started" if other in WITHOUT_A_TOOL else "service_healthy"), other
        assert other in services


@BOTH
def test_each_image_is_of_a_version(files: tuple[str, ...]) -> None:
    """Each image but our own has a tag with a version of two numbers at least."""
    images = {name: one["image"] for name, one in _services(files).items() if name != "agentos"}
    assert [image for image in images.values() if not re.fullmatch(r"[a-z0-9/-]+:v?\d+\.\d+[\w.-]*", image)] == []


@BOTH
def test_each_service_starts_again_and_has_a_limit_of_memory(files: tuple[str, ...]) -> None:
    """A service that ends is started again, and none can take the machine's memory."""
    for name, service in _services(files).items():
        assert service["restart"] == "unless-stopped", name
        assert re.fullmatch(r"\d+[mg]", service["mem_limit"]), name


def test_the_collector_refuses_before_it_reaches_its_limit() -> None:
    """The Collector's own limit of memory lies below that of its container."""
    limit = re.findall(r":-(\d+)}", read("otel-collector.yaml")["processors"]["memory_limiter"]["limit_mib"])[0]
    assert _services(PLAIN)["otel-collector"]["mem_limit"] == "768m"
    assert int(limit) < 768


def test_the_settings_of_the_service_are_accepted() -> None:
    """Each AGENTOS_ variable is a setting, and the service takes their values together."""
    environment = _services(PLAIN)["agentos"]["environment"]
    ours = {name: value for name, value in environment.items() if name.startswith("AGENTOS_")}
    assert ours.keys() <= {Settings.variable(field) for field in Settings.model_fields}
    assert Settings.from_environment(environment).redis_url is not None


def test_what_the_dashboards_need_is_switched_on() -> None:
    """Each setting that docs/dashboard.md says a dashboard needs has the value that it says."""
    table = (ROOT / "docs/dashboard.md").read_text().partition("| dashboard |")[2].partition("\n\n")[0]
    needed = dict(re.findall(r"`(AGENTOS_\w+)=(\w+)`", table))
    assert len(needed) == len(BOARDS) - 1, "the first needs nothing"
    environment = _services(PLAIN)["agentos"]["environment"]
    assert {name: environment.get(name) for name in needed} == needed


def test_the_service_has_the_time_that_its_shutdown_may_take() -> None:
    """Runs and then the telemetry have AGENTOS_SHUTDOWN_TIMEOUT each before the container is killed."""
    grace = _services(PLAIN)["agentos"]["stop_grace_period"]
    assert int(grace.removesuffix("s")) > 2 * Settings.from_environment({}).shutdown_timeout


@BOTH
def test_the_collector_is_given_variables_and_files_that_it_reads(files: tuple[str, ...]) -> None:
    """Each of its configurations is mounted where its command looks, and each variable is read by one of them."""
    collector, mounted = _services(files)["otel-collector"], _mounted(files, "otel-collector")
    configs = [word.partition("=")[2] for word in collector["command"] if word.startswith("--config=")]
    assert sorted(configs) == sorted(mounted)
    text = "".join((ROOT / mounted[config]).read_text() for config in configs)
    assert collector["environment"].keys() <= set(re.findall(r"\$\{env:(\w+)", text))


def test_tempo_gets_what_jaeger_gets() -> None:
    """The second configuration adds one exporter behind those of the first, with the same retries and a queue on disk."""
    below, above = read("otel-collector.yaml"), read("deploy/compose/otel-collector.tempo.yaml")
    exporters = above["service"]["pipelines"].pop("traces/kept")["exporters"]
    assert sorted(exporters) == sorted([*below["service"]["pipelines"]["traces/kept"]["exporters"], "otlp_grpc/tempo"])
    assert (above["service"], above.keys()) == ({"pipelines": {}}, {"exporters", "service"})
    ours, other = above["exporters"]["otlp_grpc/tempo"], below["exporters"]["otlp_grpc/traces"]
    assert ours["retry_on_failure"] == other["retry_on_failure"]
    assert ours["sending_queue"] == other["sending_queue"]


def test_prometheus_finds_what_its_configuration_names() -> None:
    """The configuration, rules, runbooks and Alertmanagers are mounted where it looks for them."""
    mounted = _mounted(PLAIN, "prometheus")
    config = read(mounted["/etc/prometheus/prometheus.yml"])
    command = _services(PLAIN)["prometheus"]["command"]
    assert "--config.file=/etc/prometheus/prometheus.yml" in command
    runbooks = next(word.partition("=")[2] for word in command if word.startswith("--web.user-assets"))
    assert mounted[runbooks] == "docs/runbooks"
    assert config["rule_files"] == ["rules/*.yml"]
    assert mounted["/etc/prometheus/rules"] == "dashboards/rules"
    assert list((ROOT / "dashboards/rules").glob("*.yml"))
    (alertmanagers,) = config["alerting"]["alertmanagers"][0]["file_sd_configs"][0]["files"]
    assert mounted[f"/etc/prometheus/{alertmanagers}"] == "deploy/compose/alertmanagers.yml"


def test_alertmanager_and_the_receiver_find_their_files() -> None:
    """Alertmanager reads the sample of the project; the receiver's program lies where its command names it."""
    assert _mounted(PLAIN, "alertmanager") == {"/etc/alertmanager/alertmanager.yml": "dashboards/alertmanager.yml"}
    assert "--config.file=/etc/alertmanager/alertmanager.yml" in _services(PLAIN)["alertmanager"]["command"]
    receiver = _services(PLAIN)["alert-receiver"]
    assert receiver["command"][:2] == ["python", "/receiver.py"]
    assert _mounted(PLAIN, "alert-receiver") == {"/receiver.py": "deploy/compose/receiver.py"}
    assert (receiver["user"], receiver["read_only"]) == ("65534:65534", True)


@BOTH
def test_grafana_has_every_dashboard_and_the_address_of_every_data_source(files: tuple[str, ...]) -> None:
    """All dashboards lie in the provider's folder, and each variable of the data sources is given, no other."""
    mounted = _mounted(files, "grafana")
    (provider,) = read(f"{mounted['/etc/grafana/provisioning/dashboards']}/agentos.yml")["providers"]
    folder = provider["options"]["path"]
    assert {path: name for path, name in mounted.items() if path.startswith(f"{folder}/")} == {
        f"{folder}/{name.rpartition('/')[2]}": name for name in BOARDS
    }
    assert all(json.loads((ROOT / name).read_text())["uid"] for name in BOARDS)
    sources = read(f"{mounted['/etc/grafana/provisioning/datasources']}/agentos.yml")["datasources"]
    given = {name for name in _services(files)["grafana"]["environment"] if not name.startswith("GF_")}
    assert {f"${name}" for name in given} == {source["url"] for source in sources}


def test_tempo_is_there_only_with_its_file() -> None:
    """compose.yaml alone neither starts Tempo nor shows it in Grafana."""
    assert "tempo" not in _services(PLAIN)
    assert "TEMPO_URL" not in _services(PLAIN)["grafana"]["environment"]
    assert _services(WITH_TEMPO)["grafana"]["environment"]["TEMPO_URL"] == "http://tempo:3200"


def test_tempo_writes_only_into_its_volume() -> None:
    """Its configuration is mounted where its command names it, and its log and blocks lie in the volume."""
    assert _mounted(WITH_TEMPO, "tempo") == {"/etc/tempo/tempo.yaml": "deploy/compose/tempo.yaml"}
    assert _services(WITH_TEMPO)["tempo"]["command"] == ["-config.file=/etc/tempo/tempo.yaml"]
    stored = read("deploy/compose/tempo.yaml")["storage"]["trace"]
    assert all(stored[part]["path"].startswith("/var/tempo/") for part in ("wal", "local"))
    assert ("tempo", "traces", "/var/tempo", "") in list(_mounts(WITH_TEMPO))
