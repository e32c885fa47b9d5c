"""Measured blocks with all of their metrics: A2A calls, cache operations, model calls.

Each is a context manager, sync and async, for one use. It opens a span that carries every label of its series, reads the
clock once at each end, and records while the span is current. The exception that leaves the block is never changed.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import MappingProxyType, TracebackType
from typing import Self

from opentelemetry.trace import Span, SpanKind, format_trace_id

from telemetry._base.printable import is_id
from telemetry.agentos import catalogue_models as rows
from telemetry.agentos.agent_names import A2A_TASK_ID, GEN_AI_CONVERSATION_ID
from telemetry.agentos.call_counts import count_inference
from telemetry.agentos.errors import error_type_of
from telemetry.agentos.genai_names import GEN_AI_USAGE_INPUT_TOKENS, GEN_AI_USAGE_OUTPUT_TOKENS
from telemetry.agentos.series import SeriesCache
from telemetry.metric.label_values import LabelError
from telemetry.tracing.span import SpanScope

__all__ = ["A2ACall", "CacheCall", "Call", "ModelCall"]


# The direction of a token counter is on the span as a count: https://opentelemetry.io/docs/specs/semconv/gen-ai/
_TOKENS_ON_SPAN = {"input": GEN_AI_USAGE_INPUT_TOKENS, "output": GEN_AI_USAGE_OUTPUT_TOKENS, "unknown": "ccr.tokens.unknown"}


class Call:
    """A measured block: its span, its clock, and an end at which the telemetry's own failures do not reach the caller."""

    _name: str
    _kind: SpanKind = SpanKind.CLIENT
    _is_exact = False
    """Whether the span lasts exactly as long as the duration that is recorded."""

    __slots__ = ("_cache", "_scope", "_start")

    def __init__(self, cache: SeriesCache) -> None:
        self._cache = cache

    def _labels(self) -> Mapping[str, str | int]:
        raise NotImplementedError

    def _begin(self) -> None:
        """Called once the span is current, before the clock is read."""

    def _finish(self, seconds: float, error: BaseException | None) -> None:
        raise NotImplementedError

    @property
    def span(self) -> Span:
        """The call's span."""
        return self._scope.span

    @property
    def trace_id(self) -> str:
        """The trace's id in hex."""
        return format_trace_id(self.span.get_span_context().trace_id)

    def __enter__(self) -> Self:
        cache = self._cache
        # The two clocks are read together, so that no inner span ends after this one.
        begun, start_time = (cache.clock(), time.time_ns()) if self._is_exact else (None, None)
        self._scope = SpanScope.open(cache.tracer, self._name, self._labels(), cache.record_failure, self._kind, start_time)
        try:
            self._begin()
        except Exception as failure:
            if isinstance(failure, LabelError):  # strict mode only
                self._scope.close()
                raise
            cache.record_failure(failure)
        self._start = cache.clock() if begun is None else begun
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        seconds = self._cache.clock() - self._start
        try:
            self._finish(seconds, error)
        except Exception as failure:
            self._cache.record_failure(failure)
            if error is None and isinstance(failure, LabelError):
                raise  # strict mode only: loud, but never in place of the block's own exception
        finally:
            self._scope.close(seconds if self._is_exact else None)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)

    def _span_reference(self) -> bytes | None:
        """Returns what an exemplar needs of the span; None where the span is not sampled."""
        return self._scope.span_reference(self._cache.takes_sampled)


