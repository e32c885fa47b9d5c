"""RequestTimer: one clock reading at each end, one span, one observation."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Token
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, NonRecordingSpan, NoOpTracer, Span, SpanKind, Tracer

from telemetry._base.decorators import CallBlock, decorated
from telemetry._sdk.context import attach, current_context, detach
from telemetry.instruments.bound import BoundHistogram, units_per_second
from telemetry.instruments.instrument import Histogram
from telemetry.tracing.span import SpanScope, span_reference_of

__all__ = ["RequestTimer"]

P = ParamSpec("P")
R = TypeVar("R")
_STATUS = "status"


class _Prepared:
    """What all timers of one label set share: the attributes of the span, and a bound series for each way to end."""

    __slots__ = ("attributes", "error", "histogram", "name", "runtime", "success", "units_per_second")

    def __init__(self, histogram: Histogram, labels: dict[str, object]) -> None:
        self.histogram = histogram
        self.runtime = histogram.runtime
        self.name = histogram.metric.name
        self.units_per_second = units_per_second(histogram.metric)
        if _STATUS in histogram.metric.keys:
            self.success: BoundHistogram = histogram.labels(**labels, **{_STATUS: "success"})
            self.error: BoundHistogram = histogram.labels(**labels, **{_STATUS: "error"})
        else:
            self.success = self.error = histogram.labels(**labels)
        # The span starts with these attributes; a failure changes the status.
        self.attributes = {**self.success.attributes, _STATUS: "success"}


class RequestTimer(CallBlock):
    """Times one block, sync or async, in a span that carries the histogram's labels.

    The span gets a ``status`` of ``error`` when an exception (a cancellation included) leaves the block and of ``success``
    otherwise; the histogram gets it where it has that label. The duration is recorded in the metric's unit (s, ms, us,
    ns, min, h or d) while the span is current.

    A timer times one block; as a decorator it times each call by itself: functions and generators, sync and async.

    Args:
        histogram: The histogram to record in.
        span_name: Name of the span; by default the metric's name.
        span_kind: Kind of the span.
        tracer: Opens the span; by default the telemetry's tracer.
        clock: Reads the time in seconds; by default the telemetry's clock.
        **labels: The histogram's labels, without ``status``.

    Raises:
        TypeError: ``status`` is given.
        ValueError: The metric's unit is no unit of time.
        LabelError: A label is missing, unknown or outside its domain, and the telemetry is strict.
    """

    __slots__ = ("_clock", "_entered", "_kind", "_name", "_prepared", "_scope", "_span", "_start", "_token", "_tracer")

    _start: float

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
        try:
            prepared: _Prepared | None = histogram.timers.get((*labels, *labels.values()))
        except TypeError:  # a value that cannot be hashed
            prepared = None
        if prepared is None or prepared.runtime is not histogram.runtime:
            prepared = _prepare(histogram, labels)
        self._prepared = prepared
        self._name = span_name or prepared.name
        self._kind = span_kind
        self._tracer = tracer or prepared.runtime.tracer
        self._clock = clock or prepared.runtime.clock
        self._entered = False
        # Most blocks need no scope, which is made of span and token: they succeed, and nothing asks for it.
        self._scope: SpanScope | None = None
        self._span: Span | None = None
        self._token: Token[Context] | None = None

    @property
    def scope(self) -> SpanScope | None:
        """The block's span once it runs; None without tracing."""
        return self._scope if self._span is None else self._scope_of(self._span)

    def _scope_of(self, span: Span) -> SpanScope:
        """Makes the scope of the block's span, which ends it from now on."""
        prepared = self._prepared
        self._scope = scope = SpanScope(span, prepared.attributes, prepared.error.record_failure, self._token)
        self._span = self._token = None
        return scope

    def __enter__(self) -> Self:
        if self._entered:
            raise RuntimeError("A RequestTimer times one block: make a new one for each block, or use it as a decorator.")
        self._entered = True
        tracer = self._tracer
        if type(tracer) is not NoOpTracer:
            try:
                context = current_context()
                self._span = span = tracer.start_span(self._name, context, self._kind, self._prepared.attributes)
                self._token = attach(span, context)
            except Exception as error:  # of a span processor or sampler
                self._span = INVALID_SPAN
                self._prepared.error.record_failure(error)
        self._start = self._clock()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        prepared = self._prepared
        amount = (self._clock() - self._start) * prepared.units_per_second
        series = prepared.success if error is None else prepared.error
        span = self._span
        if span is None:
            if self._scope is None:
                series.record_with_exemplar(amount, None)
            else:
                self._close(self._scope, series, amount, error)
        elif type(span) is NonRecordingSpan:  # no exemplar names it, and it need not be ended
            if prepared.histogram.source.needs_filter:
                series.observe(amount)
            else:
                series.record_with_exemplar(amount, None)
            detach(self._token)
        elif error is None:
            self._succeed(span, series, amount)
        else:
            self._close(self._scope_of(span), series, amount, error)

    def _succeed(self, span: Span, series: BoundHistogram, amount: float) -> None:
        """Does what ``_close`` does, without a scope."""
        prepared = self._prepared
        source = prepared.histogram.source
        if source.needs_filter:
            series.observe(amount)
        else:
            reference = span_reference_of(span, prepared.attributes, 0) if source.takes_sampled else None
            series.record_with_exemplar(amount, reference)
        try:
            detach(self._token)
            span.end()
        except Exception as failure:  # of a span processor or exporter
            prepared.error.record_failure(failure)

    def _close(self, scope: SpanScope, series: BoundHistogram, amount: float, error: BaseException | None) -> None:
        """Records while the span is current, and ends it."""
        if error is not None:
            scope.label({_STATUS: "error"}, type(error).__qualname__)
        source = series.source
        if source.needs_filter:
            series.observe(amount)
        else:
            series.record_with_exemplar(amount, scope.span_reference(source.takes_sampled, room=0))
        scope.close()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorates a function so that each call is timed, a generator from its first step to its end."""
        return decorated(function, self._copy)

    def pause(self) -> None:
        """Makes the span current that was before the block's, while a generator's consumer has an item."""
        scope = self.scope
        if scope is not None:
            scope.leave()

    def resume(self) -> None:
        """Makes the block's span current again."""
        scope = self.scope
        if scope is not None:
            scope.enter()

    def _copy(self) -> RequestTimer:
        """Returns a timer like this one that has not been used."""
        new = RequestTimer.__new__(RequestTimer)
        new._prepared = self._prepared
        new._name = self._name
        new._kind = self._kind
        new._tracer = self._tracer
        new._clock = self._clock
        new._entered = False
        new._scope = new._span = new._token = None
        return new


def _prepare(histogram: Histogram, labels: dict[str, object]) -> _Prepared:
    if _STATUS in labels:
        raise TypeError(f"RequestTimer({histogram.metric.prometheus_name}): status is set by the timer, do not give it")
    prepared = _Prepared(histogram, labels)
    try:
        # Values that became "other" or "invalid" are not bounded as keys.
        if all(prepared.attributes.get(key) == value for key, value in labels.items()):
            histogram.timers[*labels, *labels.values()] = prepared
    except TypeError:  # a value that cannot be hashed
        pass
    return prepared
