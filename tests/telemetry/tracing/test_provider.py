"""Where spans go: to the host's tracer provider, to our own, or nowhere, and what is sent onwards in each case."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from opentelemetry import trace
from opentelemetry.propagate import inject
from opentelemetry.sdk.trace import Tracer as SDKTracer
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from opentelemetry.util._once import Once

from telemetry import Catalogue, RequestTimer, Telemetry
from telemetry.metric import histogram

WAIT = histogram("shop.wait", "s", "Time at the till", bounds=(1, 5))
SHOP = Catalogue([WAIT])


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """The host's exporter; no global provider is set."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER_SET_ONCE", Once())
    return InMemorySpanExporter()


@pytest.fixture
def host(exporter: InMemorySpanExporter) -> Iterator[TracerProvider]:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider
    provider.shutdown()


def sent_inside(telemetry: Telemetry) -> tuple[str, str, str]:
    """Returns trace id, span id and flags of the ``traceparent`` that a call inside a timed block sends."""
    carrier: dict[str, str] = {}
    with RequestTimer(telemetry[WAIT]):
        inject(carrier)
    _, trace_id, span_id, flags = carrier["traceparent"].split("-")
    return trace_id, span_id, flags


@pytest.mark.parametrize("later", [False, True])
def test_global_provider_opens_the_spans(host: TracerProvider, exporter: InMemorySpanExporter, later: bool) -> None:
    """Spans of a timer and those inside it reach the exporter of the global provider, also of one that is set later."""
    if later:
        telemetry = Telemetry(SHOP)
        assert sent_inside(telemetry)[2] == "00"
        trace.set_tracer_provider(host)
    else:
        trace.set_tracer_provider(host)
        telemetry = Telemetry(SHOP)
    with RequestTimer(telemetry[WAIT]), trace.get_tracer("host").start_as_current_span("inside"):
        carrier: dict[str, str] = {}
        inject(carrier)
    inside, timed = exporter.get_finished_spans()
    assert (inside.name, timed.name) == ("inside", "shop.wait")
    assert inside.parent == timed.get_span_context()
    assert carrier["traceparent"].startswith(f"00-{timed.context.trace_id:032x}-{inside.context.span_id:016x}-")
    assert inside.context.trace_flags.sampled


@pytest.mark.parametrize("remote", [False, True])
@pytest.mark.parametrize("flags", [0, 1])
@pytest.mark.usefixtures("exporter")
def test_parent_is_passed_on_where_spans_go_nowhere(remote: bool, flags: int) -> None:
    """Without a global provider, a call inside a timed block sends its caller's ``traceparent`` unchanged."""
    telemetry = Telemetry(SHOP)
    parent = NonRecordingSpan(SpanContext(0xABC, 0xDEF, is_remote=remote, trace_flags=TraceFlags(flags)))
    with trace.use_span(parent):
        assert sent_inside(telemetry) == (f"{0xABC:032x}", f"{0xDEF:016x}", f"0{flags}")


@pytest.mark.usefixtures("exporter")
def test_span_that_records_nothing_is_passed_on_itself() -> None:
    """Without a global provider the span of a block is its parent's, as the API without an SDK has it."""
    parent = NonRecordingSpan(SpanContext(0xABC, 0xDEF, is_remote=True))
    tracer = Telemetry(SHOP).tracer
    assert tracer.start_span("block", trace.set_span_in_context(parent)) is parent
    with trace.use_span(parent):
        assert tracer.start_span("block") is parent


def test_host_span_is_the_parent_where_spans_go_nowhere(host: TracerProvider, exporter: InMemorySpanExporter) -> None:
    """A provider that the host has not set globally keeps a whole chain: ours leave no gap between its spans."""
    telemetry, tracer = Telemetry(SHOP), host.get_tracer("host")
    with tracer.start_as_current_span("outside"), RequestTimer(telemetry[WAIT]), tracer.start_as_current_span("inside"):
        pass
    inside, outside = exporter.get_finished_spans()
    assert inside.parent == outside.get_span_context()


