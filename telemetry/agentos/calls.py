"""Measured blocks with their whole bundle of metrics: A2A calls, cache operations, model calls.

Each is a context manager, sync and async, for one use: a span that carries every label of its series, one clock reading at
each end, everything recorded while the span is current. The exception that leaves the block is never touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

from opentelemetry.semconv._incubating.attributes.gen_ai_attributes import GEN_AI_USAGE_INPUT_TOKENS, GEN_AI_USAGE_OUTPUT_TOKENS
from opentelemetry.trace import Span, SpanKind, format_trace_id

from telemetry.metric.label_values import LabelError
from telemetry.tracing.span import SpanScope, error_type_of

if TYPE_CHECKING:
    from telemetry.agentos.recorder import Recorder

__all__ = ["A2ACall", "CacheCall", "Call", "ModelCall"]


# The direction of a token counter is on the span as a count: https://opentelemetry.io/docs/specs/semconv/gen-ai/
_TOKENS_ON_SPAN = {"input": GEN_AI_USAGE_INPUT_TOKENS, "output": GEN_AI_USAGE_OUTPUT_TOKENS, "unknown": "ccr.tokens.unknown"}


class Call:
    """What the three share: span, clock, and an end that cannot fail."""

    _name: str
    _kind = SpanKind.INTERNAL

    __slots__ = ("_recorder", "_scope", "_start")

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def _labels(self) -> Mapping[str, str]:
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
        recorder = self._recorder
        self._scope = SpanScope(recorder.tracer, self._name, self._labels(), recorder.failed, self._kind)
        self._begin()
        self._start = recorder.clock()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        seconds = self._recorder.clock() - self._start
        try:
            self._finish(seconds, error)
        except Exception as failure:
            self._recorder.failed(failure)
            if error is None and isinstance(failure, LabelError):
                raise  # strict mode only: loud, but never in place of the block's own exception
        finally:
            self._scope.close()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)

    def span_reference(self) -> bytes | None:
        """What an exemplar needs of the span, None where it is not sampled."""
        return self._scope.span_reference(self._recorder.takes_sampled)

    def passed(self) -> float:
        """Seconds since the start."""
        return self._recorder.clock() - self._start


class A2ACall(Call):
    """One call of an agent: active tasks, duration, count, errors and response size."""

    _name = "a2a.request"
    _kind = SpanKind.CLIENT

    __slots__ = ("_agent", "_bytes", "_error_type", "_operation", "_over", "_series")

    def __init__(self, recorder: Recorder, agent: str, operation: str) -> None:
        super().__init__(recorder)
        self._agent = agent
        self._operation = operation
        self._series = recorder.a2a_series(agent, operation)
        self._bytes: int | None = None
        self._error_type: str | None = None
        self._over = False

    def add_bytes(self, size: int) -> None:
        """Count bytes of the response's body, after content decoding."""
        self._bytes = (self._bytes or 0) + size

    def succeed(self) -> None:
        """The final event came: whoever stops reading now does not make the call an error."""
        self._over = True

    def fail(self, error_type: str) -> None:
        """The call failed without an exception: one of the closed values of ``error_type``."""
        self._error_type = error_type

    def _labels(self) -> Mapping[str, str]:
        return self._series.labels

    def _begin(self) -> None:
        self._series.active.record_with_exemplar(1, None)  # no format carries a gauge's exemplar

    def _finish(self, seconds: float, error: BaseException | None) -> None:
        series = self._series
        series.active.record_with_exemplar(-1, None)
        error_type = self._error_type
        if error_type is None and error is not None:
            error_type = error_type_of(error)
            if error_type == "cancelled" and self._over:
                error_type = None
        status = "success" if error_type is None else "error"
        if error_type is not None:
            self._scope.label({"status": status, "error_type": error_type}, error_type)
        reference = self.span_reference()
        series.duration[status].record_with_exemplar(seconds, reference)
        series.count[status].record_with_exemplar(1, reference)
        if self._bytes is not None:
            series.size.record_with_exemplar(self._bytes, reference)
        if error_type is not None:
            self._recorder.a2a_error(self._agent, self._operation, error_type).record_with_exemplar(1, reference)


class CacheCall(Call):
    """One cache operation: count by result, and latency."""

    _name = "cache.operation"
    _kind = SpanKind.CLIENT

    __slots__ = ("_operation", "_result")

    def __init__(self, recorder: Recorder, operation: str) -> None:
        super().__init__(recorder)
        self._operation = operation
        self._result = "ok"

    def result(self, result: str) -> None:
        """What the cache answered: ``hit``, ``miss``, ``ok`` or ``error``."""
        self._result = result

    def _labels(self) -> Mapping[str, str]:
        return self._recorder.cache_latency(self._operation).attributes

    def _finish(self, seconds: float, error: BaseException | None) -> None:
        result = self._result if error is None else "error"
        count = self._recorder.cache_count(self._operation, result)
        failed = error_type_of(error) if error is not None else "cache" if result == "error" else None
        self._scope.label(count.attributes, failed)
        reference = self.span_reference()
        count.record_with_exemplar(1, reference)
        self._recorder.cache_latency(self._operation).record_with_exemplar(seconds, reference)


class ModelCall(Call):
    """One routed model call: count, latency, and tokens as the provider reported them."""

    _name = "ccr.request"
    _kind = SpanKind.CLIENT

    __slots__ = ("_error_type", "_series", "_tokens")

    def __init__(self, recorder: Recorder, provider: str, task_type: str) -> None:
        super().__init__(recorder)
        self._series = recorder.ccr_series(provider, task_type)
        self._tokens: tuple[int | None, int | None, int | None] = (None, None, None)
        self._error_type: str | None = None

    def usage(
        self, *, input_tokens: int | None = None, output_tokens: int | None = None, total_tokens: int | None = None
    ) -> None:
        """The provider's own usage; a later report replaces an earlier one."""
        self._tokens = (input_tokens, output_tokens, total_tokens)

    def fail(self, error_type: str) -> None:
        """The call failed without an exception."""
        self._error_type = error_type

    def _labels(self) -> Mapping[str, str]:
        return self._series.labels

    def _finish(self, seconds: float, error: BaseException | None) -> None:
        error_type = self._error_type if error is None else error_type_of(error)
        status = "success" if error_type is None else "error"
        if error_type is not None:
            self._scope.label({"status": status}, error_type)
        reference = self.span_reference()
        self._series.count[status].record_with_exemplar(1, reference)
        self._series.latency.record_with_exemplar(seconds, reference)
        counted = self._recorder.tokens(self._series, *self._tokens, reference)
        if counted and self.span.is_recording():
            self.span.set_attributes({_TOKENS_ON_SPAN[direction]: count for direction, count in counted.items()})
