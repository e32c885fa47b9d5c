"""Measured invocations of agents, and executions of their tools: spans and metrics by OpenTelemetry's conventions."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar, Token

from opentelemetry.trace import SpanKind

from telemetry.agentos import catalogue_agents as rows
from telemetry.agentos.calls import Call
from telemetry.agentos.errors import status_or_reason_of
from telemetry.agentos.series import SeriesCache

__all__ = ["AgentInvocation", "ToolCall", "count_inference"]

_current: ContextVar[AgentInvocation | None] = ContextVar("agent_invocation", default=None)


def count_inference() -> None:
    """Counts an inference call of the agent invocation that is under way in this context, if there is one."""
    if (invocation := _current.get()) is not None:
        invocation.inference_calls += 1


class AgentInvocation(Call):
    """One invocation of an agent: its duration, and its own calls of models and tools, failed ones too."""

    _kind = SpanKind.INTERNAL

    __slots__ = ("_agent", "_name", "_outer", "inference_calls", "tool_calls")

    def __init__(self, cache: SeriesCache, agent: str) -> None:
        super().__init__(cache)
        self._agent = agent
        self._name = f"invoke_agent {agent}"
        self.inference_calls = 0
        self.tool_calls = 0
        self._outer: Token[AgentInvocation | None] | None = None

    @property
    def agent(self) -> str:
        """Name of the agent."""
        return self._agent

    def _labels(self) -> Mapping[str, str]:
        return {"gen_ai.operation.name": "invoke_agent", rows.AGENT_NAME.key: self._agent}

    def _begin(self) -> None:
        self._outer = _current.set(self)

    def _finish(self, seconds: float, error: BaseException | None) -> None:
        if self._outer is not None:
            _current.reset(self._outer)
        failure = "" if error is None else status_or_reason_of(error)
        labels = {rows.AGENT_NAME.key: self._agent}
        if failure:
            self._scope.label({rows.FAILURE.key: failure}, failure)
        reference, series = self._span_reference(), self._cache.series
        series(rows.INVOKE_AGENT_DURATION, **labels, **{rows.FAILURE.key: failure}).record_with_exemplar(seconds, reference)
        series(rows.INFERENCE_CALLS, **labels).record_with_exemplar(self.inference_calls, reference)
        series(rows.TOOL_CALLS, **labels).record_with_exemplar(self.tool_calls, reference)


class ToolCall(Call):
    """One execution of a tool, counted for the agent invocation that is under way."""

    _kind = SpanKind.INTERNAL

    __slots__ = ("_agent", "_name", "_tool", "_type")

    def __init__(self, cache: SeriesCache, tool: str, type: str) -> None:
        super().__init__(cache)
        self._tool = tool
        self._type = type
        self._name = f"execute_tool {tool}"
        self._agent = ""

    def _labels(self) -> Mapping[str, str]:
        if (invocation := _current.get()) is not None:
            invocation.tool_calls += 1
            self._agent = invocation.agent
        labels = {"gen_ai.operation.name": "execute_tool", rows.TOOL_NAME.key: self._tool, rows.TOOL_TYPE.key: self._type}
        return labels | ({rows.AGENT_NAME.key: self._agent} if self._agent else {})

    def _finish(self, seconds: float, error: BaseException | None) -> None:
        failure = "" if error is None else status_or_reason_of(error)
        if failure:
            self._scope.label({rows.FAILURE.key: failure}, failure)
        labels = {
            rows.AGENT_NAME.key: self._agent,
            rows.TOOL_NAME.key: self._tool,
            rows.TOOL_TYPE.key: self._type,
            rows.FAILURE.key: failure,
        }
        series = self._cache.series(rows.EXECUTE_TOOL_DURATION, **labels)
        series.record_with_exemplar(seconds, self._span_reference())
