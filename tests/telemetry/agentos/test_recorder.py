"""The ``record_*`` methods: what each adds, and when it leaves an exemplar."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from telemetry import AgentOSTelemetry, LabelError
from tests.helpers.samples import above_zero, counters, labelled, read
from tests.helpers.sdk_versions import adds_readers_later

CALL = {"agent": "navi", "operation": "query", "status": "success"}


def test_a2a_request_without_a_size(traced: AgentOSTelemetry) -> None:
    """Without a size none is observed."""
    traced.recorder.record_a2a_request("navi", "query", "success", 0.2)
    assert counters(traced) == {
        labelled("a2a_requests_total", **CALL): 1.0,
        labelled("a2a_request_duration_seconds_count", **CALL): 1.0,
    }


@pytest.mark.parametrize(("given", "counted"), [(None, "internal"), ("timeout", "timeout")])
def test_a2a_error_has_a_type(given: str | None, counted: str, traced: AgentOSTelemetry) -> None:
    """An error without a type is internal."""
    traced.recorder.record_a2a_request("navi", "query", "error", 0.2, 10, error_type=given)
    assert read(traced)[labelled("a2a_errors_total", agent="navi", operation="query", error_type=counted)] == 1.0


def test_counters_of_an_agent_start_at_zero(traced: AgentOSTelemetry) -> None:
    """The first event of an agent's operation starts the other status and all error types at 0."""
    traced.recorder.record_a2a_request("navi", "query", "success", 0.2)
    assert read(traced)[labelled("a2a_requests_total", agent="navi", operation="query", status="error")] == 0.0
    assert read(traced)[labelled("a2a_errors_total", agent="navi", operation="query", error_type="timeout")] == 0.0


def test_histograms_of_an_agent_start_at_zero(traced: AgentOSTelemetry) -> None:
    """A histogram of a known agent has its series before the first observation, with empty buckets."""
    traced.recorder.initialize_series(agents={"navi": ["query"]})
    labels = {"agent": "navi", "operation": "query", "status": "error"}
    assert read(traced)[labelled("a2a_request_duration_seconds_count", **labels)] == 0.0
    assert read(traced)[labelled("a2a_request_duration_seconds_bucket", **labels, le="+Inf")] == 0.0
    assert read(traced)[labelled("a2a_response_size_bytes_count", agent="navi")] == 0.0


def test_known_names_start_at_zero(traced: AgentOSTelemetry) -> None:
    """Known agents with their operations, and providers with their task types, have series at 0 before the first event."""
    traced.recorder.initialize_series(agents={"navi": ["query"]}, providers={"p": ["chat"]})
    there = {key for key in read(traced) if key[0] in ("a2a_requests_total", "ccr_requests_total", "a2a_active_tasks")}
    assert there == {
        labelled("a2a_requests_total", agent="navi", operation="query", status="success"),
        labelled("a2a_requests_total", agent="navi", operation="query", status="error"),
        labelled("ccr_requests_total", provider="p", task_type="chat", status="success"),
        labelled("ccr_requests_total", provider="p", task_type="chat", status="error"),
        labelled("a2a_active_tasks", agent="navi"),
    }
    assert above_zero(traced) == {}


def test_first_decision_of_a_workspace_starts_the_others_at_zero(traced: AgentOSTelemetry) -> None:
    """A workspace's first decision shows all three results."""
    traced.recorder.record_rate_limit_hit("/a", "denied", "w")
    found = {dict(ls)["result"]: v for (n, ls), v in read(traced).items() if n == "rate_limit_hits_total"}
    assert found == {"allowed": 0.0, "denied": 1.0, "error": 0.0}


def test_workspace_is_unknown_by_default(traced: AgentOSTelemetry) -> None:
    """Without a workspace the label is ``unknown``."""
    traced.recorder.record_rate_limit_hit("/a", "allowed")
    assert read(traced)[labelled("rate_limit_hits_total", endpoint="/a", workspace_id="unknown", result="allowed")] == 1.0


@pytest.mark.parametrize(
    ("tokens", "counted"),
    [
        ((None, None, None), {}),
        ((3, 4, None), {"input": 3, "output": 4}),
        ((3, 4, 7), {"input": 3, "output": 4}),
        ((3, None, 7), {"input": 3, "unknown": 4}),
        ((None, None, 7), {"unknown": 7}),
        ((3, 4, 5), {"input": 3, "output": 4}),
    ],
)
def test_total_is_never_halved(tokens: tuple[Any, ...], counted: dict[str, float], traced: AgentOSTelemetry) -> None:
    """What a total holds beyond a known split is unknown; a total below it adds nothing."""
    traced.recorder.record_ccr_request("p", "chat", "success", 0.1, *tokens)
    found = {dict(ls)["direction"]: v for (n, ls), v in above_zero(traced).items() if n == "ccr_tokens_total"}
    assert found == counted


@pytest.mark.parametrize(
    "record",
    [
        lambda r: r.record_a2a_request("navi", "query", "ok", 0.1),
        lambda r: r.record_cache_operation("get", "found"),
        lambda r: r.record_rate_limit_hit("/a", "maybe"),
        lambda r: r.record_ccr_request("p", "chat", "ok"),
    ],
)
def test_value_outside_a_closed_domain_raises_in_strict_mode(record: Any, traced: AgentOSTelemetry) -> None:
    """A status or result outside its closed label raises in strict mode."""
    with pytest.raises(LabelError, match="must be one of"):
        record(traced.recorder)


@adds_readers_later
def test_exemplar_only_from_a_span_that_carries_the_labels(traced: AgentOSTelemetry) -> None:
    """``record_*`` leaves an exemplar only where the current span carries the labels of the series."""
    reader = InMemoryMetricReader()
    traced.meter_provider.add_metric_reader(reader)  # type: ignore[attr-defined]  # the SDK's provider
    record = traced.recorder.record_a2a_request
    record("navi", "query", "success", 0.1)
    with traced.tracer.start_as_current_span("other", attributes={**CALL, "operation": "else"}):
        record("navi", "query", "success", 0.2)
    with traced.tracer.start_as_current_span("same", attributes=CALL):
        record("navi", "query", "success", 0.3)
    exemplars = [
        (metric.name, exemplar.value)
        for metric in reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics  # type: ignore[union-attr]
        for point in metric.data.data_points
        for exemplar in point.exemplars
    ]
    assert sorted(exemplars) == [("a2a.request.duration", 0.3), ("a2a.requests", 1)]
