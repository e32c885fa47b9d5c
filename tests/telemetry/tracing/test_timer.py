"""RequestTimer: one span, one observation and two clock readings, and no failure that reaches the block."""

from __future__ import annotations

import asyncio
import contextvars
from contextlib import suppress
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.context import Context, attach, detach, get_current, get_value
from opentelemetry.sdk.metrics import ExemplarFilter
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, TraceIdRatioBased
from opentelemetry.trace import NonRecordingSpan, SpanContext, StatusCode, TraceFlags

from telemetry import LabelError, RequestTimer, Telemetry
from telemetry._sdk.dropped_spans import dropping
from tests.helpers.catalogue import CATALOGUE, DURATION, LOOKUP
from tests.helpers.clock import Clock
from tests.helpers.providers import HostFactory
from tests.helpers.samples import above_zero, counts, read
from tests.helpers.sdk_versions import adds_readers_later


def timer(telemetry: Telemetry, **options: Any) -> RequestTimer:
    return RequestTimer(telemetry[DURATION], shop="north", operation="pay", **options)


def test_span_carries_the_labels_of_the_series(shop: Telemetry, spans: InMemorySpanExporter) -> None:
    """The span has the same keys and values as the series, status included."""
    with timer(shop):
        pass
    (span,) = spans.get_finished_spans()
    assert span.attributes == {"shop": "north", "operation": "pay", "status": "success"}
    assert span.status.status_code is StatusCode.UNSET
    assert counts(shop, DURATION.prometheus_name) == {"success": 1.0}


def test_exception_makes_an_error_and_passes_through(shop: Telemetry, spans: InMemorySpanExporter) -> None:
    """An exception that leaves the block sets status and ``error.type``, and is raised unchanged."""
    error = KeyError("x")
    with pytest.raises(KeyError) as caught, timer(shop):
        raise error
    assert caught.value is error
    (span,) = spans.get_finished_spans()
    assert span.attributes == {"shop": "north", "operation": "pay", "status": "error", "error.type": "KeyError"}
    assert span.status.status_code is StatusCode.ERROR
    assert counts(shop, DURATION.prometheus_name) == {"error": 1.0}


async def test_cancellation_is_an_error(shop: Telemetry) -> None:
    """A cancellation inside the block is an error, and the task is cancelled."""
    entered = asyncio.Event()

    async def work() -> None:
        async with timer(shop):
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert counts(shop, DURATION.prometheus_name) == {"error": 1.0}


def test_one_clock_reading_at_each_end(clock: Clock) -> None:
    """The duration is the difference of two readings of the injected clock."""
    telemetry = Telemetry(CATALOGUE, clock=clock)
    with timer(telemetry):
        clock.now += 0.25
    assert clock.reads == 2
    assert [v for (n, _), v in above_zero(telemetry).items() if n.endswith("_sum")] == [0.25]


def test_given_clock_replaces_that_of_the_telemetry(clock: Clock) -> None:
    """A timer reads the clock that it is given."""
    telemetry = Telemetry(CATALOGUE)
    with timer(telemetry, clock=clock):
        clock.now += 3
    assert [v for (n, _), v in above_zero(telemetry).items() if n.endswith("_sum")] == [3.0]


@adds_readers_later
def test_observation_carries_the_spans_exemplar(shop: Telemetry, spans: InMemorySpanExporter) -> None:
    """The exemplar of the observation names the timer's span."""
    reader = InMemoryMetricReader()
    shop.meter_provider.add_metric_reader(reader)  # type: ignore[attr-defined]  # the SDK's provider
    with timer(shop):
        pass
    (span,) = spans.get_finished_spans()
    data = reader.get_metrics_data()
    (point,) = data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points  # type: ignore[union-attr]
    assert [(e.trace_id, e.span_id) for e in point.exemplars] == [(span.context.trace_id, span.context.span_id)]


