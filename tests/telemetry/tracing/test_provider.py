"""Where spans go: to the host's tracer provider, to our own, or nowhere, and what is sent onwards in each case."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.propagate import inject
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
