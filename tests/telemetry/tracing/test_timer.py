"""RequestTimer: a span, one observation, two clock readings, and no trace of itself in the measured code."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from telemetry import AgentOSTelemetry, LabelError, RequestTimer, Telemetry
from telemetry.agentos import catalogue as rows
from tests.helpers.clock import Clock
from tests.helpers.samples import above_zero, counts, read

DURATION = rows.A2A_REQUEST_DURATION


def timer(telemetry: Telemetry, **options: Any) -> RequestTimer:
    return RequestTimer(telemetry[DURATION], agent="navi", operation="query", **options)


def test_span_carries_the_labels_of_the_series(traced: Telemetry, spans: InMemorySpanExporter) -> None:
    """The span has the same keys and values as the series, status included."""
    with timer(traced):
        pass
    (span,) = spans.get_finished_spans()
    assert span.attributes == {"agent": "navi", "operation": "query", "status": "success"}
    assert span.status.status_code is StatusCode.UNSET
    assert counts(traced) == {"success": 1.0}


def test_exception_makes_an_error_and_passes_through(traced: Telemetry, spans: InMemorySpanExporter) -> None:
    """An exception that leaves the block: status error, error.type on the span, the exception itself untouched."""
    error = KeyError("x")
    with pytest.raises(KeyError) as caught, timer(traced):
        raise error
    assert caught.value is error
    (span,) = spans.get_finished_spans()
    assert span.attributes == {"agent": "navi", "operation": "query", "status": "error", "error.type": "KeyError"}
    assert span.status.status_code is StatusCode.ERROR
    assert counts(traced) == {"error": 1.0}


async def test_cancellation_is_an_error(traced: Telemetry) -> None:
    """A task that is cancelled inside the block counts as an error and stays cancelled."""
    entered = asyncio.Event()

    async def work() -> None:
        async with timer(traced):
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert counts(traced) == {"error": 1.0}


def test_one_clock_reading_at_each_end(clock: Clock) -> None:
    """The duration is the difference of two readings of the injected clock."""
    telemetry = AgentOSTelemetry(clock=clock)
    with timer(telemetry):
        clock.now += 0.25
    assert clock.reads == 2
    assert [v for (n, _), v in above_zero(telemetry).items() if n.endswith("_sum")] == [0.25]


def test_own_clock_goes_before_that_of_the_telemetry(clock: Clock) -> None:
    """A timer can be given a clock of its own."""
    telemetry = AgentOSTelemetry()
    with timer(telemetry, clock=clock):
        clock.now += 3
    assert [v for (n, _), v in above_zero(telemetry).items() if n.endswith("_sum")] == [3.0]


def test_observation_carries_the_spans_exemplar(traced: Telemetry, spans: InMemorySpanExporter) -> None:
    """The observation is made while the span is current."""
    reader = InMemoryMetricReader()
    traced.meter_provider.add_metric_reader(reader)  # type: ignore[attr-defined]  # the SDK's provider
    with timer(traced):
        pass
    (span,) = spans.get_finished_spans()
    data = reader.get_metrics_data()
    (point,) = data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points  # type: ignore[union-attr]
    assert [(e.trace_id, e.span_id) for e in point.exemplars] == [(span.context.trace_id, span.context.span_id)]


def test_metric_without_status_has_it_on_the_span_only(traced: Telemetry, spans: InMemorySpanExporter) -> None:
    """status is a label only where the histogram has that key."""
    with RequestTimer(traced[rows.CACHE_LATENCY], operation="get"):
        pass
    (span,) = spans.get_finished_spans()
    assert span.attributes == {"operation": "get", "status": "success"}
    assert above_zero(traced, "cache_latency_seconds_count") == {("cache_latency_seconds_count", (("operation", "get"),)): 1.0}


def test_one_timer_nested_and_reused(traced: Telemetry, clock: Clock) -> None:
    """One timer object used inside itself and again keeps its blocks apart."""
    shared = timer(traced, clock=clock)
    with shared:
        clock.now += 1
        with shared:
            clock.now += 10
    with shared:
        clock.now += 100
    sums = [v for (n, _), v in above_zero(traced).items() if n.endswith("_sum")]
    assert sums == [11 + 10 + 100]


async def test_one_timer_shared_by_tasks(traced: Telemetry, spans: InMemorySpanExporter) -> None:
    """Tasks that share a timer and end in any order each get their own status; children of a block do not take it over."""
    shared = timer(traced)
    first, second = asyncio.Event(), asyncio.Event()

    async def child() -> None:
        with shared:
            pass

    async def work(until: asyncio.Event, fails: bool) -> None:
        with shared:
            await asyncio.create_task(child())
            await until.wait()
            if fails:
                raise LookupError

    a = asyncio.create_task(work(first, True))
    b = asyncio.create_task(work(second, False))
    first.set()
    with pytest.raises(LookupError):
        await a
    second.set()
    await b
    assert counts(traced) == {"success": 3.0, "error": 1.0}
    assert len(spans.get_finished_spans()) == 4


def test_one_timer_shared_by_threads(traced: Telemetry) -> None:
    """Threads that share a timer do not mix."""
    shared = timer(traced)
    barrier = threading.Barrier(4)

    def work(fails: bool) -> None:
        try:
            with shared:
                barrier.wait()
                if fails:
                    raise LookupError
        except LookupError:
            pass

    threads = [threading.Thread(target=work, args=(n == 0,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts(traced) == {"success": 3.0, "error": 1.0}


def test_without_tracing_only_the_observation_is_made() -> None:
    """With a no-op tracer there is no span, and the series is the same."""
    telemetry = AgentOSTelemetry(tracer_provider=trace.NoOpTracerProvider())
    with timer(telemetry):
        assert trace.get_current_span() is trace.INVALID_SPAN
    assert counts(telemetry) == {"success": 1.0}


def test_without_exporter_spans_have_ids_and_are_not_sampled() -> None:
    """Answers and logs can name the trace; no exemplar will."""
    telemetry = AgentOSTelemetry()
    with timer(telemetry):
        context = trace.get_current_span().get_span_context()
    assert context.is_valid
    assert not context.trace_flags.sampled


def test_status_cannot_be_given(traced: Telemetry) -> None:
    """The timer sets status; giving it is a mistake that is named."""
    with pytest.raises(TypeError, match="status is set by the timer"):
        timer(traced, status="success")


def test_wrong_label_is_loud_in_strict_mode(traced: Telemetry) -> None:
    """A label that the metric does not have raises before the block starts."""
    with pytest.raises(LabelError, match="no label colour"):
        RequestTimer(traced[DURATION], agent="navi", operation="query", colour="red")


class Breaks(SpanProcessor):
    """A span processor of a host's that fails at every turn."""

    def on_start(self, span: Span, parent_context: Any = None) -> None:
        raise RuntimeError("start")

    def on_end(self, span: ReadableSpan) -> None:
        raise RuntimeError("end")


