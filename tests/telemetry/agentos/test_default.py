"""The process's default telemetry, and what an installed one takes over from it."""

from __future__ import annotations

import subprocess
import sys

import prometheus_client
import pytest

from telemetry import AgentOSTelemetry, RequestTimer, Telemetry, current, install
from telemetry._sdk import aggregation as record
from telemetry.agentos import catalogue as rows
from telemetry.agentos import default
from telemetry.agentos.default import REGISTRY, MetricProxy
from telemetry.metric import Catalogue
from tests.helpers.samples import read, samples_of

NAVI = (("agent", "navi"), ("operation", "query"), ("status", "success"))
ACTIVE_TASKS = MetricProxy(rows.A2A_ACTIVE_TASKS)
DURATION = MetricProxy(rows.A2A_REQUEST_DURATION)
INFO = MetricProxy(rows.AGENTOS_INFO)
REQUESTS = MetricProxy(rows.A2A_REQUESTS)


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test starts as a new process does: with no telemetry."""
    monkeypatch.setattr(default, "_current", None)
    monkeypatch.setattr(default, "_is_default", False)


def fill() -> None:
    recorder = current().recorder
    recorder.record_a2a_request("navi", "query", "success", 0.2, 300)
    recorder.record_a2a_request("navi", "query", "success", 20, 3)
    recorder.record_a2a_request("navi", "query", "error", 0.001, error_type="timeout")
    recorder.record_cache_operation("get", "hit", 0.5)
    recorder.record_rate_limit_hit("/a", "allowed", "w")
    recorder.record_ccr_request("p", "chat", "success", 0.1, 1, 2, 5)
    ACTIVE_TASKS.labels("navi").inc(2)
    INFO.info({"version": "1", "service_name": "s", "environment": "e"})


@pytest.mark.parametrize("way", ["direct", "public"])
def test_installed_telemetry_has_the_counts_of_the_default(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every sample of the default is in the installed telemetry, whether the SDK is fed directly or by its public API."""
    if way == "public":
        monkeypatch.setattr(record, "_STATE", {})
    fill()
    before = read(current())
    install(AgentOSTelemetry())
    after = read(current())
    assert after.keys() == before.keys()
    assert after == {k: pytest.approx(v, rel=1e-12) for k, v in before.items()}


def test_bound_instruments_made_before_follow() -> None:
    """A bound instrument or timer from before the installation records into the installed telemetry."""
    counter = REQUESTS.labels("navi", "query", "success")
    timer = RequestTimer(DURATION, agent="navi", operation="query")  # type: ignore[arg-type]  # a proxy stands for it
    counter.inc()
    telemetry = AgentOSTelemetry()
    install(telemetry)
    counter.inc(2)
    with timer:
        pass
    REQUESTS.labels("navi", "query", "success").inc(4)
    assert read(telemetry)["a2a_requests_total", NAVI] == 7.0
    assert read(telemetry)["a2a_request_duration_seconds_count", NAVI] == 1.0


def test_counts_of_an_installed_telemetry_are_not_transferred() -> None:
    """A second installation starts at 0: the counts of the first belong to its app."""
    first, second = AgentOSTelemetry(), AgentOSTelemetry()
    install(first)
    current().recorder.record_a2a_request("navi", "query", "success", 0.2)
    install(second)
    assert read(first)["a2a_requests_total", NAVI] == 1.0
    assert ("a2a_requests_total", NAVI) not in read(second)
    assert current() is second


def test_label_limits_of_the_installed_telemetry_hold_for_earlier_series() -> None:
    """Values of the default that exceed the new limit become 'other'."""
    for agent in ("a", "b", "c"):
        ACTIVE_TASKS.labels(agent).inc()
    telemetry = AgentOSTelemetry(limits={"agent": 1})
    install(telemetry)
    found = {dict(ls)["agent"]: v for (n, ls), v in read(telemetry).items() if n == "a2a_active_tasks"}
    assert found == {"a": 1.0, "other": 2.0}


def test_registry_agrees_with_the_reader() -> None:
    """prometheus_client reads the same samples, before and after an installation."""
    fill()
    for _ in range(2):
        ours = samples_of(current().reader.expose().body.decode())
        assert samples_of(prometheus_client.generate_latest(REGISTRY).decode()) == ours
        install(AgentOSTelemetry())


def test_metric_that_the_new_catalogue_lacks_is_not_transferred() -> None:
    """Installing a telemetry with another catalogue transfers what both have."""
    fill()
    install(Telemetry(Catalogue([rows.A2A_REQUESTS])))  # type: ignore[arg-type]  # it has no recorder
    assert {name for name, _ in read(current())} == {"a2a_requests_total"}


def test_proxy_names_its_metric() -> None:
    """The ``repr`` of a module's metric has its kind and its Prometheus name."""
    assert repr(REQUESTS) == "<counter a2a_requests_total>"


def test_default_starts_no_thread_and_no_exporter() -> None:
    """The process default is safe before a fork: it only serves scrapes."""
    code = (
        "import threading; from telemetry import current;"
        "current().recorder.record_a2a_request('navi', 'query', 'success', 0.1); current().reader.expose();"
        "print(threading.active_count())"
    )
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "1"


def test_fork_while_a_thread_holds_the_lock() -> None:
    """A child that is forked while another thread installs a telemetry builds its own without waiting."""
    code = (
        "import os, threading; from telemetry.agentos import default;"
        "held = threading.Event(); end = threading.Event();"
        "hold = lambda: [default._lock.acquire(), held.set(), end.wait()];"
        "threading.Thread(target=hold).start(); held.wait(); child = os.fork();"
        "child or (default.current(), os._exit(7));"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])); end.set()"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "7"


def test_service_is_agentos_where_no_variable_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """``from_environment`` takes AgentOS' catalogue and service name by default."""
    for name in ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_EXPORTER_OTLP_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    telemetry = AgentOSTelemetry.from_environment()
    assert telemetry.catalogue is rows.AGENTOS
    assert telemetry.resource.attributes["service.name"] == "agentos"
