"""The spans that the sampler drops: made without the SDK, and equal to the SDK's."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    Decision,
    ParentBased,
    ParentBasedTraceIdRatio,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import INVALID_SPAN, NonRecordingSpan, Span, SpanContext, SpanKind, TraceFlags, Tracer, TraceState

from telemetry._sdk.dropped_spans import DroppingTracer, dropping
from tests.helpers.sdk_versions import switches_tracers

STATE = TraceState([("vendor", "value")])
SPANS = 40


class ByAttribute(Sampler):
    """Samples spans that have an attribute, and notes each question."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def should_sample(
        self, parent_context: Any, trace_id: int, name: str, kind: Any = None, attributes: Any = None, *_: Any, **__: Any
    ) -> SamplingResult:
        self.asked.append((name, kind, dict(attributes or {})))
        decision = Decision.RECORD_AND_SAMPLE if attributes else Decision.DROP
        return SamplingResult(decision, attributes, TraceState([("asked", "yes")]))

    def get_description(self) -> str:
        return "ByAttribute"


class RatioOfOnesOwn(TraceIdRatioBased):
    """Decides as it likes."""

    def should_sample(self, *args: Any, **kwargs: Any) -> SamplingResult:
        return SamplingResult(Decision.RECORD_AND_SAMPLE)


class Counting(IdGenerator):
    """Numbers the spans and the traces."""

    def __init__(self) -> None:
        self.spans = self.traces = 0

    def generate_span_id(self) -> int:
        self.spans += 1
        return self.spans

    def generate_trace_id(self) -> int:
        self.traces += 1
        return self.traces


class Seeded(RandomIdGenerator):
    """A subclass, whose methods may be anything."""


class Invalid(Counting):
    """Makes a span id that is none."""

    def generate_span_id(self) -> int:
        return 0


def above(flags: int, *, remote: bool = False, trace_id: int = 0xABC) -> Span:
    return NonRecordingSpan(SpanContext(trace_id, 0xDEF, remote, TraceFlags(flags), STATE))


SAMPLERS: dict[str, Sampler] = {
    "parent or 1 in 100": ParentBased(TraceIdRatioBased(0.01)),
    "parent or 1 in 10": ParentBasedTraceIdRatio(0.1),
    "parent or all": ParentBased(ALWAYS_ON),
    "parent or none": ParentBased(ALWAYS_OFF),
    "parent or half": ParentBased(TraceIdRatioBased(0.5)),
    "unsampled parent, yet sampled": ParentBased(TraceIdRatioBased(0.1), local_parent_not_sampled=ALWAYS_ON),
    "unsampled remote parent, yet sampled": ParentBased(ALWAYS_OFF, remote_parent_not_sampled=ALWAYS_ON),
    "1 in 10": TraceIdRatioBased(0.1),
    "none by ratio": TraceIdRatioBased(0),
    "none": ALWAYS_OFF,
    "all": ALWAYS_ON,
    "own": ByAttribute(),
    "parent or own": ParentBased(ByAttribute()),
    "parent or own ratio": ParentBased(RatioOfOnesOwn(0.01)),
}
PARENTS: dict[str, Span | None] = {
    "root": None,
    "invalid": INVALID_SPAN,
    "no trace": above(0, trace_id=0),
    "unsampled": above(0),
    "unsampled, random": above(2),
    "unsampled, remote": above(2, remote=True),
    "unsampled, unknown flag": above(4),
    "sampled": above(3),
    "sampled, remote": above(1, remote=True),
    "no span context": NonRecordingSpan(None),  # type: ignore[arg-type]
}


def seen(sampler: Sampler, ids: IdGenerator, parent: Span | None, quick: bool) -> tuple[list[Any], list[Any]]:
    """Returns what code inside a few blocks sees of their spans, and what is exported of them."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler, id_generator=ids, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer: Tracer = provider.get_tracer("shop", "1")
    if quick:
        tracer = dropping(tracer)
    context = Context({"key": "kept"}) if parent is None else trace.set_span_in_context(parent, Context({"key": "kept"}))
    random.seed(7)
    spans = [tracer.start_span("pay", context, SpanKind.CLIENT, {"shop": "north"}, start_time=n) for n in range(SPANS)]
    inside = [(type(span), span.is_recording(), tuple(span.get_span_context())) for span in spans]
    for span in spans:
        span.end(1000)
    out = [(s.name, s.kind, s.parent, s.context, s.attributes, s.start_time, s.end_time) for s in exporter.get_finished_spans()]
    provider.shutdown()
    return inside, out


@pytest.mark.parametrize("ids", [RandomIdGenerator, Seeded, Counting, Invalid])
@pytest.mark.parametrize("parent", PARENTS.values(), ids=PARENTS)
@pytest.mark.parametrize("sampler", SAMPLERS.values(), ids=SAMPLERS)
def test_spans_are_those_of_the_sdk(sampler: Sampler, parent: Span | None, ids: type[IdGenerator]) -> None:
    """Kind, ids, flags, trace state and what is exported are the same, also the order in which ids are generated."""
    assert seen(sampler, ids(), parent, True) == seen(sampler, ids(), parent, False)


def test_parent_that_records_without_being_sampled_is_asked_about() -> None:
    """Under a span that records and is not sampled the SDK starts the spans."""

    class RecordOnly(ByAttribute):
        def should_sample(self, *_: Any, **__: Any) -> SamplingResult:
            return SamplingResult(Decision.RECORD_ONLY)

    parent = TracerProvider(RecordOnly(), shutdown_on_exit=False).get_tracer("a").start_span("outside")
    sampler = ParentBased(ALWAYS_ON)
    assert seen(sampler, Counting(), parent, True) == seen(sampler, Counting(), parent, False)


def quick_tracer(sampler: Sampler, **options: Any) -> Any:
    return dropping(TracerProvider(sampler, shutdown_on_exit=False, **options).get_tracer("shop"))


@pytest.mark.parametrize("name", ["parent or 1 in 100", "parent or all", "none", "1 in 10", "parent or own"])
def test_known_samplers_are_not_asked(name: str) -> None:
    """The SDK's own samplers are known to drop some spans, with the installed SDK."""
    assert type(quick_tracer(SAMPLERS[name])) is DroppingTracer


