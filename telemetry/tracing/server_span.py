"""Server spans of OpenTelemetry's ASGI middleware, whose attributes are set once instead of twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Tracer, TracerProvider

from telemetry._sdk.context import attributes_of

__all__ = ["SetOnceTracerProvider", "accept_attributes"]


class SetOnceTracerProvider(TracerProvider):
    """Opens spans for ``OpenTelemetryMiddleware`` through another provider, and ignores that it sets their attributes again.

    The middleware gives a span its attributes when it starts it, then sets each of them once more, then calls its request
    hook. Setting them one by one takes as long as opening the span. Where a span carries them all as they were given, it
    ignores ``set_attribute`` until the hook, which has to call ``accept_attributes``.

    Args:
        provider: Opens the spans.
    """

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Any = None,
    ) -> Tracer:
        """See ``opentelemetry.trace.TracerProvider.get_tracer``."""
        tracer = self._provider.get_tracer(instrumenting_module_name, instrumenting_library_version, schema_url, attributes)
        return _SetOnceTracer(tracer)


class _SetOnceTracer(Tracer):
    start_as_current_span: Any = None  # that of the tracer: the middleware opens no server span by it

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self.start_as_current_span = tracer.start_as_current_span

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Any = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> Span:
        span = self._tracer.start_span(
            name, context, kind, attributes, links, start_time, record_exception, set_status_on_exception
        )
        # They differ where a sampler or processor changed them, or the span's limits cut them: then setting them matters.
        if attributes and attributes_of(span) == attributes:
            try:
                span.set_attribute = _ignore  # type: ignore[method-assign]
            except AttributeError:  # a span of another implementation, which gets its attributes twice
                return span
        return span


def _ignore(key: str, value: object) -> None:
    """Takes the place of ``set_attribute`` while the middleware repeats what the span carries already."""


def accept_attributes(span: Span, *_: object) -> None:
    """Lets a span of ``SetOnceTracerProvider`` take attributes again. A request hook for ``OpenTelemetryMiddleware``."""
    if span.set_attribute is _ignore:
        del span.set_attribute
