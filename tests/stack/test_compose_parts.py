"""What compose.yaml connects, with the real servers beside each other: alerts, health checks, and traces for two stores."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import yaml
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from stack.servers.alertmanager import Alertmanager
from stack.servers.collector import CONFIG, GATES, Collector
from stack.servers.jaeger import Jaeger
from stack.servers.process import Server, free_port, until
from stack.servers.prometheus import Prometheus
from stack.servers.redis import Redis
from tests.helpers.compose_files import PLAIN, ROOT, merged, read
from tests.helpers.required_servers import built_server, packaged_server

SECTIONS = {"alerting": read("dashboards/prometheus.yml")["alerting"], "rule_files": ["sample*.yml"]}
"""The operator's ``alerting`` section, and rules that are not there yet."""
OVERLAY = ROOT / "deploy/compose/otel-collector.tempo.yaml"
RULES = {
    "groups": [
        {
            "name": "sample",
            "interval": "100ms",
            "rules": [
                {"alert": "Pages", "expr": "vector(1)", "labels": {"severity": "page"}, "annotations": {"summary": "Wake up"}},
                {"alert": "Waits", "expr": "vector(1)", "labels": {"severity": "ticket", "job": "agentos"}},
            ],
        }
    ]
}


def _receiver(folder: Path) -> tuple[Server, str]:
    """Returns the receiver of compose.yaml with its address."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command: list[str | Path] = [sys.executable, "-I", "-S", ROOT / "deploy/compose/receiver.py", "--port", str(port)]
    return Server("alert-receiver", command, folder=folder, ready=f"{url}/-/healthy"), url


def _as_in_compose(program: Path, service: str, folder: Path) -> tuple[Server, str]:
    """Returns a server with the command and the mounts of its service, below ``folder`` in place of /, with its address."""
    ours = merged(PLAIN)["services"][service]
    for source, target, *_ in (mount.split(":") for mount in ours["volumes"]):
        place = folder / target.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        if source.startswith("./"):
            place.symlink_to(ROOT / source)
        else:
            place.mkdir()
    address = f"127.0.0.1:{free_port()}"
    command = [word.replace("=/", f"={folder}/") for word in ours["command"]]
    listen = f"--web.listen-address={address}"
    return Server(service, [program, *command, listen], folder=folder, ready=f"http://{address}/-/ready"), address


def _fire(prometheus: Prometheus) -> None:
    """Gives Prometheus rules that fire at once."""
    (prometheus.config.parent / "sample.yml").write_text(yaml.safe_dump(RULES))
    os.kill(prometheus.pid, signal.SIGHUP)
    until("the alerts", lambda: len(prometheus.get("alerts")["alerts"]) == 2)


def _name(address: str, prometheus: Prometheus) -> list[dict[str, str]]:
    """Names an Alertmanager in the file that the ``alerting`` section looks for, and returns those that Prometheus then has."""
    (prometheus.config.parent / "alertmanagers.yml").write_text(yaml.safe_dump([{"targets": [address]}]))
    return until("the Alertmanager", lambda: prometheus.get("alertmanagers")["activeAlertmanagers"])


def _check(service: str, *replaced: tuple[str, str]) -> list[str]:
    """Returns the command of a service's health check, with some words replaced."""
    test: list[str] = merged(PLAIN)["services"][service]["healthcheck"]["test"]
    return [dict(replaced).get(word, word) for word in test[1:]]


def test_prometheus_starts_as_in_compose(tmp_path: Path, started: Callable[[Server], Server]) -> None:
    """With its command and mounts it loads all rules, finds Alertmanager, scrapes both jobs and serves the runbooks."""
    server, address = _as_in_compose(built_server("prometheus"), "prometheus", tmp_path)
    started(server)
    api = f"http://{address}/api/v1"
    groups = {group["name"] for path in (ROOT / "dashboards/rules").glob("*.yml") for group in read(str(path))["groups"]}
    assert {group["name"] for group in httpx.get(f"{api}/rules").json()["data"]["groups"]} == groups
    found = until("Alertmanager", lambda: httpx.get(f"{api}/alertmanagers").json()["data"]["activeAlertmanagers"])
    assert found == [{"url": "http://alertmanager:9093/api/v2/alerts"}]
    scraped = until("the targets", lambda: httpx.get(f"{api}/targets").json()["data"]["activeTargets"])
    assert {target["scrapeUrl"] for target in scraped} == {"http://agentos:8000/metrics", "http://otel-collector:8888/metrics"}
    assert httpx.get(f"http://{address}/user/AgentOSDown.md").text.startswith("# AgentOSDown")


def test_alertmanager_starts_as_in_compose(tmp_path: Path, started: Callable[[Server], Server]) -> None:
    """With its command and mounts it has the routes of the sample, alone and without a cluster."""
    program = packaged_server("prometheus-alertmanager", "prometheus-alertmanager")
    server, address = _as_in_compose(program, "alertmanager", tmp_path)
    started(server)
    status = httpx.get(f"http://{address}/api/v2/status").json()
    assert yaml.safe_load(status["config"]["original"])["route"]["receiver"] == "tickets"
    assert status["cluster"]["status"] == "disabled"


