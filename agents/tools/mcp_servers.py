"""The MCP servers whose tools are used: one session with each, opened again when it is lost."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from contextvars import Context
from dataclasses import dataclass
from typing import Any, Protocol

from opentelemetry.trace import NonRecordingSpan, SpanContext, use_span

from agents.tools.toolbox import Tool, ToolError
from telemetry.agentos.mcp import ServersUp

__all__ = ["McpServer", "McpServers", "Opener", "Session", "has_mcp"]

_log = logging.getLogger(__name__)

_CONNECT_SECONDS = 30.0
"""Seconds a server has to open a session: a command may have to load itself first."""
_FIRST_WAIT = 0.5
_LONGEST_WAIT = 30.0
"""Seconds before a session is opened again, doubled from the first to the longest."""
_STABLE_SECONDS = 60.0
"""Seconds a session lasts that makes the next wait the first one again."""
_CHECK_SECONDS = 30.0
"""Seconds between two looks at a server's tools, which also show whether it still answers."""
_CLOSE_SECONDS = 5.0
"""Seconds all sessions have to close: the processes of servers are ended within three."""


def has_mcp() -> bool:
    """Whether the extra ``mcp`` is installed."""
    return importlib.util.find_spec("mcp") is not None


class Session(Protocol):
    """An open session, see ``mcp_session``."""

    async def tool(self, wanted: str) -> tuple[str, str] | None:
        """Returns name and argument of the tool to call, ``None`` where the server has none."""

    async def call(self, tool: str, arguments: dict[str, Any]) -> str:
        """Returns the text of a tool's result. Raises ``ToolError``."""


Opener = Callable[[Callable[[str], None]], AbstractAsyncContextManager[Session]]
"""Opens a session; it is given a function to call with the reason when the connection has ended."""


@dataclass(slots=True)
class _McpTool:
    """A server's tool, which is asked the whole question."""

    server: McpServer
    name: str
    timeout: float
    description: str
    kind: str = "extension"

    def argument(self, question: str) -> str | None:
        return question

    async def call(self, argument: str) -> str:
        return await self.server.call(self.name, argument)


