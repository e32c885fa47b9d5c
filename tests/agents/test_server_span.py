"""The service's server spans against those of the instrumentor alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI, Request, Response
from fastapi.testclient import TestClient
from opentelemetry import propagate
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NonRecordingSpan, SpanContext, StatusCode, TraceFlags, set_span_in_context
from starlette.background import BackgroundTask

from agents.middleware.server_span import trace_server

REQUESTS = [
    ("GET", "/items/7"),
    ("GET", "/items/8"),
    ("GET", "/items/7"),
    ("POST", "/items/7"),  # 405
    ("DELETE", "/items/7"),
    ("EVIL", "/items/7"),
    ("GET", "/nothing"),
    ("GET", "/static/a"),
    ("GET", "/busy"),
    ("GET", "/later"),
    ("GET", "/items/" + "7" * 300),
]


def application() -> FastAPI:
    app = FastAPI()

    @app.get("/items/{item}")
    @app.delete("/items/{item}")
    async def items(item: str) -> str:
        return item[:3]

    @app.get("/busy")
    async def busy() -> Response:
        return Response(status_code=503)

    @app.get("/later")
    async def later() -> Response:
        return Response(background=BackgroundTask(application))

    return app


def seen(instrument: Any, requests: list[tuple[str, str]]) -> tuple[list[Any], set[Any]]:
    """Returns what spans and HTTP metrics say after the requests, but for ids and times."""
    spans, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracing = TracerProvider(shutdown_on_exit=False)
    tracing.add_span_processor(SimpleSpanProcessor(spans))
    metrics = MeterProvider([reader], shutdown_on_exit=False)
    # Another test's app may have been the first: then its tracer opens the spans of all background tasks.
    first = application()
    FastAPIInstrumentor.instrument_app(first)
    FastAPIInstrumentor.uninstrument_app(first)
    app = application()
    instrument(app, tracing, metrics)
    with TestClient(app, client=("10.0.0.1", 5), raise_server_exceptions=False) as client:
        for method, path in requests:
            client.request(method, path)
    FastAPIInstrumentor.uninstrument_app(app)
    shown = [
        (
            one.name,
            one.kind,
            list((one.attributes or {}).items()),
            one.status.status_code,
            one.events,
            one.instrumentation_scope,
        )
        for one in spans.get_finished_spans()
    ]
    data: Any = reader.get_metrics_data()
    points = {
        (scope.scope, metric.name, tuple(sorted(point.attributes.items())), getattr(point, "count", None))
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
    }
    return shown, points


def by_contrib(app: FastAPI, tracing: TracerProvider, metrics: MeterProvider) -> None:
    FastAPIInstrumentor.instrument_app(
        app, tracer_provider=tracing, meter_provider=metrics, exclude_spans=["receive", "send"], excluded_urls=""
    )


def test_spans_and_metrics_are_those_of_the_instrumentor() -> None:
    """Names, kinds, attributes with their order, status, scope and HTTP metrics are the instrumentor's own."""
    spans, points = seen(trace_server, REQUESTS)
    expected, expected_points = seen(by_contrib, REQUESTS)
    assert spans == expected
    assert [name for name, *_ in spans][:3] == ["GET /items/{item}"] * 3
    assert points == expected_points
    assert points


@pytest.fixture(autouse=True)
def propagator() -> Iterator[None]:
    """Leaves the process its propagator."""
    before = propagate.get_global_textmap()
    yield
    propagate.set_global_textmap(before)


