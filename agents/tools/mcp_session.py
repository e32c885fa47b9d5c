"""One session with an MCP server: opened, asked for its tools, and called. Needs the extra ``mcp``."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any

from mcp import Client, MCPError
from mcp_types import (
    CONNECTION_CLOSED,
    METHOD_NOT_FOUND,
    REQUEST_TIMEOUT,
    CallToolRequest,
    CallToolRequestParams,
    CallToolResult,
    Implementation,
    ListToolsRequest,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
)
from pydantic import ValidationError

from agents import __version__
from agents.settings import McpServerSettings
from agents.tools.mcp_http import http_streams
from agents.tools.mcp_stdio import stdio_streams
from agents.tools.toolbox import ToolError
from telemetry._base.printable import is_id
from telemetry.agentos.mcp import measure_client
from telemetry.pipeline.telemetry import Telemetry

if TYPE_CHECKING:
    from mcp.client._transport import TransportStreams

__all__ = ["McpSession", "in_process_session", "open_session"]

_PAGES = 10
"""Pages of a server's list of tools that are read."""
_NAME_CHARACTERS = 128
"""Characters of a tool's name, which becomes a label."""
_RESULT_CHARACTERS = 100_000
"""Characters of a result that are kept."""
for _name in ("mcp", "httpx2"):  # their lines quote addresses and what servers send; ours say what matters
    logging.getLogger(_name).addHandler(logging.NullHandler())


class McpSession:
    """The operations on a session that has been opened. They may be called from any task.

    Args:
        client: An entered client of the SDK.
        server: The server's name in the settings.
    """

    def __init__(self, client: Client, server: str) -> None:
        self._client = client
        self._server = server

    async def tool(self, wanted: str) -> tuple[str, str] | None:
        """Returns name and argument of the tool to call: the ``wanted`` one, else the first that only reads and takes one text.

        ``None`` where the server has no such tool.
        """
        cursor = None
        for _ in range(_PAGES):
            request = ListToolsRequest(params=PaginatedRequestParams(cursor=cursor))
            try:
                page = await self._client.session.send_request(request, ListToolsResult)
            except MCPError as error:
                if error.code == METHOD_NOT_FOUND:  # a server without tools
                    return None
                raise
            for tool in page.tools:
                if (argument := _text_argument(tool)) is not None and _is_wanted(tool, wanted):
                    return tool.name, argument
            cursor = page.next_cursor
            if not cursor:
                break
        return None

    async def call(self, tool: str, arguments: dict[str, Any]) -> str:
        """Returns the text of a tool's result.

        Raises:
            ToolError: The tool or the server failed; ``connection_closed`` where the session is over.
        """
        # Not Client.call_tool(): it checks results by schemas of the server's own, whose patterns may take any time.
        request = CallToolRequest(params=CallToolRequestParams(name=tool, arguments=arguments))
        try:
            result = await self._client.session.send_request(request, CallToolResult)
        except MCPError as error:
            raise ToolError(f"MCP server {self._server} {_told(error.code)}", _reason(error.code)) from None
        except ValidationError:
            raise ToolError(f"the answer of MCP server {self._server} is no result of a tool", "protocol") from None
        text = "\n".join(part.text for part in result.content if isinstance(part, TextContent))[:_RESULT_CHARACTERS]
        if result.is_error:
            raise ToolError(f"tool {tool} of MCP server {self._server} reports an error", "tool_error")
        return text


def _told(code: int) -> str:
    told = {CONNECTION_CLOSED: "has closed the connection", REQUEST_TIMEOUT: "did not answer in time"}
    return told.get(code, f"answered with error {code}")


def _reason(code: int) -> str:
    return {CONNECTION_CLOSED: "connection_closed", REQUEST_TIMEOUT: "timeout"}.get(code, str(code))


def _text_argument(tool: Tool) -> str | None:
    """The name of the one argument that the tool needs, if it is a text."""
    schema = tool.input_schema
    required, properties = schema.get("required"), schema.get("properties")
    if not isinstance(required, list) or len(required) != 1 or not isinstance(properties, dict):
        return None
    only = properties.get(required[0])
    return str(required[0]) if isinstance(only, dict) and only.get("type") == "string" else None


def _is_wanted(tool: Tool, wanted: str) -> bool:
    if wanted:
        return tool.name == wanted
    if not is_id(tool.name, _NAME_CHARACTERS):
        return False
    return tool.annotations is not None and tool.annotations.read_only_hint is True


@asynccontextmanager
async def open_session(
    name: str, settings: McpServerSettings, telemetry: Telemetry | None, lost: Callable[[str], None]
) -> AsyncIterator[McpSession]:
    """Connects to a server of the settings.

    Args:
        name: Its name in the settings.
        settings: Where it is, and its limits.
        telemetry: Measures the session; ``None`` for no measurement.
        lost: Called when the connection has ended.

    Raises:
        OSError: The process cannot be started.
        MCPError: The server refuses the session.
        Exception: Whatever the connection raises.
    """
    streams = stdio_streams(settings, lost) if settings.command else http_streams(settings)
    client = _client(streams, settings.timeout)
    if telemetry is not None:
        client = measure_client(telemetry, client, url=settings.url.partition("?")[0], transport="" if settings.url else "pipe")
    async with client:
        yield McpSession(client, name)


@asynccontextmanager
async def in_process_session(name: str, server: Any, seconds: float, telemetry: Telemetry | None) -> AsyncIterator[McpSession]:
    """Connects to a server of this process, in memory; a call may take ``seconds``."""
    client = _client(server, seconds)
    if telemetry is not None:
        client = measure_client(telemetry, client, transport="pipe")
    async with client:
        yield McpSession(client, name)


def _client(server: AbstractAsyncContextManager[TransportStreams] | Any, seconds: float) -> Client:
    return Client(
        server, read_timeout_seconds=seconds, client_info=Implementation(name="agentos", version=__version__), cache=None
    )