@pytest.mark.usefixtures("exporter")
def test_span_without_parent_has_ids_and_is_not_sampled() -> None:
    """Without provider and parent each timed block has ids of its own, for logs."""
    telemetry = Telemetry(SHOP)
    first, second = sent_inside(telemetry), sent_inside(telemetry)
    assert first[0] != second[0]
    assert {first[2], second[2]} == {"00"}


def test_own_processors_keep_the_sampled_parent(host: TracerProvider, exporter: InMemorySpanExporter) -> None:
    """With processors of its own a telemetry opens sampled spans under a sampled parent, of another provider too."""
    telemetry = Telemetry(SHOP, span_processors=[SimpleSpanProcessor(exporter)])
    with host.get_tracer("host").start_as_current_span("outside") as outside:
        trace_id, span_id, flags = sent_inside(telemetry)
    timed, _ = exporter.get_finished_spans()
    assert (trace_id, int(flags, 16) & 1) == (f"{outside.get_span_context().trace_id:032x}", 1)
    assert span_id == f"{timed.context.span_id:016x}"


def test_tracer_makes_spans_current_as_the_api_says(host: TracerProvider, exporter: InMemorySpanExporter) -> None:
    """``start_as_current_span`` works before and after a global provider is set, also as a decorator."""
    tracer = Telemetry(SHOP).tracer_provider.get_tracer("ours")

    @tracer.start_as_current_span("work")
    def work() -> bool:
        return trace.get_current_span().get_span_context().trace_flags.sampled

    assert work() is False
    trace.set_tracer_provider(host)
    assert work() is True
    assert [span.name for span in exporter.get_finished_spans()] == ["work"]


async def test_tracer_decorates_coroutines(host: TracerProvider, exporter: InMemorySpanExporter) -> None:
    """A decorated coroutine runs inside its span, which ends with it."""
    tracer = Telemetry(SHOP).tracer_provider.get_tracer("ours")
    trace.set_tracer_provider(host)

    @tracer.start_as_current_span("work")
    async def work() -> int:
        await asyncio.sleep(0)
        return trace.get_current_span().get_span_context().span_id

    inside = await work()
    (span,) = exporter.get_finished_spans()
    assert span.get_span_context().span_id == inside


def test_tracer_of_a_provider_that_is_set_is_that_providers(host: TracerProvider) -> None:
    """A tracer made after the global provider is its own: opening a span costs no call more."""
    trace.set_tracer_provider(host)
    assert type(Telemetry(SHOP).tracer) is SDKTracer


@pytest.mark.parametrize("remote", [False, True])
@pytest.mark.parametrize("flags", [0, 1])
@pytest.mark.parametrize("later", [False, True])
def test_global_provider_keeps_the_parents_decision(host: TracerProvider, remote: bool, flags: int, later: bool) -> None:
    """Under a parent the span has its trace and its sampling decision, where the provider's sampler asks the parent."""
    telemetry = None if later else Telemetry(SHOP)
    trace.set_tracer_provider(host)
    telemetry = telemetry or Telemetry(SHOP)
    parent = NonRecordingSpan(SpanContext(0xABC, 0xDEF, is_remote=remote, trace_flags=TraceFlags(flags)))
    with trace.use_span(parent):
        trace_id, span_id, sent = sent_inside(telemetry)
    assert (trace_id, int(sent, 16) & 1) == (f"{0xABC:032x}", flags)
    assert span_id != f"{0xDEF:016x}"


