"""The cost of the telemetry for a route, and of the imports: ``python -m benchmarks.service``"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from fastapi import FastAPI
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.trace import SpanKind, get_current_span

from benchmarks.measure import Row, compare, one_core, show
from telemetry import AgentOSTelemetry

CALLS = 300
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
    "headers": [(b"host", b"test")],
    "client": ("127.0.0.1", 1),
    "server": ("127.0.0.1", 80),
}


async def stub_agent() -> int:
    """Stands in for the agent; the benchmark measures the telemetry around it."""
    await asyncio.sleep(0)
    return 120


def measured(t: AgentOSTelemetry) -> Callable[[], Awaitable[int]]:
    """Returns a route's work with our metrics: a decision of the limiter and a gateway call."""

    async def run() -> int:
        t.recorder.rate_limit_decision("/run", "allowed", "w1")
        async with t.recorder.a2a_call(agent="navi", operation="query") as call:
            size = await stub_agent()
            call.add_bytes(size)
        return size

    return run


def bare(t: AgentOSTelemetry) -> Callable[[], Awaitable[int]]:
    """Returns the same work with spans and attributes only."""
    labels = {"agent": "navi", "operation": "query", "status": "success"}

    async def run() -> int:
        get_current_span().set_attributes({"endpoint": "/run", "workspace_id": "w1", "result": "allowed"})
        with t.tracer.start_as_current_span("a2a.request", kind=SpanKind.CLIENT, attributes=labels):
            return await stub_agent()

    return run


def nothing(_: AgentOSTelemetry) -> Callable[[], Awaitable[int]]:
    """Returns the same work without telemetry."""
    return stub_agent


def calls_of(
    make: Callable[[AgentOSTelemetry], Callable[[], Awaitable[int]]], loop: asyncio.AbstractEventLoop, *, contrib: bool = True
) -> Callable[[], None]:
    """Returns a function that makes many calls of an app with the route, instrumented by contrib or not."""
    t = AgentOSTelemetry(span_processors=[SpanProcessor()])
    app = FastAPI()
    app.get("/run")(make(t))
    if contrib:
        FastAPIInstrumentor.instrument_app(
            app, tracer_provider=t.tracer_provider, meter_provider=NoOpMeterProvider(), exclude_spans=["receive", "send"]
        )

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(_: Any) -> None: ...

    async def many() -> None:
        for _ in range(CALLS):
            await app(dict(SCOPE), receive, send)

    return lambda: loop.run_until_complete(many())


def route() -> list[Row]:
    """Compares the route with all our telemetry to the route with as many bare spans, and shows the steps between."""
    loop = asyncio.new_event_loop()
    plain, server = calls_of(nothing, loop, contrib=False), calls_of(nothing, loop)
    spans, ours = calls_of(bare, loop), calls_of(measured, loop)
    rows = [
        compare("route: decision + gateway call", ours, "contrib + as many bare spans", spans, 1.1, number=1, rounds=15),
        compare("of it: the server span", server, "the route alone", plain, None, number=1, rounds=15),
        compare("of it: the gateway span", spans, "the route with its server span", server, None, number=1, rounds=15),
    ]
    loop.close()
    return rows


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
        show("Imports", import_rows())


if __name__ == "__main__":
    main()