def test_metric_without_status_has_it_on_the_span_only(shop: Telemetry, spans: InMemorySpanExporter) -> None:
    """A histogram without the label ``status`` has it on the span only."""
    with RequestTimer(shop[LOOKUP], operation="get"):
        pass
    (span,) = spans.get_finished_spans()
    assert span.attributes == {"operation": "get", "status": "success"}
    assert above_zero(shop, "shop_lookup_duration_seconds_count") == {
        ("shop_lookup_duration_seconds_count", (("operation", "get"),)): 1.0
    }


@pytest.mark.parametrize("running", [True, False], ids=["while it runs", "after it ended"])
def test_second_entry_raises_before_anything_is_opened(
    running: bool, shop: Telemetry, spans: InMemorySpanExporter, clock: Clock
) -> None:
    """A timer times one block: entering it again raises, opens no span and leaves the first block's numbers as they are."""
    once = timer(shop, clock=clock)
    with once:
        outer = trace.get_current_span()
        if running:
            with pytest.raises(RuntimeError, match="A RequestTimer times one block: make a new one for each block"):
                once.__enter__()
        assert trace.get_current_span() is outer
        clock.now += 1
    if not running:
        with pytest.raises(RuntimeError, match="A RequestTimer times one block: make a new one for each block"):
            once.__enter__()
    assert clock.reads == 2
    assert len(spans.get_finished_spans()) == 1
    assert [v for (n, _), v in above_zero(shop).items() if n.endswith("_sum")] == [1.0]


async def test_second_async_entry_raises(shop: Telemetry) -> None:
    """``async with`` refuses a used timer as ``with`` does."""
    once = timer(shop)
    async with once:
        pass
    with pytest.raises(RuntimeError, match="times one block"):
        async with once:
            pass
    assert counts(shop, DURATION.prometheus_name) == {"success": 1.0}


def test_without_tracing_only_the_observation_is_made() -> None:
    """With a no-op tracer the block has no span, and the observation is the same."""
    telemetry = Telemetry(CATALOGUE, tracer_provider=trace.NoOpTracerProvider())
    with timer(telemetry):
        assert trace.get_current_span() is trace.INVALID_SPAN
    assert counts(telemetry, DURATION.prometheus_name) == {"success": 1.0}


def test_without_exporter_spans_have_ids_and_are_not_sampled() -> None:
    """Without an exporter spans have ids, for answers and logs, and are not sampled, so that no exemplar names them."""
    telemetry = Telemetry(CATALOGUE)
    with timer(telemetry):
        context = trace.get_current_span().get_span_context()
    assert context.is_valid
    assert not context.trace_flags.sampled


def unsampled_parent() -> Context:
    parent = NonRecordingSpan(SpanContext(0xABC, 0xDEF, is_remote=True, trace_flags=TraceFlags(0)))
    return trace.set_span_in_context(parent, Context({"key": "kept"}))


@pytest.mark.parametrize("parent", [Context(), unsampled_parent()], ids=["root", "unsampled parent"])
@pytest.mark.parametrize("error", [None, KeyError])
def test_dropped_span_is_current_and_leaves_the_series_alone(parent: Context, error: type[Exception] | None) -> None:
    """A dropped span has a new id in its parent's trace, is current inside the block only, and no exemplar names it."""
    telemetry = Telemetry(CATALOGUE, span_processors=[Unexpected()], sampler=ParentBased(TraceIdRatioBased(0)))
    token = attach(parent)
    with suppress(KeyError), timer(telemetry) as running:
        inside = trace.get_current_span().get_span_context()
        assert get_value("key") == parent.get("key")
        if error is not None:
            raise error
    assert get_current() is parent
    detach(token)
    above = trace.get_current_span(parent).get_span_context()
    assert inside.is_valid
    assert not inside.is_remote
    assert not inside.trace_flags.sampled
    assert (inside.trace_id == above.trace_id, inside.span_id == above.span_id) == (above.is_valid, False)
    assert running.scope is not None
    assert running.scope.span.get_span_context() == inside
    assert counts(telemetry, DURATION.prometheus_name) == {"success" if error is None else "error": 1.0}
    assert "trace_id" not in telemetry.reader.expose("application/openmetrics-text").body.decode()


