"""RequestTimer: one clock reading at each end, one span, one observation."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from opentelemetry.trace import NoOpTracer, SpanKind, Tracer

from telemetry.instruments.bound import BoundHistogram
from telemetry.instruments.instrument import Histogram
from telemetry.tracing.decorators import decorated
from telemetry.tracing.span import SpanScope

__all__ = ["RequestTimer"]

P = ParamSpec("P")
R = TypeVar("R")
_STATUS = "status"


class _Prepared:
    """What every timer of one label set shares: the labels for the span, and a handle for each way to end."""

    __slots__ = ("attributes", "error", "name", "runtime", "success")

    def __init__(self, histogram: Histogram, labels: dict[str, object]) -> None:
        self.runtime = histogram.runtime
        self.name = histogram.metric.name
        if _STATUS in histogram.metric.keys:
            self.success: BoundHistogram = histogram.labels(**labels, **{_STATUS: "success"})
            self.error: BoundHistogram = histogram.labels(**labels, **{_STATUS: "error"})
        else:
            self.success = self.error = histogram.labels(**labels)
        # Put on the span at once, when it is started; a failure corrects the status.
        self.attributes = {**self.success.attributes, _STATUS: "success"}


class _Running:
    """A block that is being timed."""

    __slots__ = ("scope", "start", "timer")

    scope: SpanScope | None
    start: float
    timer: RequestTimer


_running: ContextVar[tuple[_Running, ...]] = ContextVar("telemetry_running_timers", default=())


class RequestTimer:
    """Time a block, sync or async, in a span that carries the histogram's labels.

    ``status`` becomes ``error`` when an exception (a cancellation included) leaves the block and ``success`` otherwise; it is
    a label where the histogram has that key, and always on the span. Records seconds, while the span is current. One timer
    may be nested, reused and shared by threads and tasks, and decorates functions and generators, sync and async.
    """

    __slots__ = ("_clock", "_kind", "_name", "_prepared", "_shared", "_slot", "_tracer")

    def __init__(
        self,
        histogram: Histogram,
        /,
        *,
        span_name: str | None = None,
        span_kind: SpanKind = SpanKind.INTERNAL,
        tracer: Tracer | None = None,
        clock: Callable[[], float] | None = None,
        **labels: object,
    ) -> None:
        self._prepared = prepared = _prepare(histogram, labels)
        self._name = span_name
        self._kind = span_kind
        self._tracer = tracer or prepared.runtime.tracer
        self._clock = clock or prepared.runtime.clock
        self._slot: dict[int, _Running] = {}
        self._shared = False

    def _failed(self, error: Exception) -> None:
        self._prepared.error.record_failure(error)

    def _scope(self) -> SpanScope | None:
        prepared = self._prepared
        if type(self._tracer) is NoOpTracer:
            return None
        return SpanScope(self._tracer, self._name or prepared.name, prepared.attributes, self._failed, self._kind)

    def __enter__(self) -> RequestTimer:
        running = _Running()
        running.scope = self._scope()
        # The first block has the timer to itself. Once a second one overlaps with it (nested, another thread or task), blocks
        # are kept in the context, which each thread and task has of its own.
        if self._shared or self._slot.setdefault(0, running) is not running:
            self._shared = True
            running.timer = self
            _running.set((*_running.get(), running))
        running.start = self._clock()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        end = self._clock()
        running = self._take() if self._shared else self._slot.pop(0, None)
        if running is not None:
            self._finish(running.scope, end - running.start, error)

    async def __aenter__(self) -> RequestTimer:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)

    def _take(self) -> _Running | None:
        """The block that ends: the innermost one of this timer here, else the one that came before all others."""
        stack = _running.get()
        for index in range(len(stack) - 1, -1, -1):
            if stack[index].timer is self:
                _running.set((*stack[:index], *stack[index + 1 :]))
                return stack[index]
        return self._slot.pop(0, None)

    def _finish(self, scope: SpanScope | None, seconds: float, error: BaseException | None) -> None:
        """Label the span, observe while it is current, end it."""
        handle = self._prepared.success if error is None else self._prepared.error
        if scope is None:
            handle.record_with_exemplar(seconds, None)
            return
        if error is not None:
            scope.label({_STATUS: "error"}, type(error).__qualname__)
        source = handle.source
        if source.needs_filter:
            handle.observe(seconds)
        else:
            handle.record_with_exemplar(seconds, scope.span_reference(source.takes_sampled))
        scope.close()

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorate: each call is timed, a generator from its first step to its end; its span is current while it runs."""
        return decorated(function, self._open)

    def _open(self) -> tuple[SpanScope | None, Callable[[BaseException | None], None]]:
        scope = self._scope()
        start = self._clock()
        return scope, lambda error: self._finish(scope, self._clock() - start, error)


def _prepare(histogram: Histogram, labels: dict[str, Any]) -> _Prepared:
    if _STATUS in labels:
        raise TypeError(f"RequestTimer({histogram.metric.prometheus_name}): status is set by the timer, do not give it")
    key = (*labels, *labels.values())
    try:
        prepared: _Prepared | None = histogram.timers.get(key)
    except TypeError:
        return _Prepared(histogram, labels)
    if prepared is None or prepared.runtime is not histogram.runtime:
        prepared = _Prepared(histogram, labels)
        if all(prepared.attributes.get(k) == v for k, v in labels.items()):
            histogram.timers[key] = prepared  # only what is bounded is kept
    return prepared
