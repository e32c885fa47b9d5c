"""The cost of the telemetry for a route, and of the imports: ``python -m benchmarks.service``"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from opentelemetry.instrumentation.asgi import asgi_getter, collect_request_attributes, set_status_code
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.propagate import extract
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.trace import SpanKind, get_current_span
from starlette.routing import Match

from agents.middleware.server_span import trace_server
from benchmarks.measure import Row, compare, in_turns, one_core, show
from telemetry import AgentOSTelemetry

CALLS = 100
ROUNDS = 25
GATEWAY_LABELS = {"agent": "navi", "operation": "query", "status": "success"}
SCOPE = {
    "type": "http",
    "asgi": {"version": "3.0"},
    "http_version": "1.1",
    "method": "GET",
    "scheme": "http",
    "path": "/run",
    "raw_path": b"/run",
    "query_string": b"",
    "root_path": "",
    # As httpx sends them to the service.
    "headers": [
        (b"host", b"agentos:8000"),
        (b"accept", b"*/*"),
        (b"accept-encoding", b"gzip, deflate"),
        (b"connection", b"keep-alive"),
        (b"user-agent", b"python-httpx/0.28.1"),
        (b"x-workspace-id", b"w1"),
        (b"content-length", b"17"),
        (b"content-type", b"application/json"),
    ],
    "client": ("127.0.0.1", 1),
    "server": ("127.0.0.1", 80),
}


async def stub_agent() -> int:
    """Stands in for the agent; the benchmark measures the telemetry around it."""
    await asyncio.sleep(0)
    return 120


def nothing(_: AgentOSTelemetry) -> Callable[[], Awaitable[int]]:
    """Returns a route's work without telemetry."""

    async def run() -> int:
        return await stub_agent()

    return run


def decided(t: AgentOSTelemetry) -> Callable[[], Awaitable[int]]:
    """Returns the work with a decision of the limiter."""

    async def run() -> int:
        t.recorder.rate_limit_decision("/run", "allowed", "w1")
        return await stub_agent()

    return run


def spanned(t: AgentOSTelemetry) -> Callable[[], Awaitable[int]]:
    """Returns the work with a decision of the limiter, and a bare span for the gateway call."""

    async def run() -> int:
        t.recorder.rate_limit_decision("/run", "allowed", "w1")
        with t.tracer.start_as_current_span("a2a.request", kind=SpanKind.CLIENT, attributes=GATEWAY_LABELS):
            return await stub_agent()

    return run


def measured(t: AgentOSTelemetry) -> Callable[[], Awaitable[int]]:
    """Returns the work with all our metrics: a decision of the limiter and a gateway call."""

    async def run() -> int:
        t.recorder.rate_limit_decision("/run", "allowed", "w1")
        async with t.recorder.a2a_call(agent="navi", operation="query") as call:
            size = await stub_agent()
            call.add_bytes(size)
        return size

    return run


def bare(t: AgentOSTelemetry) -> Callable[[], Awaitable[int]]:
    """Returns the work with as many spans and attributes, and no metrics."""

    async def run() -> int:
        get_current_span().set_attributes({"endpoint": "/run", "workspace_id": "w1", "result": "allowed"})
        with t.tracer.start_as_current_span("a2a.request", kind=SpanKind.CLIENT, attributes=GATEWAY_LABELS):
            return await stub_agent()

    return run


def untraced(app: FastAPI, t: AgentOSTelemetry) -> None:
    """Leaves the app without server spans."""


def by_contrib(app: FastAPI, t: AgentOSTelemetry) -> None:
    """Opens server spans as a user of the instrumentor does who leaves out those of receive and send."""
    FastAPIInstrumentor.instrument_app(
        app, tracer_provider=t.tracer_provider, meter_provider=NoOpMeterProvider(), exclude_spans=["receive", "send"]
    )


def by_contrib_as_installed(app: FastAPI, t: AgentOSTelemetry) -> None:
    """Opens server spans as the instrumentor does by default: three more spans a request."""
    FastAPIInstrumentor.instrument_app(app, tracer_provider=t.tracer_provider, meter_provider=NoOpMeterProvider())


def by_service(app: FastAPI, t: AgentOSTelemetry) -> None:
    """Opens server spans as the service does."""
    trace_server(app, t.tracer_provider, NoOpMeterProvider())


def by_service_with_metrics(app: FastAPI, t: AgentOSTelemetry) -> None:
    """Opens server spans as the service does with ``AGENTOS_HTTP_METRICS``."""
    trace_server(app, t.tracer_provider, t.meter_provider)