def test_scope_of_a_dropped_span_is_left_and_entered(clock: Clock) -> None:
    """The scope of a block whose span was dropped makes that span current and another, and ends with the block."""
    telemetry = Telemetry(CATALOGUE, span_processors=[Unexpected()], sampler=ALWAYS_OFF, clock=clock)
    before = trace.get_current_span()
    with timer(telemetry) as running:
        inside = trace.get_current_span()
        running.pause()
        assert trace.get_current_span() is before
        running.resume()
        assert trace.get_current_span() is inside
    assert trace.get_current_span() is before
    assert clock.reads == 2


@adds_readers_later
@pytest.mark.parametrize("takes", [True, False])
def test_own_exemplar_filter_sees_the_dropped_span(host: HostFactory, takes: bool) -> None:
    """An exemplar filter of the host's is asked inside the block, with the dropped span."""
    reader, asked = InMemoryMetricReader(), []

    class Own(ExemplarFilter):
        def should_sample(self, value: float, time_unix_nano: int, attributes: Any, context: Context) -> bool:
            asked.append(trace.get_current_span(context).get_span_context())
            return takes

    telemetry, _ = host(reader, exemplar_filter=Own())
    tracer = TracerProvider(ALWAYS_OFF, shutdown_on_exit=False).get_tracer("shop")
    with timer(telemetry, tracer=dropping(tracer)):
        inside = trace.get_current_span().get_span_context()
    assert asked == [inside]
    data = reader.get_metrics_data()
    (point,) = data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points  # type: ignore[union-attr]
    assert len(point.exemplars) == takes


def test_status_cannot_be_given(shop: Telemetry) -> None:
    """Giving ``status`` raises an error that says that the timer sets it."""
    with pytest.raises(TypeError, match="status is set by the timer"):
        timer(shop, status="success")


def test_wrong_label_raises_in_strict_mode(shop: Telemetry) -> None:
    """A label that the metric does not have raises before the block starts."""
    with pytest.raises(LabelError, match="no label colour"):
        RequestTimer(shop[DURATION], shop="north", operation="pay", colour="red")


class Breaks(SpanProcessor):
    """A span processor that raises at the start and at the end."""

    def on_start(self, span: Span, parent_context: Any = None) -> None:
        raise RuntimeError("start")

    def on_end(self, span: ReadableSpan) -> None:
        raise RuntimeError("end")


class Unexpected(SpanProcessor):
    """A span processor that nothing may reach."""

    def on_start(self, span: Span, parent_context: Any = None) -> None:
        raise AssertionError("a dropped span was started")

    def on_end(self, span: ReadableSpan) -> None:
        raise AssertionError("a dropped span was ended")


class BreaksAtTheEnd(SpanProcessor):
    def on_end(self, span: ReadableSpan) -> None:
        raise RuntimeError("end")


@pytest.mark.parametrize("processor", [Breaks, BreaksAtTheEnd])
def test_failing_span_processor_never_reaches_the_block(processor: type[SpanProcessor]) -> None:
    """The observation is recorded, the failure counted, and the block's result or exception unchanged."""
    telemetry = Telemetry(CATALOGUE, span_processors=[processor()])
    before = trace.get_current_span()
    with timer(telemetry):
        pass
    with pytest.raises(ZeroDivisionError), timer(telemetry):
        raise ZeroDivisionError
    assert trace.get_current_span() is before
    assert counts(telemetry, DURATION.prometheus_name) == {"success": 1.0, "error": 1.0}
    dropped = ("agentos_telemetry_dropped_total", (("metric", "shop_request_duration_seconds"), ("reason", "failed")))
    assert read(telemetry)[dropped] == 2.0


def test_block_that_ends_in_another_context(shop: Telemetry) -> None:
    """A generator that is closed in another context than it was started in ends its block without an error."""

    def steps() -> Any:
        with timer(shop):
            yield

    generator = steps()
    contextvars.copy_context().run(next, generator)
    generator.close()
    assert counts(shop, DURATION.prometheus_name) == {"error": 1.0}
