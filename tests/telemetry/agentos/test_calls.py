"""Measured calls: all metrics of a call, recorded while its span is current, with the labels of every series on the span."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from telemetry import AgentOSTelemetry, LabelError
from telemetry.agentos.catalogue_models import MODELS
from tests.helpers.clock import Clock
from tests.helpers.samples import above_zero, counters, labelled, read
from tests.helpers.sdk_versions import adds_readers_later

NAVI = (("agent", "navi"),)


async def test_a2a_success_is_counted_once_everywhere(traced: AgentOSTelemetry, spans: InMemorySpanExporter) -> None:
    """A successful call records duration, count and size once, no error, and leaves no active task."""
    async with traced.recorder.a2a_call(agent="navi", operation="query") as call:
        assert read(traced)["a2a_active_tasks", NAVI] == 1.0
        call.add_bytes(100)
        call.add_bytes(50)
        assert len(call.trace_id) == 32
    call_labels = {"agent": "navi", "operation": "query", "status": "success"}
    assert counters(traced) == {
        labelled("a2a_requests_total", **call_labels): 1.0,
        labelled("a2a_request_duration_seconds_count", **call_labels): 1.0,
        labelled("a2a_response_size_bytes_count", agent="navi"): 1.0,
    }
    assert read(traced)["a2a_response_size_bytes_sum", NAVI] == 150.0
    assert read(traced)["a2a_active_tasks", NAVI] == 0.0
    assert spans.get_finished_spans()[0].attributes == call_labels


class AgentError(Exception):
    error_type = "agent"


@pytest.mark.parametrize(
    ("error", "error_type"),
    [
        (TimeoutError(), "timeout"),
        (ConnectionRefusedError(), "unreachable"),
        (asyncio.CancelledError(), "cancelled"),
        (GeneratorExit(), "cancelled"),
        (AgentError(), "agent"),
        (ZeroDivisionError(), "internal"),
    ],
)
def test_a2a_error_is_counted_with_its_type(
    error: BaseException, error_type: str, traced: AgentOSTelemetry, spans: InMemorySpanExporter
) -> None:
    """An exception ends the call as an error, counted with its type; without a byte no size is recorded."""
    with pytest.raises(type(error)), traced.recorder.a2a_call(agent="navi", operation="query"):
        raise error
    labels = {"agent": "navi", "operation": "query", "status": "error"}
    assert counters(traced) == {
        labelled("a2a_requests_total", **labels): 1.0,
        labelled("a2a_request_duration_seconds_count", **labels): 1.0,
        labelled("a2a_errors_total", agent="navi", operation="query", error_type=error_type): 1.0,
    }
    assert spans.get_finished_spans()[0].attributes == {**labels, "error_type": error_type, "error.type": error_type}


def test_failure_without_an_exception(traced: AgentOSTelemetry) -> None:
    """A call that is marked as failed counts as an error although no exception leaves the block."""
    with traced.recorder.a2a_call(agent="navi", operation="query") as call:
        call.fail("protocol")
    assert read(traced)[labelled("a2a_errors_total", agent="navi", operation="query", error_type="protocol")] == 1.0


def test_reader_who_leaves_after_the_final_event_is_a_success(traced: AgentOSTelemetry) -> None:
    """A stream that its reader closes after the final event is a success."""
    with pytest.raises(GeneratorExit), traced.recorder.a2a_call(agent="navi", operation="query") as call:
        call.succeed()
        raise GeneratorExit
    assert read(traced)[labelled("a2a_requests_total", agent="navi", operation="query", status="success")] == 1.0


def test_failure_after_the_final_event_is_an_error(traced: AgentOSTelemetry) -> None:
    """After the final event only a reader who leaves is no error: any other exception is one."""
    with pytest.raises(TimeoutError), traced.recorder.a2a_call(agent="navi", operation="query") as call:
        call.succeed()
        raise TimeoutError
    assert read(traced)[labelled("a2a_errors_total", agent="navi", operation="query", error_type="timeout")] == 1.0


@pytest.fixture
def detailed(spans: InMemorySpanExporter, clock: Clock) -> AgentOSTelemetry:
    """A telemetry with the rows beside the contract."""
    return AgentOSTelemetry(MODELS, span_processors=[SimpleSpanProcessor(spans)], strict=True, clock=clock)


def test_details_of_an_a2a_call(detailed: AgentOSTelemetry, spans: InMemorySpanExporter, clock: Clock) -> None:
    """Request size, first event of a stream, each task state once, and error codes are recorded where the rows are."""
    with detailed.recorder.a2a_call(agent="navi", operation="query") as call:
        call.record_request_size(300)
        clock.now += 2.0
        call.record_event(streams=True)
        clock.now += 2.0
        call.record_event(streams=True)
        for state in ("TASK_STATE_WORKING", "TASK_STATE_WORKING", "TASK_STATE_FAILED"):
            call.record_state(state)
        call.record_error_code(-32001)
    found = read(detailed)
    assert found["a2a_request_size_bytes_sum", NAVI] == 300.0
    first_event = "a2a_client_response_time_to_first_event_seconds_sum"
    assert found[labelled(first_event, agent="navi", operation="query")] == 2.0
    assert above_zero(detailed, "a2a_task_state_count") == {
        labelled("a2a_task_state_count_total", agent="navi", a2a_task_state="TASK_STATE_WORKING"): 1.0,
        labelled("a2a_task_state_count_total", agent="navi", a2a_task_state="TASK_STATE_FAILED"): 1.0,
    }
    code = labelled("a2a_request_error_count_total", agent="navi", rpc_response_status_code="-32001")
    assert found[code] == 1.0
    attributes = spans.get_finished_spans()[0].attributes
    assert (attributes["a2a.task.state"], attributes["rpc.response.status_code"]) == ("TASK_STATE_FAILED", "-32001")


def test_details_without_their_rows_are_on_the_span_alone(traced: AgentOSTelemetry, spans: InMemorySpanExporter) -> None:
    """A catalogue with the contract's rows only records no detail; the span has the task's state."""
    with traced.recorder.a2a_call(agent="navi", operation="query") as call:
        call.record_request_size(300)
        call.record_event(streams=True)
        call.record_state("TASK_STATE_COMPLETED")
    assert {name for name, _ in counters(traced)} == {"a2a_requests_total", "a2a_request_duration_seconds_count"}
    assert spans.get_finished_spans()[0].attributes["a2a.task.state"] == "TASK_STATE_COMPLETED"


def test_cache_call(traced: AgentOSTelemetry, spans: InMemorySpanExporter, clock: Clock) -> None:
    """A cache operation is counted with its result, which is on the span too, and its latency is recorded."""
    with traced.recorder.cache_call("get") as call:
        call.result("hit")
    with pytest.raises(ConnectionError), traced.recorder.cache_call("set"):
        raise ConnectionError
    assert counters(traced) == {
        labelled("cache_operations_total", operation="get", result="hit"): 1.0,
        labelled("cache_operations_total", operation="set", result="error"): 1.0,
        labelled("cache_latency_seconds_count", operation="get"): 1.0,
        labelled("cache_latency_seconds_count", operation="set"): 1.0,
    }
    assert [s.attributes for s in spans.get_finished_spans()] == [
        {"operation": "get", "result": "hit"},
        {"operation": "set", "result": "error", "error.type": "unreachable"},
    ]


def test_model_call_counts_tokens_as_reported(traced: AgentOSTelemetry, spans: InMemorySpanExporter) -> None:
    """A model call counts its tokens by direction; what a total holds beyond the split is unknown."""
    with traced.recorder.model_call(provider="p", task_type="chat") as call:
        call.usage(input_tokens=3, output_tokens=4, total_tokens=10)
    with traced.recorder.model_call(provider="p", task_type="chat") as call:
        call.usage(total_tokens=5)
    tokens = {dict(ls)["direction"]: v for (n, ls), v in above_zero(traced).items() if n == "ccr_tokens_total"}
    assert tokens == {"input": 3.0, "output": 4.0, "unknown": 8.0}
    labels = {"provider": "p", "task_type": "chat", "status": "success"}
    assert read(traced)[labelled("ccr_requests_total", **labels)] == 2.0
    assert spans.get_finished_spans()[0].attributes == {
        **labels,
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.usage.output_tokens": 4,
        "ccr.tokens.unknown": 3,
    }


@adds_readers_later
def test_every_exemplar_names_a_span_with_the_labels_of_its_series(
    traced: AgentOSTelemetry, spans: InMemorySpanExporter
) -> None:
    """Each exemplar of each call names a span that carries exactly the labels of the series."""
    reader = InMemoryMetricReader()
    traced.meter_provider.add_metric_reader(reader)  # type: ignore[attr-defined]  # the SDK's provider
    with traced.tracer.start_as_current_span("server"):
        traced.recorder.rate_limit_decision("/agents/{agent}/runs", "allowed", "w1")
        with traced.recorder.a2a_call(agent="navi", operation="query") as call:
            call.add_bytes(10)
            with traced.recorder.cache_call("get") as cache:
                cache.result("miss")
            with traced.recorder.model_call(provider="p", task_type="chat") as model:
                model.usage(input_tokens=1, output_tokens=2)
        with pytest.raises(TimeoutError), traced.recorder.a2a_call(agent="navi", operation="query"):
            raise TimeoutError
    attributes = {s.context.span_id: s.attributes for s in spans.get_finished_spans()}
    data = reader.get_metrics_data()
    checked = 0
    for metric in data.resource_metrics[0].scope_metrics[0].metrics:  # type: ignore[union-attr]
        for point in metric.data.data_points:
            labels = {k: v for k, v in point.attributes.items() if k != "direction"}
            for exemplar in point.exemplars:
                assert labels.items() <= attributes[exemplar.span_id].items()
                checked += 1
    assert checked == 13


def test_label_over_its_limit_is_bounded_on_the_span_too(spans: InMemorySpanExporter) -> None:
    """A value over the limit is 'other' on the series and on the span."""
    telemetry = AgentOSTelemetry(span_processors=[SimpleSpanProcessor(spans)], limits={"agent": 1})
    for agent in ("first", "second"):
        with telemetry.recorder.a2a_call(agent=agent, operation="query"):
            pass
    assert [s.attributes["agent"] for s in spans.get_finished_spans()] == ["first", "other"]
    assert read(telemetry)[labelled("a2a_requests_total", agent="other", operation="query", status="success")] == 1.0


class FailsToExport(SpanExporter):
    """A host's exporter that raises."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        raise RuntimeError("export")


