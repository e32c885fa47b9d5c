"""The tracer provider of a telemetry that exports no spans itself: OpenTelemetry's global one.

An unsampled span under a sampled parent would end the host's trace, and a sampled one that no exporter gets would leave a gap
in it. So the global provider opens the spans, and where none is set the parent's context is passed on as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, Tracer, TracerProvider
from opentelemetry.util.types import Attributes

__all__ = ["GlobalTracerProvider", "host_provider_is_set", "offer_globally"]

_offered: TracerProvider | None = None


class GlobalTracerProvider(TracerProvider):
    """Opens spans by OpenTelemetry's global tracer provider, also by one that is set later.

    While none is set, a span under a parent is the parent's context, and a span without one has ids and is not sampled.
    """

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes = None,
    ) -> Tracer:
        """See ``opentelemetry.trace.TracerProvider.get_tracer``."""
        return _GlobalTracer((instrumenting_module_name, instrumenting_library_version, schema_url, attributes))


class _GlobalTracer(Tracer):
    """Asks for the global provider until one is set, and keeps its tracer from then on."""

    def __init__(self, scope: tuple[str, str | None, str | None, Attributes]) -> None:
        self._scope = scope
        self._tracer: Tracer | None = None

    def _find(self) -> Tracer:
        provider = trace.get_tracer_provider()
        if isinstance(provider, (trace.ProxyTracerProvider, GlobalTracerProvider)):
            return _PASS_ON
        self._tracer = provider.get_tracer(*self._scope)
        return self._tracer

    def start_span(self, *args: Any, **kwargs: Any) -> Span:
        return (self._tracer or self._find()).start_span(*args, **kwargs)

    @contextmanager
    def start_as_current_span(self, *args: Any, **kwargs: Any) -> Iterator[Span]:  # type: ignore[override]  # the API's private type
        with (self._tracer or self._find()).start_as_current_span(*args, **kwargs) as span:
            yield span


class _PassOnTracer(Tracer):
    """Returns the parent's context as the span; fresh ids, not sampled, where there is no parent."""

    _ids = RandomIdGenerator()

    def start_span(self, name: str, context: Context | None = None, *args: Any, **kwargs: Any) -> Span:
        parent = trace.get_current_span(context).get_span_context()
        if parent.is_valid:
            return NonRecordingSpan(parent)
        return NonRecordingSpan(SpanContext(self._ids.generate_trace_id(), self._ids.generate_span_id(), is_remote=False))

    @contextmanager
    def start_as_current_span(  # type: ignore[override]  # the API's private type
        self, name: str, context: Context | None = None, *args: Any, **kwargs: Any
    ) -> Iterator[Span]:
        with trace.use_span(self.start_span(name, context)) as span:
            yield span


_PASS_ON = _PassOnTracer()


def host_provider_is_set() -> bool:
    """Returns whether the host has set the global tracer provider, and not ``offer_globally``."""
    provider = trace.get_tracer_provider()
    return provider is not _offered and not isinstance(provider, trace.ProxyTracerProvider)


def offer_globally(provider: TracerProvider) -> None:
    """Sets OpenTelemetry's global tracer provider if none is set."""
    global _offered
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        trace.set_tracer_provider(provider)
        _offered = provider
