"""With limits on the attributes of spans, no exemplar names a span that lacks its series' labels."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from telemetry import AgentOSTelemetry, RequestTimer
from telemetry.agentos.catalogue import A2A_REQUEST_DURATION
from telemetry.agentos.genai import Target

VARIABLES = (
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
)


def record_everything(telemetry: AgentOSTelemetry, more: int) -> None:
    """Records each kind of event, in spans that get ``more`` attributes before and some after."""
    recorder = telemetry.recorder
    agent = {"agent": "navigation-of-ships", "operation": "query-for-something"}
    others = {f"other.{n}": n for n in range(more)}
    late = {f"late.{n}": n for n in range(20)}
    with RequestTimer(telemetry[A2A_REQUEST_DURATION], **agent) as timer:
        assert timer.scope is not None
        timer.scope.span.set_attributes(others)
    with recorder.a2a_call(**agent) as call:
        call.span.set_attributes(others)
    with pytest.raises(TimeoutError), recorder.a2a_call(**agent) as call:
        raise TimeoutError
    with recorder.cache_call("get"):
        pass
    with recorder.model_call(provider="provider-of-models", task_type="conversation") as model:
        model.usage(input_tokens=3, output_tokens=4, total_tokens=9)
    with recorder.model_attempt(Target("provider-of-models", "a-model", "http://localhost"), "conversation", 1) as attempt:
        attempt.usage(input_tokens=3, output_tokens=4)
    labels = {**agent, "status": "success"}
    with telemetry.tracer.start_as_current_span("own", attributes=labels) as span:
        recorder.record_a2a_request(**labels, duration_seconds=0.1, response_size_bytes=5)
        span.set_attributes(late)
    with telemetry.tracer.start_as_current_span("server") as span:
        span.set_attributes(others)
        recorder.rate_limit_decision("/chat/completions", "allowed", "workspace-of-somebody")
        span.set_attributes(late)


def exemplars(reader: InMemoryMetricReader) -> Iterator[tuple[str, dict[str, object], int]]:
    """Yields metric name, labels and span id of each exemplar."""
    data = reader.get_metrics_data()
    assert data is not None
    for metric in (m for resource in data.resource_metrics for scope in resource.scope_metrics for m in scope.metrics):
        for point in metric.data.data_points:
            for exemplar in point.exemplars:
                assert exemplar.span_id is not None
                yield metric.name, dict(point.attributes or {}), exemplar.span_id


def check(provider: TracerProvider, more: int) -> set[str]:
    """Records everything; returns the names of the metrics with exemplars, each of which has the labels on its span."""
    spans, reader = InMemorySpanExporter(), InMemoryMetricReader()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    telemetry = AgentOSTelemetry(tracer_provider=provider, metric_readers=[reader])
    record_everything(telemetry, more)
    held = {span.context.span_id: dict(span.attributes or {}) for span in spans.get_finished_spans()}
    found = list(exemplars(reader))
    for name, labels, span_id in found:
        labels.pop("direction", None)
        assert labels.items() <= held[span_id].items(), name
    return {name for name, _, _ in found}


ALL = {
    *("a2a.request.duration", "a2a.requests", "a2a.errors", "a2a.response.size", "cache.operations", "cache.latency"),
    *("rate_limit.hits", "ccr.requests", "ccr.latency", "ccr.tokens"),
}


@pytest.mark.parametrize("more", [0, 20, 140])
@pytest.mark.parametrize("value", [0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 18, 33, 36, 64])
@pytest.mark.parametrize("variable", VARIABLES)
def test_variable_with_a_limit(variable: str, value: int, more: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the limit and the variable, every exemplar's span has the labels."""
    monkeypatch.setenv(variable, str(value))
    check(TracerProvider(shutdown_on_exit=False), more)


@pytest.mark.parametrize(
    "limits",
    [
        SpanLimits(max_span_attributes=4),
        SpanLimits(max_span_attribute_length=5),
        SpanLimits(max_attributes=3),
        SpanLimits(max_attribute_length=7),
    ],
)
def test_limits_of_the_provider(limits: SpanLimits) -> None:
    """Limits that the host gives to its provider count in the same way."""
    check(TracerProvider(shutdown_on_exit=False, span_limits=limits), 10)


def test_limits_that_leave_room_keep_the_exemplars() -> None:
    """With the SDK's own limits, and with a length that every label has, all metrics have their exemplars."""
    assert check(TracerProvider(shutdown_on_exit=False), 3) >= ALL
    assert check(TracerProvider(shutdown_on_exit=False, span_limits=SpanLimits(max_span_attribute_length=64)), 3) >= ALL


def test_span_with_many_attributes_loses_no_label() -> None:
    """More attributes than a span has room for push the labels out: there are no exemplars of such spans."""
    found = check(TracerProvider(shutdown_on_exit=False), 140)
    assert "rate_limit.hits" not in found
    assert "cache.operations" in found