def test_failing_exporter_never_reaches_the_measured_code() -> None:
    """An exporter that raises while the call's span ends loses that span; the call's result and its metrics stay."""
    telemetry = AgentOSTelemetry(span_processors=[SimpleSpanProcessor(FailsToExport())])
    with telemetry.recorder.a2a_call(agent="navi", operation="query"):
        pass
    with pytest.raises(ZeroDivisionError), telemetry.recorder.a2a_call(agent="navi", operation="query"):
        raise ZeroDivisionError
    found = {dict(labels)["status"]: v for (n, labels), v in above_zero(telemetry, "a2a_requests_total").items()}
    assert found == {"success": 1.0, "error": 1.0}


def test_wrong_value_at_the_end_of_a_call_raises_in_strict_mode(traced: AgentOSTelemetry) -> None:
    """A value outside a closed label raises in strict mode, but never in place of the block's own exception."""
    before = trace.get_current_span()
    with (
        pytest.raises(LabelError, match="error_type must be one of"),
        traced.recorder.a2a_call(agent="navi", operation="q") as call,
    ):
        call.fail("bad luck")
    with pytest.raises(LabelError, match="result must be one of"), traced.recorder.cache_call("get") as cache:
        cache.result("perhaps")
    with pytest.raises(ZeroDivisionError), traced.recorder.a2a_call(agent="navi", operation="q") as call:
        call.fail("bad luck")
        raise ZeroDivisionError
    assert trace.get_current_span() is before
    assert read(traced)["a2a_active_tasks", NAVI] == 0.0
