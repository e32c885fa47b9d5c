"""The tools of navi: a calculator, and the tools of the MCP servers of the settings or of the one inside the process."""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from agents.settings import McpServerSettings, Settings, SettingsError
from agents.tools.calculator import Calculator
from agents.tools.mcp_servers import McpServer, McpServers, Opener, Session, has_mcp
from agents.tools.metric_reference import MetricReference
from agents.tools.toolbox import Tool, Toolbox
from telemetry.agentos.mcp import ServersUp
from telemetry.agentos.recorder import Recorder
from telemetry.pipeline.telemetry import Telemetry

__all__ = ["BUILTIN_SERVER", "BuiltinTools"]

_log = logging.getLogger(__name__)

BUILTIN_SERVER = "reference"
"""Name of the MCP server inside the process."""
_BUILTIN_SECONDS = 5.0


class BuiltinTools:
    """The toolbox, and the sessions with the MCP servers behind it.

    The server inside the process takes part where no other is set: from the start where agents are measured, else from
    the first question on, so that a service that does not use it does not load the SDK.

    Args:
        settings: Names the servers, and says whether agents are measured.
        recorder: Measures calls of tools and MCP sessions, where the settings ask for it.

    Raises:
        SettingsError: The settings name servers, and the extra ``mcp`` is not installed.
    """

    def __init__(self, settings: Settings, recorder: Recorder) -> None:
        if settings.mcp_servers and not has_mcp():
            raise SettingsError("AGENTOS_MCP_SERVERS names servers, which needs pip install 'agentos[mcp]'.")
        self._settings = settings
        self._telemetry = recorder.telemetry if settings.agent_metrics else None
        self._reference = MetricReference(recorder.telemetry.catalogue)
        self._local: list[Tool] = [Calculator()]
        self._is_open = False
        self._servers = McpServers(self._named_servers())
        self.toolbox = Toolbox(self._tools, recorder if settings.agent_metrics else None, content=settings.trace_content)
        """What navi uses."""

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Opens the sessions in the background; closes them on exit."""
        async with self._servers.lifespan():
            if self._settings.mcp_servers or self._settings.agent_metrics:
                self._start()
            yield

    async def _tools(self) -> list[Tool]:
        self._start()
        return [*self._local, *(await self._servers.tools() if has_mcp() else ())]

    def _start(self) -> None:
        if self._is_open:
            return
        self._is_open = True
        if has_mcp():
            self._servers.start()
        else:
            _log.warning("the extra mcp is not installed: navi's research uses the calculator alone")

    def _named_servers(self) -> list[McpServer]:
        up = ServersUp(self._telemetry) if self._telemetry is not None else None
        named = [
            McpServer(name, _opener(name, one, self._telemetry), wanted=one.tool, timeout=one.timeout, up=up)
            for name, one in self._settings.mcp_servers.items()
        ]
        return named or [McpServer(BUILTIN_SERVER, self._open_builtin, timeout=_BUILTIN_SECONDS, up=up)]

    @asynccontextmanager
    async def _open_builtin(self, _: Callable[[str], None]) -> AsyncIterator[Session]:
        server = (await _loaded("reference_server")).reference_server(self._reference, self._telemetry)
        sessions = await _loaded("mcp_session")
        async with sessions.in_process_session(BUILTIN_SERVER, server, _BUILTIN_SECONDS, self._telemetry) as session:
            yield session


def _opener(name: str, settings: McpServerSettings, telemetry: Telemetry | None) -> Opener:
    @asynccontextmanager
    async def opened(lost: Callable[[str], None]) -> AsyncIterator[Session]:
        sessions = await _loaded("mcp_session")
        async with sessions.open_session(name, settings, telemetry, lost) as session:
            yield session

    return opened


async def _loaded(module: str) -> Any:
    """A module of ``agents.tools`` that needs the SDK, loaded in a thread: it takes about half a second."""
    return await asyncio.to_thread(importlib.import_module, f"agents.tools.{module}")
