"""Server spans of the service, by OpenTelemetry's instrumentor of FastAPI."""

from __future__ import annotations

from typing import Any

from fastapi.applications import FastAPI
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import Span, TracerProvider
from opentelemetry.util.http import OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SANITIZE_FIELDS, get_custom_headers
from starlette.types import ASGIApp

from agents.middleware.route_memo import RouteMemo
from telemetry.tracing.addresses import leave_out_query
from telemetry.tracing.exceptions import leave_out_messages
from telemetry.tracing.server_span import SetOnceTracerProvider, accept_attributes

__all__ = ["trace_server"]

_SECRET_HEADERS = (
    *("auth", "baggage", "cookie", "credential", "csrf", "jwt", "key", "passw", "pwd"),
    *("referer", "secret", "session", "signature", "token", "tracestate"),
)


def trace_server(app: FastAPI, tracer_provider: TracerProvider, meter_provider: MeterProvider) -> None:
    """Opens server spans for all requests that the middleware in front does not leave out.

    The spans are those of the instrumentor. Two of its costs are saved: it sets each attribute twice, and matches the routes
    anew for each request, to name the span.
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
        _keep_span_details(stack)
        return stack

    app.build_middleware_stack = build_middleware_stack  # type: ignore[method-assign]


def _keep_span_details(stack: ASGIApp | None) -> None:
    """Lets the instrumentor's middleware remember the name of a route's spans; the instrumentor has no option for it."""
    while stack is not None:
        if isinstance(stack, OpenTelemetryMiddleware):
            details: Any = stack.default_span_details
            stack.default_span_details = RouteMemo(details)
            return
        stack = getattr(stack, "app", None)


def _on_server_span(span: Span, *_: object) -> None:
    accept_attributes(span)
    leave_out_messages(span)
    leave_out_query(span)
