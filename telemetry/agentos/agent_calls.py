"""Measured invocations of agents and workflows, and executions of tools: spans and metrics by OpenTelemetry's conventions.

https://github.com/open-telemetry/semantic-conventions-genai/blob/v0.1.0/docs/gen-ai/gen-ai-agent-spans.md
https://github.com/open-telemetry/semantic-conventions-genai/blob/v0.1.0/docs/gen-ai/gen-ai-metrics.md

An agent of this process has a span of kind INTERNAL, and its calls of models and tools are counted. A remote agent has a span
of kind CLIENT alone: the conventions' metrics here are those of agents in the process.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from opentelemetry.semconv.attributes.server_attributes import SERVER_ADDRESS, SERVER_PORT
from opentelemetry.trace import SpanKind

from telemetry.agentos import agent_names as names
from telemetry.agentos import catalogue_agents as rows
from telemetry.agentos.call_counts import CallCounts, count_inference, current_counts
from telemetry.agentos.calls import Call
from telemetry.agentos.errors import failure_of
from telemetry.agentos.genai_names import GEN_AI_OPERATION_NAME, GEN_AI_PROVIDER_NAME
from telemetry.agentos.series import NullInstrument, SeriesCache
from telemetry.instruments.bound import BoundInstrument
from telemetry.metric import Metric
from telemetry.metric.label import INVALID
from telemetry.metric.label_values import text_of

__all__ = ["AgentInvocation", "AgentMetrics", "ToolCall", "count_inference", "invocation_attributes"]

INVOKE_AGENT, INVOKE_WORKFLOW, EXECUTE_TOOL = "invoke_agent", "invoke_workflow", "execute_tool"
_CONTENT_CHARACTERS = 64 * 1024
"""Characters of a tool's arguments, and of its result, on a span that carries them."""
_DETAIL_CHARACTERS = 1024
"""Characters of any other text that a span is given, such as an id or a description."""

Attributes = Mapping[str, str | int]
Series = BoundInstrument | NullInstrument


@dataclass(slots=True)
class _InvocationSeries:
    labels: Attributes
    agent: str
    values: tuple[str, ...]
    duration: Series
    inference_calls: Series
    tool_calls: Series


@dataclass(slots=True)
class _ToolSeries:
    labels: Attributes
    tool: str
    values: tuple[str, ...]
    duration: Series


class AgentMetrics:
    """The series of agents, workflows and tools, found by one look-up a call; bounded as the labels are."""

    def __init__(self, cache: SeriesCache) -> None:
        self.cache = cache
        self._invocations: dict[tuple[str, ...], _InvocationSeries] = {}
        self._tools: dict[tuple[str, ...], _ToolSeries] = {}

    def invocation(self, operation: str, agent: str, model: str) -> _InvocationSeries:
        """Returns the series of an agent's invocations. Raises ``LabelError`` for wrong names in strict mode."""
        key = (operation, agent, model)
        try:
            if (found := self._invocations.get(key)) is not None:
                return found
        except TypeError:  # a name that cannot be hashed is no name
            pass
        duration, labels, values = self._bound(rows.INVOKE_AGENT_DURATION, *key, "")
        series = self.cache.series
        inference_calls, tool_calls = series(rows.INFERENCE_CALLS, values[1]), series(rows.TOOL_CALLS, values[1])
        new = _InvocationSeries(labels, values[1], values[:-1], duration, inference_calls, tool_calls)
        if _is_bounded(duration, key):
            for one in (duration, inference_calls, tool_calls):
                _start(one)
            self._invocations[key] = new
        return new

    def remote(self, agent: str, model: str) -> _InvocationSeries:
        """Returns what stands for the series of a remote agent, which has none."""
        labels, values = _plain(rows.INVOKE_AGENT_DURATION, (INVOKE_AGENT, agent, model, ""))
        nothing = NullInstrument()
        return _InvocationSeries(labels, values[1], values[:-1], nothing, nothing, nothing)

    def tool(self, agent: str, tool: str, type: str) -> _ToolSeries:
        """Returns the series of a tool's executions for an agent. Raises ``LabelError`` for wrong names in strict mode."""
        key = (agent, tool, type)
        try:
            if (found := self._tools.get(key)) is not None:
                return found
        except TypeError:  # as above
            pass
        duration, labels, values = self._bound(rows.EXECUTE_TOOL_DURATION, *key, "")
        new = _ToolSeries(labels, values[1], values[:-1], duration)
        if _is_bounded(duration, key):
            _start(duration)
            self._tools[key] = new
        return new

    def failed(self, metric: Metric, values: tuple[str, ...], failure: str) -> tuple[Series, str]:
        """Returns the series of a failure, and the failure as the series has it."""
        series, _, bounded = self._bound(metric, *values, failure)
        return series, bounded[-1]

    def _bound(self, metric: Metric, *given: str) -> tuple[Series, Attributes, tuple[str, ...]]:
        """Returns a series, its attributes and its values; without the row, the values as they are."""
        series = self.cache.series(metric, *given)
        if isinstance(series, BoundInstrument):
            return series, series.attributes, series.values
        return series, *_plain(metric, given)


