"""Server spans whose attributes are set once."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.trace import SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Decision, Sampler, SamplingResult
from opentelemetry.trace import SpanKind

from telemetry.tracing.server_span import SetOnceTracerProvider, accept_attributes

GIVEN = {"http.method": "GET", "http.route": "/run", "net.peer.port": 1}


class Renaming(Sampler):
    """Gives spans other attributes than they were started with."""

    def should_sample(self, *_: Any, **__: Any) -> SamplingResult:
        return SamplingResult(Decision.RECORD_AND_SAMPLE, {"http.method": "sampled"})

    def get_description(self) -> str:
        return "Renaming"


class Writing(SpanProcessor):
    def on_start(self, span: Any, parent_context: Any = None) -> None:
        span.set_attribute("http.method", "processed")


def started(provider: Any) -> Any:
    """Starts a span as the ASGI middleware does: its attributes are given, set again, and the hook is called."""
    span = provider.get_tracer("t").start_span("GET /run", kind=SpanKind.SERVER, attributes=dict(GIVEN))
    for key, value in GIVEN.items():
        span.set_attribute(key, value)
    accept_attributes(span, {"type": "http"})
    span.set_attribute("after", "hook")
    span.end()
    return span


@pytest.mark.parametrize(
    ("sampler", "limits", "processor"),
    [
        (ALWAYS_ON, SpanLimits(), SpanProcessor()),
        (Renaming(), SpanLimits(), SpanProcessor()),
        (ALWAYS_ON, SpanLimits(max_span_attribute_length=2), SpanProcessor()),
        (ALWAYS_ON, SpanLimits(max_span_attributes=2), SpanProcessor()),
        (ALWAYS_ON, SpanLimits(), Writing()),
    ],
    ids=["plain", "sampler", "cut values", "dropped attributes", "processor"],
)
def test_a_span_has_the_attributes_that_it_has_without(sampler: Sampler, limits: SpanLimits, processor: SpanProcessor) -> None:
    """The attributes and their order are those of the provider itself, whatever changes a span at its start."""

    def provider() -> TracerProvider:
        made = TracerProvider(sampler=sampler, span_limits=limits, shutdown_on_exit=False)
        made.add_span_processor(processor)
        return made

    expected = started(provider())
    span = started(SetOnceTracerProvider(provider()))
    assert list(span.attributes.items()) == list(expected.attributes.items())
    assert span.dropped_attributes == expected.dropped_attributes
    assert (span.name, span.kind, span.instrumentation_scope) == (expected.name, expected.kind, expected.instrumentation_scope)


def test_attributes_that_a_span_carries_are_not_set_again() -> None:
    """Between start and hook ``set_attribute`` changes nothing; after the hook it is the span's own."""
    span: Any = (
        SetOnceTracerProvider(TracerProvider(shutdown_on_exit=False)).get_tracer("t").start_span("s", attributes=dict(GIVEN))
    )
    span.set_attribute("http.method", "POST")
    assert dict(span.attributes) == GIVEN
    accept_attributes(span)
    span.set_attribute("http.method", "POST")
    assert dict(span.attributes) == {**GIVEN, "http.method": "POST"}


def test_a_span_without_attributes_takes_them_at_once() -> None:
    """A span that was started without attributes, or is not sampled, needs no hook."""
    tracer = SetOnceTracerProvider(TracerProvider(shutdown_on_exit=False)).get_tracer("t")
    with tracer.start_as_current_span("BackgroundTask") as span:
        span.set_attribute("a", 1)
        assert dict(span.attributes) == {"a": 1}  # type: ignore[attr-defined]
    unsampled = SetOnceTracerProvider(TracerProvider(ALWAYS_OFF, shutdown_on_exit=False)).get_tracer("t")
    dropped = unsampled.start_span("s", attributes=dict(GIVEN))
    accept_attributes(dropped)
    assert not dropped.is_recording()