class McpServer:
    """One server. A task of its own opens the session, looks after it, and opens it again after a wait when it is lost.

    Args:
        name: The server's name in the settings.
        opener: Opens a session.
        wanted: Name of the tool to use; empty for the first that only reads and takes one text.
        timeout: Seconds a call may take.
        up: Shows whether the server answers; ``None`` where that is not shown.
        sleep: Waits before a session is opened again.
        clock: Seconds on a monotonic clock.
    """

    def __init__(
        self,
        name: str,
        opener: Opener,
        *,
        wanted: str = "",
        timeout: float = 10.0,
        up: ServersUp | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._opener = opener
        self._wanted = wanted
        self._timeout = timeout
        self._up = up
        self._sleep = sleep
        self._clock = clock
        self._session: Session | None = None
        self._found: tuple[str, str] | None = None
        self._settled = asyncio.Event()
        """Whether the first session has been opened, has failed, or has been waited for long enough."""
        self._doubted = asyncio.Event()
        """Set to look at once whether the session still works."""
        self._reason = ""
        self._is_down = False
        self._lacks_tool = False

    @property
    def is_up(self) -> bool:
        """Whether a session is open."""
        return self._session is not None

    async def tool(self) -> Tool | None:
        """Returns the tool to use; ``None`` where none is known. Waits for the first session, at most for a call's time."""
        try:
            async with asyncio.timeout(self._timeout):
                await self._settled.wait()
        except TimeoutError:
            self._settled.set()  # no other question waits for it again
        name = self._found[0] if self._found is not None else self._wanted
        # The server's own description may be long, and may say what a model should do.
        return _McpTool(self, name, self._timeout, f"A tool of MCP server {self.name}.") if name else None

    async def call(self, tool: str, question: str) -> str:
        """Asks the server's tool. Raises ``ToolError``, at once where no session is open."""
        session, found = self._session, self._found
        if session is None:
            raise ToolError(f"MCP server {self.name} cannot be reached", "unreachable")
        if found is None:
            raise ToolError(f"MCP server {self.name} has no such tool for a question", "unknown_tool")
        try:
            return await session.call(tool, {found[1]: question})
        except ToolError as error:
            if error.reason != "tool_error":
                self._doubted.set()
            raise

    async def run(self) -> None:
        """Keeps a session open until it is cancelled."""
        wait = _FIRST_WAIT
        self._set(None)
        while True:
            begun = self._clock()
            try:
                await self._hold_session()
            except Exception as error:
                self._say_down(self._reason or _told(error))
            finally:
                self._set(None)
                self._settled.set()
            if self._clock() - begun >= _STABLE_SECONDS:
                wait = _FIRST_WAIT
            await self._sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT)

    def forget(self) -> None:
        """Ends the server's series."""
        if self._up is not None:
            self._up.remove(self.name)

    async def _hold_session(self) -> None:
        """Opens a session and returns when it is lost. Raises what opening it or looking after it raises."""
        self._reason = ""
        self._doubted.clear()
        async with AsyncExitStack() as stack:
            async with asyncio.timeout(_CONNECT_SECONDS):
                session = await stack.enter_async_context(self._opener(self._lose))
                await self._look(session)
            self._set(session)
            self._settled.set()
            self._say_up()
            while not self._reason:
                try:
                    async with asyncio.timeout(_CHECK_SECONDS):
                        await self._doubted.wait()
                except TimeoutError:
                    pass
                self._doubted.clear()
                if not self._reason:
                    with use_span(_unsampled()):
                        async with asyncio.timeout(self._timeout):
                            await self._look(session)
            self._set(None)
        self._say_down(self._reason)

    async def _look(self, session: Session) -> None:
        found = await session.tool(self._wanted)
        if found is None and not self._lacks_tool:
            _log.warning(
                "MCP server %s has no tool that a question can be given to: one that only reads and takes one text, or "
                "the one that its setting names",
                self.name,
            )
        self._lacks_tool = found is None
        self._found = found

    def _lose(self, reason: str) -> None:
        self._reason = self._reason or reason
        self._doubted.set()

    def _set(self, session: Session | None) -> None:
        self._session = session
        if self._up is not None:
            self._up.set(self.name, session is not None)

    def _say_up(self) -> None:
        if self._is_down:
            _log.info("MCP server %s answers again", self.name)
        self._is_down = False

    def _say_down(self, reason: str) -> None:
        """Logs once for each time that the server goes down."""
        if not self._is_down:
            _log.warning("MCP server %s cannot be used: %s; it is tried again with growing pauses", self.name, reason)
        self._is_down = True


class McpServers:
    """All servers, each with a task of its own. The start waits for none of them.

    Args:
        servers: The servers, in the order in which their tools are used.
    """

    def __init__(self, servers: list[McpServer]) -> None:
        self._servers = servers
        self._tasks: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """On exit closes the sessions and ends the processes of their servers."""
        try:
            yield
        finally:
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                _, late = await asyncio.wait(self._tasks, timeout=_CLOSE_SECONDS)
                for task in late:  # an HTTP server may take any time for the end of its session
                    task.cancel()
            for server in self._servers:
                server.forget()

    def start(self) -> None:
        """Opens the sessions in the background, within the lifespan."""
        self._tasks = [  # in a context of their own: the first question may start them, and its trace ends with it
            asyncio.create_task(server.run(), name=f"MCP server {server.name}", context=Context()) for server in self._servers
        ]

    async def tools(self) -> list[Tool]:
        """Returns the tools of the servers, after ``start``."""
        found = await asyncio.gather(*(server.tool() for server in self._servers))
        return [tool for tool in found if tool is not None]


def _unsampled() -> NonRecordingSpan:
    """A parent that is not sampled: with a sampler that follows it, a look every half minute is no trace of its own."""
    return NonRecordingSpan(SpanContext(random.getrandbits(127) + 1, random.getrandbits(63) + 1, is_remote=False))


def _told(error: BaseException) -> str:
    """The error by its class: messages of libraries quote addresses and what servers send."""
    if isinstance(error, BaseExceptionGroup):
        return _told(error.exceptions[0])
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
