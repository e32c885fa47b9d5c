"""The tracer provider of a telemetry that exports no spans itself: OpenTelemetry's global one.

An unsampled span under a sampled parent would end the host's trace, and a sampled one that no exporter gets would leave a gap
in it. So the global provider opens the spans, and where none is set the parent's context is passed on as it is.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.environment_variables import OTEL_SDK_DISABLED
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import NonRecordingSpan, NoOpTracer, Span, SpanContext, Tracer, TracerProvider
from opentelemetry.util.types import Attributes

from telemetry._sdk.context import current_context, may_have_global_provider, span_in
from telemetry._sdk.dropped_spans import dropping

__all__ = ["GlobalTracerProvider", "host_provider_is_set", "is_sdk_disabled", "offer_globally"]

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
        """See ``opentelemetry.trace.TracerProvider.get_tracer``. A no-op tracer where ``OTEL_SDK_DISABLED`` is true."""
        if is_sdk_disabled():
            return NoOpTracer()
        tracer = _GlobalTracer((instrumenting_module_name, instrumenting_library_version, schema_url, attributes))
        return tracer.find() or tracer


class _GlobalTracer(Tracer):
    """Asks for the global provider until one is set, and keeps its tracer from then on."""

    def __init__(self, scope: tuple[str, str | None, str | None, Attributes]) -> None:
        self._scope = scope
        self._tracer: Tracer | None = None
        self._starter: Tracer | None = None

    def find(self) -> Tracer | None:
        """Returns the global provider's tracer; None while no provider is set."""
        provider = _global_provider()
        if provider is not None:
            self._tracer = provider.get_tracer(*self._scope)
        return self._tracer

    def start_span(self, name: str, context: Context | None = None, *args: Any, **kwargs: Any) -> Span:
        starter = self._starter
        if starter is None:
            # The environment is read when the tracer is made: looking there each time would cost as much as the span.
            tracer = self.find() if may_have_global_provider() else None
            if tracer is None:
                return _pass_on(context)
            starter = self._starter = dropping(tracer)
        return starter.start_span(name, context, *args, **kwargs)

    # The SDK's calls ``start_span`` and makes the span current. Unlike a ``contextmanager`` it decorates coroutines too.
    start_as_current_span: Any = sdk.Tracer.start_as_current_span


_ids = RandomIdGenerator()


def _pass_on(context: Context | None) -> Span:
    """Returns a span with the parent's context; fresh ids, not sampled, where there is no parent.

    A parent that records nothing is returned itself, as the API does without an SDK:
    https://opentelemetry.io/docs/specs/otel/trace/api/#behavior-of-the-api-in-the-absence-of-an-installed-sdk
    """
    parent = span_in(current_context() if context is None else context)
    above = parent.get_span_context()
    if above.is_valid:
        return parent if type(parent) is NonRecordingSpan else NonRecordingSpan(above)
    return NonRecordingSpan(SpanContext(_ids.generate_trace_id(), _ids.generate_span_id(), False))


def _global_provider() -> TracerProvider | None:
    """Returns the global provider; None where none is set, or one that would ask for the global one again."""
    provider = trace.get_tracer_provider()
    return None if isinstance(provider, trace.ProxyTracerProvider | GlobalTracerProvider) else provider


def is_sdk_disabled(environ: Mapping[str, str] = os.environ) -> bool:
    """Returns whether ``OTEL_SDK_DISABLED`` makes the SDK's providers no-ops."""
    return environ.get(OTEL_SDK_DISABLED, "").strip().lower() == "true"


def host_provider_is_set() -> bool:
    """Returns whether the host has set the global tracer provider, and not ``offer_globally``."""
    return _global_provider() not in (None, _offered)


def offer_globally(provider: TracerProvider) -> None:
    """Sets OpenTelemetry's global tracer provider if none is set."""
    global _offered
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        trace.set_tracer_provider(provider)
        _offered = provider