def test_an_alert_goes_through_alertmanager_to_the_receiver(
    tmp_path: Path, started: Callable[[Server], Server], prometheus: Callable[..., Prometheus]
) -> None:
    """An Alertmanager that the file names gets Prometheus' alerts, and sends pages and tickets on by the sample's routes."""
    program = packaged_server("prometheus-alertmanager", "prometheus-alertmanager")
    receiver, url = _receiver(tmp_path)
    started(receiver)
    alertmanager = Alertmanager(program, tmp_path / "alertmanager", url)
    started(alertmanager)
    running = prometheus(extra=SECTIONS)
    _name(alertmanager.address, running)
    _fire(running)

    def told() -> list[str]:
        lines = [line.partition(" ")[2] for line in receiver.log.read_text().splitlines()]
        return sorted({line for line in lines if "FIRING" in line})

    until("the page and the ticket", lambda: len(told()) == 2)
    assert told() == ["pager FIRING Pages severity=page - Wake up", "tickets FIRING Waits job=agentos severity=ticket"]


def test_without_an_alertmanager_prometheus_is_silent(prometheus: Callable[..., Prometheus]) -> None:
    """With no file that names an Alertmanager, alerts fire and are sent nowhere, and the log has no error."""
    running = prometheus(extra=SECTIONS)
    _fire(running)
    assert running.get("alertmanagers") == {"activeAlertmanagers": [], "droppedAlertmanagers": []}
    assert [line for line in running.log.read_text().splitlines() if "level=ERROR" in line] == []


def test_an_alertmanager_that_is_named_later_is_found(prometheus: Callable[..., Prometheus]) -> None:
    """A file that appears while Prometheus runs is read without a reload."""
    assert _name("127.0.0.1:9093", prometheus(extra=SECTIONS)) == [{"url": "http://127.0.0.1:9093/api/v2/alerts"}]


def test_the_health_check_of_prometheus(promtool: Path, prometheus: Callable[..., Prometheus]) -> None:
    """Its command succeeds while Prometheus answers, and fails once it has stopped."""
    running = prometheus()
    command = _check("prometheus", ("promtool", str(promtool)), ("--url=http://127.0.0.1:9090", f"--url={running.url}"))
    assert command[1:] == ["check", "ready", f"--url={running.url}"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    running.stop()
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1


def test_the_health_check_of_redis(redis_server: Redis) -> None:
    """Its command succeeds while Redis answers, and fails on an error and once it has stopped."""
    command = [*_check("redis", ("redis-cli", str(packaged_server("redis-cli", "redis-tools")))), "-u", redis_server.url]
    command = [command[0], *command[3:], *command[1:3]]
    assert subprocess.run(command, capture_output=True, text=True, check=False).stdout == "PONG\n"
    assert subprocess.run([*command[:-1], "nonsense"], capture_output=True, check=False).returncode == 1
    redis_server.stop()
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1


def test_the_collector_accepts_tempo_over_its_configuration() -> None:
    """`otelcol validate` reports no problem in the two files together."""
    command = [str(built_server("otelcol")), "validate", *(f"--config={config}" for config in (CONFIG, OVERLAY))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.fixture
def stores(tmp_path: Path, started: Callable[[Server], Server]) -> list[Jaeger]:
    """Two trace stores; the second stands for Tempo, which takes OTLP over gRPC as Jaeger does."""
    program = built_server("jaeger")
    servers = [Jaeger(program, tmp_path / name) for name in ("first", "second")]
    for server in servers:
        started(server)
    return servers


def test_a_trace_reaches_both_stores_without_its_secrets(
    tmp_path: Path, stores: list[Jaeger], started: Callable[[Server], Server]
) -> None:
    """With the second configuration a span arrives in both stores, and its password in neither."""
    addresses = {
        name: f"127.0.0.1:{store.otlp}" for name, store in zip(("TRACES_ENDPOINT", "TEMPO_ENDPOINT"), stores, strict=True)
    }
    gates = (f"--config={OVERLAY}", *GATES)
    collector = Collector(built_server("otelcol"), tmp_path / "collector", addresses, gates=gates)
    started(collector)
    provider = TracerProvider(resource=Resource({"service.name": "agentos"}))
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"http://127.0.0.1:{collector.grpc}", insecure=True)))
    with provider.get_tracer("test").start_as_current_span("call") as span:
        span.set_attributes({"agent": "navi", "password": "hunter2"})
        trace_id = f"{span.get_span_context().trace_id:032x}"
    provider.shutdown()
    for store in stores:
        (found,) = until("the trace", lambda store=store: store.trace(trace_id))  # type: ignore[misc]  # bound in the loop
        assert (found.name, found.tags["agent"]) == ("call", "navi")
        assert "hunter2" not in str(found.tags)