def _plain(metric: Metric, given: tuple[str, ...]) -> tuple[Attributes, tuple[str, ...]]:
    """Returns attributes and values as they are given, only each a text."""
    values = tuple([INVALID if (text := text_of(value)) is None else text for value in given])
    return metric.attributes(values), values


def _is_bounded(series: Series, key: tuple[str, ...]) -> bool:
    return isinstance(series, BoundInstrument) and series.values[: len(key)] == key


def _start(series: Series) -> None:
    if isinstance(series, BoundInstrument):
        series.start()


class _Operation(Call):
    """A block of an agent: the series of its metric are known before it begins, and its duration is its span's."""

    _is_exact = True

    __slots__ = ("_complete", "_failure", "_metrics")

    def __init__(self, metrics: AgentMetrics) -> None:
        super().__init__(metrics.cache)
        self._metrics = metrics
        self._complete = False
        self._failure = ""

    def succeed(self) -> None:
        """Marks the answer as complete: a reader of a generator who stops now does not make the call a failure."""
        self._complete = True

    def fail(self, error_type: str) -> None:
        """Marks the call as failed without an exception; ``error_type`` is an identifier of low cardinality."""
        self._failure = error_type

    def pause(self) -> None:
        """Makes current what was before, while a generator's consumer has an item."""
        self._scope.leave()

    def resume(self) -> None:
        """Makes the call current again."""
        self._scope.enter()

    def _failure_of(self, error: BaseException | None) -> str:
        if error is None or (self._complete and isinstance(error, GeneratorExit)):
            return self._failure
        return failure_of(error)


class AgentInvocation(_Operation):
    """One invocation of an agent or a workflow: its duration, and its own calls of models and tools, failed ones too.

    Args:
        metrics: The series to record in.
        agent: Name of the agent or workflow; "" for one without a name.
        operation: ``invoke_agent`` or ``invoke_workflow``.
        attributes: Further attributes of the span (``invocation_attributes``).
        model: The model of an agent that has one alone.
        remote: Whether the agent runs in another process: then it has a span of kind CLIENT and no metrics.
    """

    __slots__ = ("_attributes", "_counts", "_kind", "_name", "_series")

    def __init__(
        self,
        metrics: AgentMetrics,
        agent: str,
        *,
        operation: str = INVOKE_AGENT,
        attributes: Attributes = {},  # noqa: B006  # a Mapping, which is never changed
        model: str = "",
        remote: bool = False,
    ) -> None:
        super().__init__(metrics)
        self._series = series = metrics.remote(agent, model) if remote else metrics.invocation(operation, agent, model)
        self._kind = SpanKind.CLIENT if remote else SpanKind.INTERNAL
        self._name = f"{operation} {series.agent}" if series.agent else operation
        self._attributes = attributes
        self._counts = None if remote else CallCounts(series.agent)

    @property
    def agent(self) -> str:
        """Name of the agent, as its series have it."""
        return self._series.agent

    def pause(self) -> None:
        """See ``_Operation``."""
        if self._counts is not None:
            self._counts.pause()
        super().pause()

    def resume(self) -> None:
        """See ``_Operation``."""
        super().resume()
        if self._counts is not None:
            self._counts.resume()

    def _labels(self) -> Attributes:
        return {**self._attributes, **self._series.labels}

    def _begin(self) -> None:
        if self._counts is not None:
            self._counts.enter()

    def _finish(self, seconds: float, error: BaseException | None) -> None:
        failure, counts, series = self._failure_of(error), self._counts, self._series
        duration = series.duration
        if counts is not None:
            counts.leave()
        if failure and counts is not None:
            duration, failure = self._metrics.failed(rows.INVOKE_AGENT_DURATION, series.values, failure)
        if failure:
            self._scope.label({rows.FAILURE.key: failure}, failure)
        if counts is None:
            return
        inferences, tools = counts.end()
        reference = self._span_reference()
        duration.record_with_exemplar(seconds, reference)
        series.inference_calls.record_with_exemplar(inferences, reference)
        series.tool_calls.record_with_exemplar(tools, reference)


