"""Exceptions on the spans of instrumentors."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import INVALID_SPAN, Status, StatusCode

from telemetry.tracing.exceptions import leave_out_messages


def failing(quoted: str) -> None:
    try:
        raise KeyError(quoted)
    except KeyError as error:
        raise ValueError(quoted) from error


def test_exception_is_on_the_span_without_its_messages():
    """A span names the exception by class and place; the messages of it and its causes are nowhere on it."""
    spans = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(spans))
    with pytest.raises(ValueError, match="secret"), provider.get_tracer("t").start_as_current_span("s") as span:
        leave_out_messages(span, object())
        failing("secret" * 1000)
    (ended,) = spans.get_finished_spans()
    (event,) = ended.events
    assert event.attributes is not None
    assert event.attributes["exception.type"] == "builtins.ValueError"
    assert "in failing" in str(event.attributes["exception.stacktrace"])
    assert (ended.status.status_code, ended.status.description) == (StatusCode.ERROR, None)
    assert "secretsecret" not in ended.to_json()


def test_status_keeps_its_code():
    """A status that is set by its code alone, or as an object, keeps the code."""
    with TracerProvider(shutdown_on_exit=False).get_tracer("t").start_as_current_span("s") as span:
        leave_out_messages(span)
        span.set_status(Status(StatusCode.ERROR, "secret"))
        assert span.status.status_code is StatusCode.ERROR  # type: ignore[attr-defined]
        span.set_status(StatusCode.OK)
        assert span.status.status_code is StatusCode.OK  # type: ignore[attr-defined]


def test_span_that_takes_no_attributes_is_left_as_it_is():
    """A span that does not record, or is of another implementation, is no error."""

    class Slotted:
        __slots__ = ()
        set_status = None

        def is_recording(self) -> bool:
            return True

    leave_out_messages(INVALID_SPAN)
    leave_out_messages(Slotted())  # type: ignore[arg-type]
