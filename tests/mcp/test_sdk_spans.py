"""The SDK's own spans: replaced where a client or server is measured, and left alone elsewhere."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from telemetry.agentos.mcp import measure_client, measure_server
from tests.helpers.mcp_server import build_server, described, telemetry_of
from tests.helpers.mcp_story import served
from tests.helpers.span_log import SpanLog


def test_a_measured_client_has_no_span_of_the_sdk_and_a_plain_one_keeps_it(tmp_path: Path) -> None:
    """Two clients of one process under one global provider: each call is one span, ours or the SDK's."""
    spans = _client(tmp_path, "measured", "plain", "traced")
    calls = [(span["name"], span["scope"]) for span in spans if "tools/call" in span["name"]]
    assert calls == [("tools/call add", "agentos.telemetry"), ("MCP send tools/call add", "mcp-python-sdk")]
    assert {span["scope"] for span in spans if "MCP send" not in span["name"]} == {"agentos.telemetry"}


def test_a_client_without_tracing_leaves_the_server_its_own_traces(tmp_path: Path) -> None:
    """Where no provider is set, no trace context is sent: an unsampled one would switch off the server's spans."""
    assert _client(tmp_path, "measured") == []
    spans = [json.loads(line) for line in (tmp_path / "spans").read_text().splitlines()]
    assert [span["parent"] for span in spans if span["name"] == "tools/call add"] == [""]


def test_a_server_that_is_not_measured_continues_the_trace(tmp_path: Path) -> None:
    """The span that the SDK opens at the server is the child of the measured client's."""
    log = SpanLog()

    async def call() -> None:
        with served("stdio", tmp_path, "plain") as peer:
            async with measure_client(telemetry_of(log), Client(peer.server, mode="legacy")) as client:
                await client.call_tool("add", {"a": 1, "b": 2})

    asyncio.run(call())
    (sent,) = (described(span) for span in log.named("tools/call add"))
    received = [json.loads(line) for line in (tmp_path / "spans").read_text().splitlines()]
    (span,) = (span for span in received if span["name"] == "tools/call add")
    assert (span["scope"], span["parent"], span["trace"]) == ("mcp-python-sdk", sent["span"], sent["trace"])


@pytest.mark.parametrize("mode", ["legacy", "auto"])
def test_a_servers_span_links_to_the_span_of_its_http_request(mode: str, tmp_path: Path) -> None:
    """The parent is the client's span, also where the HTTP request has a span, which is linked."""
    log = SpanLog()

    async def call() -> None:
        async with measure_client(telemetry_of(log), Client(peer.server, mode=mode)) as client:
            await client.call_tool("add", {"a": 1, "b": 2})

    with served("http", tmp_path, "http-spans") as peer:
        asyncio.run(call())
    (sent,) = (described(span) for span in log.named("tools/call add"))
    (received,) = (span for span in peer.spans() if span["name"] == "tools/call add")
    assert (received["parent"], received["links"]) == (sent["span"], 1)


@pytest.mark.parametrize("missing", ["mcp.server._otel", "mcp.shared._otel"])
async def test_an_sdk_without_its_private_modules_of_spans_is_measured(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """As a later version of the SDK may be: each call is one span at each end."""
    monkeypatch.setitem(sys.modules, missing, None)
    log = SpanLog()
    telemetry = telemetry_of(log)
    async with measure_client(telemetry, Client(measure_server(telemetry, build_server()), mode="legacy")) as client:
        await client.session.call_tool("add", {"a": 1, "b": 2})
    assert sorted(span.kind.name for span in log.named("tools/call add")) == ["CLIENT", "SERVER"]


def _client(folder: Path, *how: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "tests.helpers.mcp_client", folder, *how]
    found = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    spans: list[dict[str, Any]] = json.loads(found.stdout)
    return spans
