"""The cost of the telemetry for a route, and of the imports: ``python -m benchmarks.service``"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from statistics import median
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


def imports(statement: str, goal: float | None) -> Row:
    """Compares the seconds of an import with those of the packages below it, in new processes that take turns."""
    peer = "import opentelemetry.sdk.metrics, prometheus_client"
    ours, theirs = [], []
    for _ in range(9):
        ours.append(_import_seconds(statement))
        theirs.append(_import_seconds(peer))
    ratio = median(a / b for a, b in zip(ours, theirs, strict=True))
    return Row(statement, peer.removeprefix("import "), ratio, goal, f"{median(ours):.3f} / {median(theirs):.3f} s")


def _import_seconds(statement: str) -> float:
    code = f"from time import process_time as c; s = c(); {statement}; print(c() - s)"
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def main() -> None:
    """Prints the tables."""
    with one_core():
        show(f"The service ({CALLS} calls a time)", route())
        # The package's names load on first use: the last row is what a program pays that uses them, tracing included.
        show(
            "Imports",
            [
                imports("import telemetry", 1.5),
                imports("import agents.observability", 1.5),
                imports("from telemetry import RequestTimer, Telemetry", None),
            ],
        )


if __name__ == "__main__":
    main()
