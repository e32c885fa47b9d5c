"""The MCP server inside the process: the reference of the metrics, as a tool. Needs the extra ``mcp``."""

from __future__ import annotations

from typing import Any

from mcp.server import Server, ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
    ToolAnnotations,
)

from agents import __version__
from agents.tools.metric_reference import MetricReference
from telemetry.agentos.mcp import measure_server
from telemetry.pipeline.telemetry import Telemetry

__all__ = ["reference_server"]

_TOOL = Tool(
    name="find_metrics",
    description="Finds the metrics of this service that fit a question, with their labels.",
    input_schema={"type": "object", "properties": {"question": {"type": "string"}}, "required": ["question"]},
    annotations=ToolAnnotations(read_only_hint=True),
)


def reference_server(reference: MetricReference, telemetry: Telemetry | None = None) -> Server[Any]:
    """Returns a server with one tool, ``find_metrics``, measured where there is a telemetry for it.

    It is the SDK's ``Server``: ``MCPServer`` gives the root logger of the process a handler when it is made.
    """

    async def list_tools(_: ServerRequestContext[Any], __: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(tools=[_TOOL])

    async def call_tool(_: ServerRequestContext[Any], params: CallToolRequestParams) -> CallToolResult:
        question = (params.arguments or {}).get("question")
        if params.name != _TOOL.name or not isinstance(question, str):
            raise MCPError(INVALID_PARAMS, "find_metrics needs a question, a text")
        return CallToolResult(content=[TextContent(type="text", text=reference.find(question))])

    server: Server[Any] = Server("agentos-reference", version=__version__, on_list_tools=list_tools, on_call_tool=call_tool)
    return server if telemetry is None else measure_server(telemetry, server, tools=[_TOOL.name])