def calls_of(
    make: Callable[[AgentOSTelemetry], Callable[[], Awaitable[int]]],
    instrument: Callable[[FastAPI, AgentOSTelemetry], None],
    loop: asyncio.AbstractEventLoop,
) -> Callable[[], None]:
    """Returns a function that makes many calls of an app with the route."""
    t = AgentOSTelemetry(span_processors=[SpanProcessor()])
    app = FastAPI()
    app.get("/run")(make(t))
    instrument(app, t)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(_: Any) -> None: ...

    async def many() -> None:
        for _ in range(CALLS):
            await app(dict(SCOPE), receive, send)

    return lambda: loop.run_until_complete(many())


def route() -> list[Row]:
    """Compares the route with all our telemetry to the route with as many bare spans, and our server span to contrib's."""
    loop = asyncio.new_event_loop()
    ours, spans = calls_of(measured, by_service, loop), calls_of(bare, by_contrib, loop)
    alone = calls_of(nothing, untraced, loop)
    rows = [
        compare("route: decision + gateway call", ours, "contrib + as many bare spans", spans, 0.95, number=1, rounds=ROUNDS),
        compare("route: decision + gateway call", ours, "the route alone", alone, None, number=1, rounds=ROUNDS),
    ]
    seconds = in_turns(
        {
            "alone": alone,
            "service": calls_of(nothing, by_service, loop),
            "contrib": calls_of(nothing, by_contrib, loop),
            "installed": calls_of(nothing, by_contrib_as_installed, loop),
        },
        rounds=ROUNDS,
    )
    price = {name: [one - base for one, base in zip(seconds[name], seconds["alone"], strict=True)] for name in seconds}
    for peer, what, goal in (
        ("contrib", "contrib without receive and send", 0.67),
        ("installed", "contrib as installed", None),
    ):
        ratios = [a / b for a, b in zip(price["service"], price[peer], strict=True)]
        detail = f"{median(price['service']) / CALLS * 1e6:.0f} / {median(price[peer]) / CALLS * 1e6:.0f} us"
        rows.append(Row.of_rounds("the server span alone", what, ratios, goal, detail))
    loop.close()
    return rows


def shares() -> list[Row]:
    """Returns which share of a request each part has. Each stage adds one part to the stage before."""
    loop = asyncio.new_event_loop()
    stages = {
        "the route alone: FastAPI's routing, call and answer": calls_of(nothing, untraced, loop),
        "server span": calls_of(nothing, by_service, loop),
        "limiter decision: counter, attributes": calls_of(decided, by_service, loop),
        "gateway span": calls_of(spanned, by_service, loop),
        "metrics of the gateway call": calls_of(measured, by_service, loop),
        "metrics of the server (AGENTOS_HTTP_METRICS)": calls_of(measured, by_service_with_metrics, loop),
    }
    seconds = in_turns(stages, rounds=ROUNDS)
    loop.close()
    *_, whole = seconds.values()
    before, rows = [0.0] * len(whole), []
    for what, now in seconds.items():
        parts = [b - a for a, b in zip(before, now, strict=True)]
        ratios = [part / total for part, total in zip(parts, whole, strict=True)]
        rows.append(Row.of_rounds(what, "the request with all of it", ratios, None, f"{median(parts) / CALLS * 1e6:.0f} us"))
        before = now
    return rows