@pytest.mark.usefixtures("exporter")
def test_disabled_sdk_opens_no_span(monkeypatch: pytest.MonkeyPatch) -> None:
    """With OTEL_SDK_DISABLED a call without a parent sends no ``traceparent``: the next service decides for itself."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "otlp")
    before = threading.enumerate()
    telemetry = Telemetry.from_environment(SHOP)
    carrier: dict[str, str] = {}
    with RequestTimer(telemetry[WAIT]):
        inject(carrier)
    assert carrier == {}
    assert threading.enumerate() == before
    telemetry.shutdown()


def test_second_global_provider_is_not_used(
    host: TracerProvider, exporter: InMemorySpanExporter, caplog: pytest.LogCaptureFixture
) -> None:
    """OpenTelemetry refuses a second global provider; spans go on to the first."""
    telemetry = Telemetry(SHOP)
    trace.set_tracer_provider(host)
    trace.set_tracer_provider(TracerProvider(shutdown_on_exit=False))
    assert "Overriding of current TracerProvider is not allowed" in caplog.text
    sent_inside(telemetry)
    assert [span.name for span in exporter.get_finished_spans()] == ["shop.wait"]


def test_provider_set_while_threads_open_spans(host: TracerProvider, exporter: InMemorySpanExporter) -> None:
    """Each span opened after the provider was set reaches it, from every thread; none opened before fails."""
    telemetry, spans_each = Telemetry(SHOP), 20
    running, is_set = threading.Barrier(5), threading.Event()

    def work() -> None:
        sent_inside(telemetry)
        running.wait()
        assert is_set.wait(10)
        for _ in range(spans_each):
            sent_inside(telemetry)

    with ThreadPoolExecutor(4) as pool:
        done = [pool.submit(work) for _ in range(4)]
        running.wait()
        trace.set_tracer_provider(host)
        is_set.set()
        for each in done:
            each.result(10)
    assert len(exporter.get_finished_spans()) == 4 * spans_each


@pytest.mark.usefixtures("exporter")
def test_forked_children_have_ids_of_their_own() -> None:
    """Two children of one process, which open spans without parent, do not make the same ids."""
    telemetry = Telemetry(SHOP)
    sent_inside(telemetry)

    def child() -> str:
        read_end, write_end = os.pipe()
        if os.fork() == 0:
            os.write(write_end, sent_inside(telemetry)[0].encode())
            os._exit(0)
        os.close(write_end)
        with os.fdopen(read_end) as answer:
            found = answer.read()
        os.wait()
        return found

    first, second = child(), child()
    assert len(first) == len(second) == 32
    assert first != second


def test_given_provider_gets_no_exporter_of_ours(host: TracerProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside a ``tracer_provider`` of the host, ``from_environment`` starts no exporter."""
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    before = threading.enumerate()
    telemetry = Telemetry.from_environment(SHOP, tracer_provider=host)
    assert telemetry.tracer_provider is host
    assert threading.enumerate() == before


def test_delegating_provider_is_no_host(monkeypatch: pytest.MonkeyPatch, exporter: InMemorySpanExporter) -> None:
    """Where a telemetry's delegating provider was set globally, ``from_environment`` exports by itself."""
    trace.set_tracer_provider(Telemetry(SHOP).tracer_provider)
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    telemetry = Telemetry.from_environment(SHOP)
    assert telemetry.tracer_provider in telemetry._owned
    telemetry.shutdown()


def test_environment_leaves_the_export_to_the_host(host: TracerProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the host has set the global provider, ``from_environment`` exports no span a second time."""
    trace.set_tracer_provider(host)
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    telemetry = Telemetry.from_environment(SHOP)
    assert telemetry._owned == [telemetry.meter_provider]
    telemetry.offer_globally()
    assert trace.get_tracer_provider() is host
    telemetry.shutdown()


def test_provider_that_was_offered_is_not_the_hosts(exporter: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second telemetry from the environment exports by itself: the global provider is the first one's, not the host's."""
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    first = Telemetry(SHOP, span_processors=[SimpleSpanProcessor(exporter)])
    first.offer_globally()
    assert trace.get_tracer_provider() is first.tracer_provider
    second = Telemetry.from_environment(SHOP)
    assert second.tracer_provider in second._owned
    first.shutdown()
    second.shutdown()


@pytest.mark.usefixtures("exporter")
def test_global_provider_of_our_own_kind_ends_in_no_circle() -> None:
    """A telemetry's delegating provider may be set globally: it then passes the parent on."""
    telemetry = Telemetry(SHOP)
    trace.set_tracer_provider(telemetry.tracer_provider)
    assert sent_inside(telemetry)[2] == "00"
