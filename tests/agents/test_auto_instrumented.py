"""The service in a process whose FastAPI and HTTPX are instrumented before it is built."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from stack.servers.process import Server, free_port
from tests.helpers.otlp_receiver import receiving

ROOT = Path(__file__).parents[2]
INSTRUMENT = Path(sys.executable).with_name("opentelemetry-instrument")
CAPTURED = "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST"
NOT_EXPORTED = {f"OTEL_{signal}_EXPORTER": "none" for signal in ("TRACES", "METRICS", "LOGS")}
HEADERS = {"Authorization": "Bearer sk-very-secret", "X-Api-Key": "k-secret", "X-Workspace-Id": "acme"}

BEFORE = """
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
trace.set_tracer_provider(TracerProvider())
FastAPIInstrumentor().instrument()
HTTPXClientInstrumentor().instrument()
"""
PROGRAM = """
import json
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
{before}
from starlette.testclient import TestClient
from agents.main import create_app
from agents.settings import Settings
from telemetry import AgentOSTelemetry

spans = SimpleSpanProcessor(InMemorySpanExporter())
host = trace.get_tracer_provider()
if isinstance(host, TracerProvider):
    host.add_span_processor(spans)
with TestClient(create_app(Settings(), AgentOSTelemetry(span_processors=[spans]))) as client:
    headers = {headers}
    for path in ("/health/live", "/health/ready", "/metrics"):
        client.get(path, headers=headers)
    client.post("/agents/navi/runs", json={{"input": "hello"}}, headers=headers)
names = [[one.kind.name, one.name] for one in spans.span_exporter.get_finished_spans()]
shown = [dict(one.attributes) for one in spans.span_exporter.get_finished_spans() if one.name.startswith("POST /agents")]
print(json.dumps([names, shown]))
"""
"""Asks for each probe, for a scrape and for a run, and prints kind and name of each span and the run's attributes."""


def seen(*command: str, before: str = "") -> tuple[Counter[str], dict[str, object]]:
    """Returns the number of spans by kind and name, and the header attributes of the one server span of the run."""
    program = PROGRAM.format(before=before, headers=HEADERS)
    environ = {**os.environ, **NOT_EXPORTED, CAPTURED: ",".join(HEADERS), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*command, sys.executable, "-c", program], env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    names, (attributes,) = json.loads(done.stdout)
    return Counter(" ".join(one) for one in names), {key: value for key, value in attributes.items() if ".header." in key}


@pytest.mark.parametrize(
    ("command", "before"),
    [((), ""), ((), BEFORE), ((str(INSTRUMENT),), "")],
    ids=["alone", "instrumentors", "opentelemetry-instrument"],
)
def test_each_request_has_one_server_span_without_secrets(command: tuple[str, ...], before: str) -> None:
    """A run has one server span and one client span, probes and scrapes have none, and secret headers are redacted."""
    spans, headers = seen(*command, before=before)
    assert spans == {
        "SERVER POST /agents/{agent}/runs": 1,
        "CLIENT a2a.request": 1,
        "CLIENT POST": 1,
        "SERVER A2A agent": 1,
        "CLIENT cache.operation": 2,
        "INTERNAL ccr.route": 1,
        "CLIENT ccr.request": 1,
    }
    assert headers == {
        "http.request.header.authorization": ["[REDACTED]"],
        "http.request.header.x_api_key": ["[REDACTED]"],
        "http.request.header.x_workspace_id": ["acme"],
    }


def test_the_service_runs_under_opentelemetry_instrument(tmp_path: Path) -> None:
    """`opentelemetry-instrument uvicorn agents.main:app` exports one server span for a run and none for probes and scrapes."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [INSTRUMENT, sys.executable, "-m", "uvicorn", "--port", str(port), "agents.main:app"]
    with receiving() as receiver:
        environ = {
            **NOT_EXPORTED,
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
            CAPTURED: ",".join(HEADERS),
            "PYTHONPATH": str(ROOT),
        }
        with Server("service", command, folder=tmp_path, ready=f"{url}/health/ready", environment=environ):
            httpx.get(f"{url}/metrics", headers=HEADERS).raise_for_status()
            httpx.post(f"{url}/agents/navi/runs", json={"input": "hello"}, headers=HEADERS, timeout=30).raise_for_status()
        exported = [receiver.traces.get() for _ in range(receiver.traces.qsize())]  # the server has ended: all have come
    spans = [
        span for one in exported for resource in one.resource_spans for scope in resource.scope_spans for span in scope.spans
    ]
    served = [span.name for span in spans if span.kind == Span.SPAN_KIND_SERVER]
    assert sorted(served) == ["A2A agent", "POST /agents/{agent}/runs"]
    assert [span.name for span in spans if span.kind == Span.SPAN_KIND_CLIENT].count("POST") == 1
    assert "secret" not in str(exported)