class A2ACall(Call):
    """One call of an agent: active tasks, duration, count, errors and response size.

    The ``record_*`` methods add details beside the contract, where the catalogue has their rows, and on the span what the
    conventions' draft for A2A wants there.
    https://github.com/open-telemetry/semantic-conventions-genai/blob/6718089fe6e0530fdf498d845f0532e9cf172c81/docs/gen-ai/a2a.md

    Args:
        cache: The series.
        agent: Name of the agent.
        operation: Skill on the agent's card.
        attributes: Further attributes of the span.
    """

    _name = "a2a.request"

    __slots__ = (
        *("_agent", "_attributes", "_bytes", "_ended", "_error_type", "_first_event_came", "_operation", "_protocol_error"),
        *("_series", "_states", "_task"),
    )

    def __init__(
        self, cache: SeriesCache, agent: str, operation: str, attributes: Mapping[str, str | int] = MappingProxyType({})
    ) -> None:
        super().__init__(cache)
        self._attributes = attributes
        self._protocol_error: str | None = None
        self._task = ("", "")
        self._agent = agent
        self._operation = operation
        self._series = cache.a2a(agent, operation)
        self._bytes: int | None = None
        self._error_type: str | None = None
        self._ended = False
        self._first_event_came = False
        self._states: frozenset[str] = frozenset()

    def add_bytes(self, size: int) -> None:
        """Counts bytes of the response's body, after content decoding."""
        self._bytes = (self._bytes or 0) + size

    def succeed(self) -> None:
        """Marks that the final event came: a reader who stops reading now does not make the call an error."""
        self._ended = True

    def fail(self, error_type: str) -> None:
        """Marks the call as failed without an exception; ``error_type`` is one of the label's closed values."""
        self._error_type = error_type

    def record_request_size(self, size: int) -> None:
        """Records the size in bytes of the body of a request that is sent."""
        self._cache.series(rows.REQUEST_SIZE, self._agent).record_with_exemplar(size, self._span_reference())

    def record_event(self, *, streams: bool) -> None:
        """Records the time to the first event, if ``streams`` says that the event is a part of a stream."""
        if streams and not self._first_event_came:
            seconds = self._cache.clock() - self._start
            series = self._cache.series(rows.FIRST_EVENT, self._agent, self._operation)
            series.record_with_exemplar(seconds, self._span_reference())
        self._first_event_came = True

    def record_state(self, state: str) -> None:
        """Records that the task took this state, as A2A spells it; each state is counted once a call."""
        if state not in self._states:
            self._states |= {state}
            self.span.set_attribute(rows.TASK_STATE.key, state)
            self._cache.series(rows.TASK_STATES, self._agent, state).record_with_exemplar(1, None)

    def record_task(self, task_id: str, context_id: str) -> None:
        """Puts the ids of task and conversation on the span; "" where an event has none. Ids that are too long are left out."""
        if (task_id, context_id) == self._task:
            return
        self._task = (task_id, context_id)
        ids = {A2A_TASK_ID: task_id, GEN_AI_CONVERSATION_ID: context_id}
        self.span.set_attributes({key: one for key, one in ids.items() if is_id(one)})

    def record_http_status(self, status: int) -> None:
        """Takes the HTTP status that the call failed with as the span's ``error.type``."""
        self._protocol_error = str(status)

    def record_error_code(self, code: int) -> None:
        """Records the JSON-RPC error code that the agent answered with; it is the span's ``error.type``."""
        self._protocol_error = str(code)
        self.span.set_attribute(rows.ERROR_CODE.key, str(code))
        self._cache.series(rows.A2A_CODES, self._agent, str(code)).record_with_exemplar(1, self._span_reference())

    def _labels(self) -> Mapping[str, str | int]:
        return {**self._attributes, **self._series.labels} if self._attributes else self._series.labels

    def _begin(self) -> None:
        self._series.active.record_with_exemplar(1, None)  # no format carries a gauge's exemplar

    def _finish(self, seconds: float, error: BaseException | None) -> None:
        series = self._series
        series.active.record_with_exemplar(-1, None)
        error_type = self._error_type
        if error_type is None and error is not None:
            error_type = error_type_of(error)
            if error_type == "cancelled" and self._ended:
                error_type = None
        status = "success" if error_type is None else "error"
        if error_type is not None:
            self._scope.label({"status": status, "error_type": error_type}, self._protocol_error or error_type)
        reference = self._span_reference()
        series.outcomes[status].record(seconds, self._bytes, reference)
        if error_type is not None:
            self._cache.a2a_error(self._agent, self._operation, error_type).record_with_exemplar(1, reference)


class CacheCall(Call):
    """One cache operation: count by result, and latency."""

    _name = "cache.operation"

    __slots__ = ("_operation", "_result")

    def __init__(self, cache: SeriesCache, operation: str) -> None:
        super().__init__(cache)
        self._operation = operation
        self._result = "ok"

    def result(self, result: str) -> None:
        """Sets the result of the operation: ``hit``, ``miss``, ``ok`` or ``error``."""
        self._result = result

    def _labels(self) -> Mapping[str, str]:
        return self._cache.cache_latency(self._operation).attributes

    def _finish(self, seconds: float, error: BaseException | None) -> None:
        result = self._result if error is None else "error"
        outcome = self._cache.cache_operation(self._operation, result)
        error_type = error_type_of(error) if error is not None else "cache" if result == "error" else None
        self._scope.label(outcome.count.attributes, error_type)
        outcome.record(seconds, None, self._span_reference())


class ModelCall(Call):
    """One routed model call: count, latency, and tokens as the provider reported them."""

    _name = "ccr.request"

    __slots__ = ("_error_type", "_series", "_tokens")

    def __init__(self, cache: SeriesCache, provider: str, task_type: str) -> None:
        super().__init__(cache)
        self._series = cache.ccr(provider, task_type)
        self._tokens: tuple[int | None, int | None, int | None] = (None, None, None)
        self._error_type: str | None = None

    def usage(
        self, *, input_tokens: int | None = None, output_tokens: int | None = None, total_tokens: int | None = None
    ) -> None:
        """Takes the provider's report of its usage; a later report replaces an earlier one."""
        self._tokens = (input_tokens, output_tokens, total_tokens)

    def fail(self, error_type: str) -> None:
        """Marks the call as failed without an exception; ``error_type`` is put on the span."""
        self._error_type = error_type

    def _labels(self) -> Mapping[str, str]:
        return self._series.labels

    def _begin(self) -> None:
        count_inference()

    def _finish(self, seconds: float, error: BaseException | None) -> None:
        error_type = self._error_type if error is None else error_type_of(error)
        status = "success" if error_type is None else "error"
        if error_type is not None:
            self._scope.label({"status": status}, error_type)
        reference = self._span_reference()
        self._series.outcomes[status].record(seconds, None, reference)
        counted = self._series.add_tokens(*self._tokens, reference)
        if counted and self.span.is_recording():
            self.span.set_attributes({_TOKENS_ON_SPAN[direction]: count for direction, count in counted.items()})
