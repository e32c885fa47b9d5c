"""Server spans of the service, by OpenTelemetry's instrumentor of FastAPI."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi.applications import FastAPI
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.metrics import MeterProvider
from opentelemetry.propagate import get_global_textmap
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import Span, TracerProvider
from opentelemetry.util.http import OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SANITIZE_FIELDS, get_custom_headers
from starlette.types import ASGIApp, Scope

from agents.middleware.route_memo import RouteMemo
from telemetry.tracing.addresses import leave_out_query
from telemetry.tracing.exceptions import leave_out_messages
from telemetry.tracing.server_span import SetOnceTracerProvider, accept_attributes

__all__ = ["trace_server"]

_SECRET_HEADERS = (
    *("auth", "baggage", "cookie", "credential", "csrf", "jwt", "key", "passw", "pwd"),
    *("referer", "secret", "session", "signature", "token", "tracestate"),
)
_W3C = frozenset({"traceparent", "tracestate", "baggage"})
"""The headers of OpenTelemetry's default propagators. Others may read more than they name as their fields."""
_READ = frozenset({b"host", b"user-agent", *(field.encode() for field in _W3C)})
_ALL = "agentos.headers"
"""Key of the scope with all headers of the request, until the request hook."""


def trace_server(app: FastAPI, tracer_provider: TracerProvider, meter_provider: MeterProvider) -> None:
    """Opens server spans for all requests that the middleware in front does not leave out.

    The spans are those of the instrumentor. Three of its costs are saved: it sets each attribute twice, matches the routes anew
    for each request, and decodes all headers for each one that it reads.
    """
    FastAPIInstrumentor.instrument_app(
        app,
        tracer_provider=SetOnceTracerProvider(tracer_provider),
        meter_provider=meter_provider,
        excluded_urls="",  # none, whatever OTEL_* says: the middleware in front leaves scrapes and probes out
        exclude_spans=["receive", "send"],
        server_request_hook=_on_server_span,
        # Where OTEL_* has headers captured, these are not among them.
        http_capture_headers_sanitize_fields=[
            *get_custom_headers(OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SANITIZE_FIELDS),
            *_SECRET_HEADERS,
        ],
    )
    build = app.build_middleware_stack

    def build_middleware_stack() -> ASGIApp:
        stack = build()
        traced = getattr(stack, "app", None)
        if not isinstance(traced, OpenTelemetryMiddleware):  # another version builds another stack
            return stack
        # The instrumentor has no option for the span details, its middleware has.
        details: Any = traced.default_span_details
        captures = traced.http_capture_headers_server_request is not None
        traced.default_span_details = _SpanDetails(RouteMemo(details), shortens=not captures)
        # Without the handler around it, which answers 500 if the middleware itself fails: the server does so too.
        return traced

    app.build_middleware_stack = build_middleware_stack  # type: ignore[method-assign]


class _SpanDetails:
    """Name and attributes of a request's span. Until the request hook the scope has the headers that are read for them alone.

    The middleware decodes all headers each time that it looks for one, which it does several times before the hook.

    Args:
        details: Returns name and attributes.
        shortens: Whether the scope may have fewer headers.
    """

    def __init__(self, details: Callable[[Scope], tuple[str, dict[str, Any]]], *, shortens: bool) -> None:
        self._details = details
        self._may_shorten = shortens
        self._shortens = False
        self._propagator: TextMapPropagator | None = None

    def __call__(self, scope: Scope) -> tuple[str, dict[str, Any]]:
        propagator = get_global_textmap()
        if propagator is not self._propagator:
            self._shortens = self._may_shorten and _W3C.issuperset(propagator.fields)
            self._propagator = propagator
        if self._shortens:
            scope[_ALL] = scope["headers"]
            scope["headers"] = [header for header in scope["headers"] if header[0].lower() in _READ]
        return self._details(scope)


def _on_server_span(span: Span, scope: Scope) -> None:
    headers = scope.pop(_ALL, None)
    if headers is not None:
        scope["headers"] = headers
    accept_attributes(span)
    leave_out_messages(span)
    leave_out_query(span)