class ToolCall(_Operation):
    """One execution of a tool, counted for the agent invocation that is under way.

    Args:
        metrics: The series to record in.
        tool: Name of the tool.
        type: ``function``, ``extension`` or ``datastore``.
        id: Id of the call, as the model gave it.
        description: What the tool does.
        content: Whether the span carries the tool's arguments and result.
    """

    _kind = SpanKind.INTERNAL

    __slots__ = ("_attributes", "_content", "_counts", "_name", "_series")

    def __init__(
        self,
        metrics: AgentMetrics,
        tool: str,
        *,
        type: str = "function",
        id: str = "",
        description: str = "",
        content: bool = False,
    ) -> None:
        super().__init__(metrics)
        self._counts = counts = current_counts()
        self._series = series = metrics.tool("" if counts is None else counts.agent, tool, type)
        self._name = f"{EXECUTE_TOOL} {series.tool}"
        self._attributes = _details({names.GEN_AI_TOOL_CALL_ID: id, names.GEN_AI_TOOL_DESCRIPTION: description})
        self._content = content

    def record_arguments(self, arguments: object) -> None:
        """Puts the tool's arguments on the span as JSON, if the call was made with ``content=True``."""
        self._put(names.GEN_AI_TOOL_CALL_ARGUMENTS, arguments)

    def record_result(self, result: object) -> None:
        """Puts the tool's result on the span as JSON, if the call was made with ``content=True``."""
        self._put(names.GEN_AI_TOOL_CALL_RESULT, result)

    def _put(self, key: str, value: object) -> None:
        if not self._content or not self.span.is_recording():
            return
        try:
            text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
            self.span.set_attribute(key, _text(text, _CONTENT_CHARACTERS))
        except Exception as error:  # a value that is no JSON, or whose str() fails
            self._cache.record_failure(error)

    def _labels(self) -> Attributes:
        return {GEN_AI_OPERATION_NAME: EXECUTE_TOOL, **self._attributes, **self._series.labels}

    def _begin(self) -> None:
        if self._counts is not None:
            self._counts.count_tool()

    def _finish(self, seconds: float, error: BaseException | None) -> None:
        duration = self._series.duration
        if failure := self._failure_of(error):
            duration, failure = self._metrics.failed(rows.EXECUTE_TOOL_DURATION, self._series.values, failure)
            self._scope.label({rows.FAILURE.key: failure}, failure)
        duration.record_with_exemplar(seconds, self._span_reference())


def invocation_attributes(
    *,
    id: str = "",
    description: str = "",
    version: str = "",
    conversation: str = "",
    workflow: str = "",
    provider: str = "",
    address: str = "",
    port: int | None = None,
) -> Attributes:
    """Returns what is known of an agent or workflow as attributes of its span; see ``Recorder.agent_invocation``."""
    given: dict[str, str | int | None] = {
        names.GEN_AI_AGENT_ID: id,
        names.GEN_AI_AGENT_DESCRIPTION: description,
        names.GEN_AI_AGENT_VERSION: version,
        names.GEN_AI_CONVERSATION_ID: conversation,
        names.GEN_AI_WORKFLOW_NAME: workflow,
        GEN_AI_PROVIDER_NAME: provider,
        SERVER_ADDRESS: address,
        SERVER_PORT: port if address else None,
    }
    return _details(given)


def _details(given: Mapping[str, str | int | None]) -> Attributes:
    """Returns the attributes that are known, in bounds."""
    return {key: _text(value, _DETAIL_CHARACTERS) if isinstance(value, str) else value for key, value in given.items() if value}


def _text(text: str, characters: int) -> str:
    """Returns the begin of a text, with ``?`` for what UTF-8 cannot carry: exporters drop such attributes, and log each."""
    begin = text[:characters]
    return begin if begin.isascii() else begin.encode("utf-8", "replace").decode("utf-8")