class BreaksAtTheEnd(SpanProcessor):
    def on_end(self, span: ReadableSpan) -> None:
        raise RuntimeError("end")


@pytest.mark.parametrize("processor", [Breaks, BreaksAtTheEnd])
def test_failing_span_processor_never_reaches_the_block(processor: type[SpanProcessor]) -> None:
    """The observation is kept, the failure counted, the block's own result and exception untouched."""
    telemetry = AgentOSTelemetry(span_processors=[processor()])
    before = trace.get_current_span()
    with timer(telemetry):
        pass
    with pytest.raises(ZeroDivisionError), timer(telemetry):
        raise ZeroDivisionError
    assert trace.get_current_span() is before
    assert counts(telemetry) == {"success": 1.0, "error": 1.0}
    dropped = ("agentos_telemetry_dropped_total", (("metric", "a2a_request_duration_seconds"), ("reason", "failed")))
    assert read(telemetry)[dropped] == 2.0


def test_block_that_ends_in_another_context(traced: Telemetry) -> None:
    """A generator finalised in another context than it was started in still closes its block, quietly."""
    import contextvars

    def steps() -> Any:
        with timer(traced):
            yield

    generator = steps()
    contextvars.copy_context().run(next, generator)
    generator.close()
    assert counts(traced) == {"error": 1.0}