def contrib_parts() -> list[Row]:
    """Returns what parts of contrib's server span take, called by themselves, as shares of the span."""
    loop = asyncio.new_event_loop()
    t = AgentOSTelemetry(span_processors=[SpanProcessor()])
    app = FastAPI()
    app.get("/run")(nothing(t))
    scope = {**SCOPE, "app": app}
    given = {**collect_request_attributes(scope), "http.route": "/run"}  # type: ignore[no-untyped-call]  # contrib has no types here
    span = t.tracer.start_span("GET /run", kind=SpanKind.SERVER, attributes=given)

    def match() -> None:
        any(one.matches(scope)[0] is Match.FULL for one in iter_route_contexts(app.routes))

    def set_again() -> None:
        for key, value in given.items():
            span.set_attribute(key, value)

    parts: dict[str, Callable[[], object]] = {
        "attributes from the request: URL, headers": lambda: collect_request_attributes(scope),  # type: ignore[no-untyped-call]  # contrib has no types here
        "matching the routes a second time": match,
        "parent from the headers": lambda: extract(scope, getter=asgi_getter),
        "opening and ending the span": lambda: t.tracer.start_span("GET /run", attributes=given).end(),
        "each attribute a second time": set_again,
        "status": lambda: set_status_code(span, 200, {}),  # type: ignore[no-untyped-call]  # contrib has no types here
    }
    stages: dict[str, Callable[[], object]] = {name: partial(_repeat, part) for name, part in parts.items()}
    stages |= {"alone": calls_of(nothing, untraced, loop), "contrib": calls_of(nothing, by_contrib, loop)}
    seconds = in_turns(stages, rounds=ROUNDS)
    loop.close()
    whole = [one - base for one, base in zip(seconds["contrib"], seconds["alone"], strict=True)]
    rows = []
    for name in parts:
        ratios = [part / total for part, total in zip(seconds[name], whole, strict=True)]
        rows.append(Row.of_rounds(name, "contrib's server span", ratios, None, f"{median(seconds[name]) / CALLS * 1e6:.1f} us"))
    return rows


def _repeat(function: Callable[[], object]) -> None:
    for _ in range(CALLS):
        function()


SDK = "import opentelemetry.sdk.metrics, opentelemetry.sdk.trace, prometheus_client"
"""What any program imports that has OpenTelemetry's metrics and spans, and a /metrics of Prometheus' library."""
STOCK = """
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import generate_latest
meter = MeterProvider([PrometheusMetricReader()]).get_meter("shop")
meter.create_counter("orders").add(1, {"shop": "north"})
bounds = [0.1, 1, 10]
meter.create_histogram("wait", "s", explicit_bucket_boundaries_advisory=bounds).record(0.2, {"shop": "north"})
generate_latest()
"""
"""A first scrape of the SDK's own exporter."""
OURS = """
from telemetry import Catalogue, Telemetry, counter, histogram, open_label
shop = open_label("shop", "shop", limit=3)
orders = counter("orders", "{order}", "Orders", shop)
wait = histogram("wait", "s", "Time until an order is served", shop, bounds=[0.1, 1, 10])
telemetry = Telemetry(Catalogue([orders, wait]))
telemetry[orders].labels(shop="north").inc()
telemetry[wait].labels(shop="north").observe(0.2)
telemetry.reader.expose()
"""
"""The same first scrape, with tracing at hand."""


def imports(what: str, code: str, peer: str, peers_code: str, goal: float | None) -> Row:
    """Compares the processor time of two programs from their first line on, in new processes that take turns.

    All of them read compiled modules: the first run of each, which writes them, does not count.
    """
    ours, theirs = [], []
    with TemporaryDirectory() as compiled:
        environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environ["PYTHONPYCACHEPREFIX"] = compiled
        for _ in range(12):
            ours.append(_program_seconds(code, environ))
            theirs.append(_program_seconds(peers_code, environ))
    ours, theirs = ours[1:], theirs[1:]
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return Row.of_rounds(what, peer, ratios, goal, f"{median(ours):.3f} / {median(theirs):.3f} s")


def _program_seconds(code: str, environ: Mapping[str, str]) -> float:
    timed = f"from time import process_time as c; s = c()\n{code}\nprint(c() - s)"
    return float(subprocess.run([sys.executable, "-c", timed], capture_output=True, text=True, check=True, env=environ).stdout)


def import_rows() -> list[Row]:
    """Compares imports, and a program up to its first scrape, to the SDK's own imports and to the SDK's own exporter."""
    metrics = "import opentelemetry.sdk.metrics, prometheus_client"
    first = "Telemetry, 1 histogram, 1 counter, first /metrics"
    return [
        imports("import telemetry", "import telemetry", "imports of sdk.metrics, prometheus_client", metrics, 1.5),
        imports(
            "import agents.observability",
            "import agents.observability",
            "imports of sdk.metrics, prometheus_client",
            metrics,
            1.5,
        ),
        imports(first, OURS, "imports of sdk.metrics, sdk.trace, prometheus_client", SDK, 1.3),
        imports(first, OURS, "the same with PrometheusMetricReader", STOCK, None),
    ]


def main() -> None:
    """Prints the tables."""
    with one_core():
        show(f"The service ({CALLS} calls a time)", route())
        show("Shares of a request", shares())
        show("Parts of contrib's server span, each by itself", contrib_parts())
        show("Imports", import_rows())


if __name__ == "__main__":
    main()
