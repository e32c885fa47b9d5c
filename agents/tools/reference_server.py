"""The MCP server inside the process: the reference of the metrics, as a tool. Needs the extra ``mcp``."""

from __future__ import annotations

from mcp.server.mcpserver import MCPServer
from mcp_types import ToolAnnotations

from agents import __version__
from agents.tools.metric_reference import MetricReference
from telemetry.agentos.mcp import measure_server
from telemetry.pipeline.telemetry import Telemetry

__all__ = ["reference_server"]


def reference_server(reference: MetricReference, telemetry: Telemetry | None = None) -> MCPServer:
    """Returns a server with one tool, ``find_metrics``, measured where there is a telemetry for it."""
    server = MCPServer("agentos-reference", version=__version__)

    @server.tool(annotations=ToolAnnotations(read_only_hint=True), structured_output=False)
    def find_metrics(question: str) -> str:
        """Finds the metrics of this service that fit a question, with their labels."""
        return reference.find(question)

    return server if telemetry is None else measure_server(telemetry, server)
