"""The process's default, and what is kept when the configured telemetry takes its place."""

from __future__ import annotations

import prometheus_client
import pytest

from agents import observability
from telemetry import AgentOSTelemetry, Telemetry, current, install
from telemetry._sdk import aggregation as record
from telemetry.agentos import catalogue as rows
from telemetry.agentos import default
from telemetry.metric import Catalogue, Metric
from tests.helpers.samples import read, samples_of

NAVI = (("agent", "navi"), ("operation", "query"), ("status", "success"))


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test starts as a new process does: with no telemetry."""
    monkeypatch.setattr(default, "_current", None)
    monkeypatch.setattr(default, "_is_default", False)


def fill() -> None:
    observability.record_a2a_request("navi", "query", "success", 0.2, 300)
    observability.record_a2a_request("navi", "query", "success", 20, 3)
    observability.record_a2a_request("navi", "query", "error", 0.001, error_type="timeout")
    observability.record_cache_operation("get", "hit", 0.5)
    observability.record_rate_limit_hit("/a", "allowed", "w")
    observability.record_ccr_request("p", "chat", "success", 0.1, 1, 2, 5)
    observability.A2A_ACTIVE_TASKS.labels("navi").inc(2)
    observability.AGENTOS_INFO.info({"version": "1", "service_name": "s", "environment": "e"})


@pytest.mark.parametrize("way", ["direct", "public"])
def test_what_was_recorded_before_is_kept(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that the default has counted is in the installed telemetry, sample by sample."""
    if way == "public":
        monkeypatch.setattr(record, "_hash_attributes", None)
    fill()
    before = samples_of(observability.get_metrics().decode())
    install(AgentOSTelemetry())
    after = samples_of(observability.get_metrics().decode())
    drop = [key for key in before if key[0] == "target_info"]
    for key in drop:
        del before[key]
    after = {k: v for k, v in after.items() if k[0] != "target_info"}
    assert after.keys() == before.keys()
    assert after == {k: pytest.approx(v, rel=1e-12) for k, v in before.items()}


def test_handles_made_before_follow() -> None:
    """A handle from before the installation records into the installed telemetry."""
    handle = observability.A2A_REQUEST_COUNT.labels("navi", "query", "success")
    timer = observability.RequestTimer(observability.A2A_REQUEST_DURATION, agent="navi", operation="query")
    handle.inc()
    telemetry = AgentOSTelemetry()
    install(telemetry)
    handle.inc(2)
    with timer:
        pass
    observability.A2A_REQUEST_COUNT.labels("navi", "query", "success").inc(4)
    assert read(telemetry)["a2a_requests_total", NAVI] == 7.0
    assert read(telemetry)["a2a_request_duration_seconds_count", NAVI] == 1.0


def test_installed_telemetry_keeps_its_numbers_for_itself() -> None:
    """A second installation starts from its own numbers: those of the first belong to its app."""
    first, second = AgentOSTelemetry(), AgentOSTelemetry()
    install(first)
    observability.record_a2a_request("navi", "query", "success", 0.2)
    install(second)
    assert read(first)["a2a_requests_total", NAVI] == 1.0
    assert ("a2a_requests_total", NAVI) not in read(second)
    assert current() is second


def test_label_limits_of_the_installed_telemetry_hold_for_what_came_before() -> None:
    """Values that have no room under the new limits become 'other'."""
    for agent in ("a", "b", "c"):
        observability.A2A_ACTIVE_TASKS.labels(agent).inc()
    telemetry = AgentOSTelemetry(limits={"agent": 1})
    install(telemetry)
    found = {dict(ls)["agent"]: v for (n, ls), v in read(telemetry).items() if n == "a2a_active_tasks"}
    assert found == {"a": 1.0, "other": 2.0}


def test_registry_agrees_with_get_metrics() -> None:
    """prometheus_client reads the same numbers, before and after an installation."""
    fill()
    for _ in range(2):
        ours = samples_of(observability.get_metrics().decode())
        assert samples_of(prometheus_client.generate_latest(observability.REGISTRY).decode()) == ours
        install(AgentOSTelemetry())


INTERFACE = {
    "REGISTRY",
    "AGENTOS_INFO",
    "A2A_REQUEST_DURATION",
    "A2A_REQUEST_COUNT",
    "A2A_ACTIVE_TASKS",
    "A2A_RESPONSE_SIZE",
    "CACHE_OPERATIONS",
    "CACHE_LATENCY",
    "RATE_LIMIT_HITS",
    "CCR_REQUESTS",
    "CCR_LATENCY",
    "CCR_TOKENS",
    "RequestTimer",
    "get_metrics",
    "get_content_type",
    "record_a2a_request",
    "record_cache_operation",
    "record_rate_limit_hit",
    "record_ccr_request",
}


def test_exported_names_are_the_interface_and_the_rows() -> None:
    """Both import paths export the interface's names and an instrument for each row of the catalogue, and nothing else."""
    instruments = {name for name, value in vars(rows).items() if isinstance(value, Metric)} - {"A2A_REQUESTS"}
    assert set(observability.__all__) == set(observability.metrics.__all__) == INTERFACE | instruments
    for name in observability.__all__:
        assert getattr(observability, name) is getattr(observability.metrics, name)
    assert repr(observability.A2A_REQUEST_COUNT) == "<counter a2a_requests_total>"
    assert observability.get_content_type() == "text/plain; version=0.0.4; charset=utf-8"


def test_name_that_is_no_row_is_no_attribute() -> None:
    """A name that neither the interface nor the catalogue has raises as in any module."""
    with pytest.raises(AttributeError, match="has no attribute 'A2A_NOTHING'"):
        observability.A2A_NOTHING  # noqa: B018 - reading it is the test


def test_metric_that_the_new_catalogue_lacks_stays_behind() -> None:
    """Installing a telemetry with another catalogue carries over what both have."""
    fill()
    install(Telemetry(Catalogue([rows.A2A_REQUESTS])))
    assert {name for name, _ in read(current())} == {"a2a_requests_total"}