@pytest.mark.parametrize("name", ["all", "own"])
def test_other_samplers_are_asked(name: str) -> None:
    """Where no answer is known the tracer is the SDK's."""
    assert type(quick_tracer(SAMPLERS[name])) is not DroppingTracer


def test_own_sampler_is_asked_once_for_each_span() -> None:
    """A sampler of the host's hears of each span that it decides about, with its attributes, and of no other."""
    sampler = ByAttribute()
    tracer = quick_tracer(ParentBased(sampler))
    assert sampler.asked == []
    for n in range(2):
        tracer.start_span("root", Context(), SpanKind.SERVER, {"n": n})
    tracer.start_span("child", trace.set_span_in_context(above(0), Context()))
    assert sampler.asked == [("root", SpanKind.SERVER, {"n": 0}), ("root", SpanKind.SERVER, {"n": 1})]


def test_sampler_that_is_replaced_decides() -> None:
    """Another sampler of the same tracer is asked from then on."""
    provider = TracerProvider(ALWAYS_OFF, shutdown_on_exit=False)
    inner = provider.get_tracer("shop")
    tracer = dropping(inner)
    assert not tracer.start_span("a", Context()).is_recording()
    inner.sampler = ALWAYS_ON  # type: ignore[attr-defined]  # of the SDK's tracer
    assert tracer.start_span("a", Context()).is_recording()


@switches_tracers
def test_tracer_that_is_switched_off_passes_the_parent_on() -> None:
    """A tracer that is switched off later returns its parent's context, as the SDK's."""
    from opentelemetry.sdk.trace import _disable_tracer_configurator

    provider = TracerProvider(ParentBased(ALWAYS_ON), shutdown_on_exit=False)
    inner = provider.get_tracer("shop")
    tracer = dropping(inner)
    context = trace.set_span_in_context(above(0), Context())
    assert tracer.start_span("a", context).get_span_context().span_id != 0xDEF
    provider._set_tracer_configurator(tracer_configurator=_disable_tracer_configurator)
    assert tracer.start_span("a", context).get_span_context() == inner.start_span("a", context).get_span_context()


def test_tracers_of_other_kinds_are_returned_as_they_are() -> None:
    """A no-op tracer and a subclass of the SDK's start their spans themselves."""
    noop = trace.NoOpTracer()
    assert dropping(noop) is noop

    inner: Any = TracerProvider(ALWAYS_OFF, shutdown_on_exit=False).get_tracer("shop")
    inner.__class__ = type("Subclass", (type(inner),), {})
    assert dropping(inner) is inner


@pytest.mark.parametrize("attributes", [["start_span"], ["_of_a_later_sdk"]])
def test_tracer_with_unknown_attributes_is_the_sdks(attributes: Sequence[str]) -> None:
    """Where a tracer has been patched, or an SDK's has more parts than are known, the SDK drops the spans."""
    inner: Any = TracerProvider(ALWAYS_OFF, shutdown_on_exit=False).get_tracer("shop")
    for name in attributes:
        setattr(inner, name, inner.start_span)
    assert dropping(inner) is inner


@pytest.mark.parametrize("name", ["_local_parent_not_sampled", "_remote_parent_not_sampled", "_root"])
def test_sampler_with_other_private_names_is_asked(name: str) -> None:
    """Where a private name of the sampler is gone, the SDK drops the spans."""
    sampler = ParentBased(ALWAYS_OFF)
    inner = TracerProvider(sampler, shutdown_on_exit=False).get_tracer("shop")
    delattr(sampler, name)
    assert dropping(inner) is inner


def test_ratio_that_is_decided_in_another_way_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the SDK's ratio does not look at the lower half of the trace id, it is asked."""
    result = SamplingResult(Decision.RECORD_AND_SAMPLE)
    monkeypatch.setattr(TraceIdRatioBased, "should_sample", lambda *_, **__: result)
    inner = TracerProvider(ParentBased(TraceIdRatioBased(0.01)), shutdown_on_exit=False).get_tracer("shop")
    assert dropping(inner) is inner


def test_sdk_that_drops_in_another_way_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the SDK's dropped spans have a trace state of their own, the SDK makes them."""
    original = type(ALWAYS_OFF).should_sample

    def should_sample(*args: Any, **kwargs: Any) -> SamplingResult:
        result = original(*args, **kwargs)
        result.trace_state = TraceState([("another", "state")])
        return result

    monkeypatch.setattr(type(ALWAYS_OFF), "should_sample", should_sample)
    inner = TracerProvider(ALWAYS_OFF, shutdown_on_exit=False).get_tracer("shop")
    assert dropping(inner) is inner


def test_counted_spans_are_the_sdks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where ``OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED`` makes the SDK count dropped spans, it drops them."""
    monkeypatch.setenv("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED", "true")
    inner: Any = TracerProvider(ALWAYS_OFF, shutdown_on_exit=False).get_tracer("shop")
    counts = type(getattr(inner, "_tracer_metrics", None)).__name__ == "TracerMetrics"
    assert (dropping(inner) is inner) is counts
