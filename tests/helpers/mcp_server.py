"""An MCP server as a process of its own, over stdio or HTTP, that leaves its metrics and spans in a folder when it ends.

``python -m tests.helpers.mcp_server FOLDER stdio`` or ``... FOLDER PORT``; with ``plain`` after it, the server is not measured,
with ``http-spans`` a span is open around each HTTP request, and with ``old`` the server does not know ``server/discover``.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from mcp.shared.exceptions import MCPError
from mcp_types import METHOD_NOT_FOUND, RequestParams
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from pydantic import BaseModel

from telemetry import Catalogue, Telemetry
from telemetry.agentos import catalogue_agents
from telemetry.agentos.mcp import measure_server

__all__ = ["build_server", "described", "telemetry_of"]


class Answer(BaseModel):
    """What the user is asked for."""

    city: str


def build_server() -> MCPServer:
    """Returns a server with a tool for each way to end."""
    server = MCPServer("helper", log_level="CRITICAL")

    @server.tool()
    def add(a: int, b: int) -> int:
        """Returns the sum."""
        return a + b

    @server.tool()
    def fail() -> str:
        """Fails: the result says ``isError``."""
        raise ValueError("no luck")

    @server.tool()
    def refuse(code: int) -> str:
        """Is answered by a JSON-RPC error."""
        raise MCPError(code, f"refused with {code}")

    @server.tool()
    async def wait(ctx: Context) -> str:
        """Never ends by itself; says that it has begun."""
        await ctx.report_progress(0)
        await asyncio.Event().wait()
        return "never"

    @server.tool()
    async def leave() -> str:
        """Ends the process."""
        os._exit(3)

    @server.tool()
    async def ask(ctx: Context) -> str:
        """Asks the client."""
        answer = await ctx.session.elicit_form(
            "Where?", Answer.model_json_schema(), related_request_id=ctx.request_context.request_id
        )
        return str(answer.action)

    @server.tool()
    async def note(ctx: Context) -> str:
        """Sends two notifications of progress."""
        await ctx.report_progress(1, 2)
        await ctx.report_progress(2, 2)
        return "noted"

    @server.prompt()
    def greet(name: str) -> str:
        """Returns a greeting."""
        return f"Hello {name}"

    @server.resource("text://one")
    def one() -> str:
        """Returns a text."""
        return "1"

    return server


class _Spans(SpanProcessor):
    """Writes each ended span to a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def on_end(self, span: ReadableSpan) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps(described(span)) + "\n")


def described(span: ReadableSpan) -> dict[str, Any]:
    """Returns a span as plain data."""
    context = span.get_span_context()
    assert context is not None
    return {
        "name": span.name,
        "kind": span.kind.name,
        "scope": span.instrumentation_scope.name if span.instrumentation_scope else "",
        "trace": f"{context.trace_id:032x}",
        "span": f"{context.span_id:016x}",
        "parent": f"{span.parent.span_id:016x}" if span.parent else "",
        "links": len(span.links),
        "status": span.status.status_code.name,
        "description": span.status.description or "",
        "attributes": dict(span.attributes or {}),
    }


def telemetry_of(*processors: SpanProcessor) -> Telemetry:
    """Returns a telemetry with the rows of MCP."""
    return Telemetry(Catalogue(catalogue_agents.ROWS), span_processors=processors, workers=False, strict=True)


async def _unknown(ctx: object, params: object) -> None:
    raise MCPError(METHOD_NOT_FOUND, "Method not found")


def _traced(app: Any, telemetry: Telemetry) -> Any:
    """Opens a span around each request, as an instrumentation of HTTP does."""

    async def traced(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        with telemetry.tracer.start_as_current_span(scope["method"]):
            await app(scope, receive, send)

    return traced


def main(folder: Path, where: str, *how: str) -> None:
    """Serves until the client leaves, or until SIGINT."""
    telemetry = telemetry_of(_Spans(folder / "spans"))
    telemetry.offer_globally()  # the SDK's spans would be in the file as well
    server = build_server()
    if "old" in how:
        server._lowlevel_server.add_request_handler("server/discover", RequestParams, _unknown)
    if "plain" not in how:
        measure_server(telemetry, server)
    try:
        if where == "stdio":
            server.run()
        else:
            import uvicorn

            app: Any = server.streamable_http_app()
            app = _traced(app, telemetry) if "http-spans" in how else app
            config = uvicorn.Config(app, port=int(where), log_level="warning")
            uvicorn.Server(config).run()
    finally:
        (folder / "metrics").write_bytes(telemetry.reader.expose().body)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
