"""The tools that an agent uses for a question, each call measured and bounded."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from telemetry._base.printable import printable
from telemetry.agentos.agent_calls import ToolCall
from telemetry.agentos.recorder import Recorder

__all__ = ["Finding", "Tool", "ToolError", "Toolbox"]

_log = logging.getLogger(__name__)

_RESULT_CHARACTERS = 4000
"""Characters of one tool's result that go into a prompt."""


class ToolError(Exception):
    """A tool could not answer.

    Args:
        message: A sentence for the log and the agent, without any part of the question or of a secret.
        reason: The value of ``error.type``.
    """

    def __init__(self, message: str, reason: str = "tool_error") -> None:
        super().__init__(printable(message))
        self.reason = reason
        self.error_type = reason


class Tool(Protocol):
    """Something that answers a part of a question."""

    name: str
    description: str
    kind: str
    """``function`` where the agent's own process executes it, ``extension`` where it reaches something outside."""
    timeout: float
    """Seconds one call may take."""

    def argument(self, question: str) -> str | None:
        """Returns what the tool is asked, ``None`` where the question has nothing for it."""

    async def call(self, argument: str) -> str:
        """Returns the result. Raises ``ToolError``; any other exception is a failure of the tool as well."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one tool said, or why it said nothing."""

    tool: str
    text: str
    failed: bool = False


class Toolbox:
    """Uses all tools that a question has something for, at once.

    Args:
        tools: Returns the tools there are now.
        recorder: Measures each call; ``None`` for no measurement.
        content: Whether spans carry the text of arguments and results.
    """

    def __init__(
        self, tools: Callable[[], Awaitable[list[Tool]]], recorder: Recorder | None = None, *, content: bool = False
    ) -> None:
        self._tools = tools
        self._recorder = recorder
        self._content = content

    async def use(self, question: str) -> list[Finding]:
        """Returns the findings in the order of the tools. A tool that fails is a finding too."""
        asked = [(tool, argument) for tool in await self._tools() if (argument := tool.argument(question)) is not None]
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(self._call(tool, argument)) for tool, argument in asked]
        return [call.result() for call in calls]

    async def _call(self, tool: Tool, argument: str) -> Finding:
        try:
            async with self._measured(tool) as call:
                if call is not None:
                    call.record_arguments(argument)
                async with asyncio.timeout(tool.timeout):
                    text = await tool.call(argument)
                if call is not None:
                    call.record_result(text)
        except Exception as error:
            said = str(error) if isinstance(error, ToolError) else _told(error)
            _log.warning("tool %s failed: %s", tool.name, said)
            return Finding(tool.name, said, failed=True)
        return Finding(tool.name, text if len(text) <= _RESULT_CHARACTERS else f"{text[: _RESULT_CHARACTERS - 1]}…")

    def _measured(self, tool: Tool) -> AbstractAsyncContextManager[ToolCall | None]:
        if self._recorder is None:
            return nullcontext()
        return self._recorder.tool_call(tool.name, type=tool.kind, description=tool.description, content=self._content)


def _told(error: Exception) -> str:
    """The error without what libraries quote in theirs."""
    return "it did not answer in time" if isinstance(error, TimeoutError) else type(error).__name__