class OneHeader(TextMapPropagator):
    """Reads a trace id from a header that it does not name."""

    @property
    def fields(self) -> set[str]:
        return {"x-named"}

    def extract(self, carrier: Any, context: Any = None, getter: Any = None) -> Any:
        (read,) = getter.get(carrier, "x-other") or ["0"]
        found = SpanContext(int(read), 7, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
        return set_span_in_context(NonRecordingSpan(found), context)

    def inject(self, carrier: Any, context: Any = None, setter: Any = None) -> None: ...


HEADERS = {"traceparent": f"00-{5:032x}-{7:016x}-01", "x-other": "9", "x-mine": "1"}


@pytest.mark.parametrize(("propagator_set", "trace_id"), [(None, 5), (OneHeader(), 9)], ids=["W3C", "another"])
def test_the_application_has_all_headers_and_the_span_its_parent(
    propagator_set: TextMapPropagator | None, trace_id: int, propagator: None
) -> None:
    """The span is a child of the one that the headers name, and the application sees each header in its place."""
    if propagator_set is not None:
        propagate.set_global_textmap(propagator_set)
    app, spans = FastAPI(), InMemorySpanExporter()
    tracing = TracerProvider(shutdown_on_exit=False)
    tracing.add_span_processor(SimpleSpanProcessor(spans))
    trace_server(app, tracing, NoOpMeterProvider())

    @app.get("/")
    async def names(request: Request) -> list[str]:
        return list(request.headers)

    with TestClient(app) as client:
        sent = client.build_request("GET", "/", headers=HEADERS)
        assert client.send(sent).json() == list(sent.headers)
    (span,) = spans.get_finished_spans()
    assert span.context is not None
    assert span.context.trace_id == trace_id


async def test_header_names_with_capitals_are_read() -> None:
    """A server that leaves header names as they were sent gets the span that the instrumentor opens for them."""

    async def attributes_by(instrument: Any) -> Any:
        app, spans = application(), InMemorySpanExporter()
        tracing = TracerProvider(shutdown_on_exit=False)
        tracing.add_span_processor(SimpleSpanProcessor(spans))
        instrument(app, tracing, NoOpMeterProvider())
        names = (b"Host", b"User-Agent", b"Traceparent")
        values = (b"h", b"browser", HEADERS["traceparent"].encode())
        about = {"type": "http", "method": "GET", "path": "/busy", "query_string": b"", "scheme": "http"}

        async def ignore(*_: Any) -> Any: ...

        await app({**about, "headers": list(zip(names, values, strict=True))}, ignore, ignore)
        FastAPIInstrumentor.uninstrument_app(app)
        (span,) = spans.get_finished_spans()
        return span.attributes, span.parent and span.parent.trace_id

    assert await attributes_by(trace_server) == await attributes_by(by_contrib)


def test_a_query_is_left_out() -> None:
    """Beside the instrumentor's attributes a server span differs in the query, which it does not carry."""
    ((_, _, attributes, *_),), _ = seen(trace_server, [("GET", "/items/7?token=secret")])
    assert dict(attributes)["http.url"] == "http://testserver/items/7?****"


def test_the_instrumentor_can_be_taken_off_again() -> None:
    """``uninstrument_app`` works as after ``instrument_app``, and a second ``instrument_app`` adds no second span."""
    app, spans = application(), InMemorySpanExporter()
    tracing = TracerProvider(shutdown_on_exit=False)
    tracing.add_span_processor(SimpleSpanProcessor(spans))
    trace_server(app, tracing, NoOpMeterProvider())
    FastAPIInstrumentor.instrument_app(app, tracer_provider=tracing)
    with TestClient(app) as client:
        client.get("/items/7")
        assert [one.name for one in spans.get_finished_spans()] == ["GET /items/{item}"]
        FastAPIInstrumentor.uninstrument_app(app)
        client.get("/items/7")
    assert [one.name for one in spans.get_finished_spans()] == ["GET /items/{item}"]


def test_a_failure_of_the_application_is_a_500_with_one_span() -> None:
    """The client gets 500, the server the exception, and the span names it by class, as the instrumentor's does."""
    app, spans = FastAPI(), InMemorySpanExporter()
    tracing = TracerProvider(shutdown_on_exit=False)
    tracing.add_span_processor(SimpleSpanProcessor(spans))
    trace_server(app, tracing, NoOpMeterProvider())

    @app.get("/")
    async def failing() -> None:
        raise LookupError("secret")

    with TestClient(app, raise_server_exceptions=False) as client:
        assert client.get("/").status_code == 500
    with TestClient(app) as client, pytest.raises(LookupError):
        client.get("/")
    for span in spans.get_finished_spans():
        assert (span.name, span.status.status_code, span.status.description) == ("GET /", StatusCode.ERROR, None)
        assert [(event.attributes or {})["exception.type"] for event in span.events] == ["builtins.LookupError"]
    assert len(spans.get_finished_spans()) == 2
