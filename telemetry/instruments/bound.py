"""Bound series: one label set of one instrument, recorded in prometheus_client's words at the price of the aggregation.

A bound series finds the SDK's aggregations once and feeds them directly while readers, Views and meter stay the same.
Otherwise it calls ``record()`` or ``add()`` of the OpenTelemetry instrument, with equal results (``_sdk/aggregation.py``
lists the cases). A series that stands for label values that were wrong or over a limit also counts each measurement.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from math import nan
from types import TracebackType
from typing import Any, ParamSpec, Protocol, Self, TypeVar

from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, INVALID_SPAN_CONTEXT, set_span_in_context

from telemetry._base.decorators import CallBlock, decorated
from telemetry._base.diagnostics import Diagnostics
from telemetry._base.reentry import alone, defer, deferred, run_deferred
from telemetry._sdk.aggregation import Aggregations, Feed, InstrumentSource, feed_all, feed_of, feed_sum, observe
from telemetry._sdk.context import current_context, sampled_span
from telemetry._sdk.reservoir import pack_span_reference
from telemetry._sdk.resetting import ResettingSeries
from telemetry.instruments.number import INT64, LARGEST, LARGEST_ADDEND, addend, finite_number
from telemetry.metric.definition import Metric
from telemetry.metric.label_values import LabelProblems

__all__ = [
    "BoundCounter",
    "BoundGauge",
    "BoundHistogram",
    "BoundInstrument",
    "ExceptionCounter",
    "InprogressTracker",
    "OverflowCounting",
    "OverflowCountingCounter",
    "OverflowCountingGauge",
    "OverflowCountingHistogram",
    "OverflowCountingInstrument",
    "Owner",
    "Timer",
    "units_per_second",
]

P = ParamSpec("P")
R = TypeVar("R")
_NO_SPAN = set_span_in_context(INVALID_SPAN, Context())
"""For a measurement without an exemplar. Where a context is empty, ``record()`` takes the current one."""
_UNITS_PER_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9, "min": 1 / 60, "h": 1 / 3600, "d": 1 / 86400}  # UCUM's codes
_NUMBER_TYPES = frozenset({int, float})
_UNBOUND = (object(), None, feed_sum)
_UNKNOWN = (object(), None)


class InprogressGauge(Protocol):
    """What ``InprogressTracker`` needs of a gauge's series."""

    def inc(self, amount: float = 1) -> None: ...
    def dec(self, amount: float = 1) -> None: ...


class Owner(Protocol):
    """What a bound series needs of the instrument that it belongs to."""

    metric: Metric
    source: InstrumentSource

    @property
    def clock(self) -> Callable[[], float]:
        """Reads the time in seconds, for ``BoundHistogram.time``."""

    def refuse(self, reason: str, what: object) -> None:
        """Counts and logs a measurement that was not recorded."""

    def rebind(self, values: tuple[str, ...]) -> tuple[str, ...]:
        """Returns the label values that a series binds to, given those it had."""


def units_per_second(metric: Metric) -> float:
    """Returns how many of a metric's unit a second is.

    Raises:
        ValueError: The unit is no unit of time.
    """
    try:
        return _UNITS_PER_SECOND[metric.unit]
    except KeyError:
        allowed = ", ".join(_UNITS_PER_SECOND)
        raise ValueError(f"{metric.name} has the unit {metric.unit!r}: a timer needs one of {allowed}") from None


class BoundInstrument:
    """One series of an instrument. Recording never raises into the measured code.

    Args:
        owner: The instrument that the series belongs to.
        values: The bounded label values, in the metric's key order.
    """

    __slots__ = ("_below", "_bound", "_from", "_locks", "_owner", "values")

    _minimum: float = 0.0
    """The least measurement."""
    _plain: tuple[float, float] = (0.0, LARGEST_ADDEND)
    """Numbers from the first on and below the second are fed as they are; the others are looked at before."""

    def __init__(self, owner: Owner, values: tuple[str, ...]) -> None:
        self._owner = owner
        self.values = values
        # An instance's slots are read faster than a class's attributes.
        self._from, self._below = self._plain
        # The set of readers, its aggregations and what feeds them: one object, so that no thread sees half of a change.
        self._bound: tuple[object, Aggregations | None, Feed] = _UNBOUND
        self._locks: tuple[object, Any] = _UNKNOWN

    @property
    def source(self) -> InstrumentSource:
        """The SDK instrument that the series is recorded by."""
        return self._owner.source

    def matches(self, attributes: Mapping[str, object]) -> bool:
        """Returns whether a span with these attributes carries all of the series' labels, with the same values."""
        values = self.values
        for index, key in enumerate(self._owner.metric.keys):
            if attributes.get(key) != values[index] and self._owner.metric.labels[index].on_span:
                return False
        return True

    @property
    def attributes(self) -> dict[str, str]:
        """The series' labels as OpenTelemetry attributes."""
        return self._owner.metric.attributes(self.values)

    def record_with_exemplar(self, value: float, reference: bytes | None) -> None:
        """Records a measurement whose exemplar the caller has decided.

        Args:
            value: The measurement, in the metric's unit.
            reference: The sampled span to name (``pack_span_reference``); None for no exemplar.
        """
        try:
            seen, aggregations, feed = self._bound
            kind = value.__class__
            if (
                aggregations is None
                or (kind is not float and kind is not int)
                or not self._owner.source.is_current(seen)
                or not self._from <= value < self._below
            ):
                self._record_slow(value, None if reference is not None else _NO_SPAN)
                return
            feed_all(aggregations, feed, value, reference)
        except Exception as error:
            self.record_failure(error)

    def _record(self, value: float) -> None:
        """Records a measurement; the provider's exemplar filter decides about the exemplar."""
        try:
            source = self._owner.source
            seen, aggregations, feed = self._bound
            kind = value.__class__
            if (
                aggregations is None
                or (kind is not float and kind is not int)
                or not source.is_current(seen)
                or not self._from <= value < self._below
            ):
                self._record_slow(value, None)
                return
            context = current_context()
            reference = self._sample(value, context) if context or not source.trace_based else None
            feed_all(aggregations, feed, value, reference, context)
        except Exception as error:
            self.record_failure(error)

    def record_in_context(self, value: float, context: Context) -> None:
        """Records a measurement through the SDK, with the exemplar of ``context``."""
        try:
            self._record_slow(value, context)
        except Exception as error:
            self.record_failure(error)

    def _sample(self, value: float, context: Context) -> bytes | None:
        """Returns the reference of the current span where the exemplar filter takes the measurement."""
        source = self._owner.source
        span = sampled_span(context)
        if source.trace_based and span is None:
            return None
        now = time.time_ns()
        if not source.trace_based and not source.wants_exemplar(value, now, self.attributes, context):
            return None
        return pack_span_reference(now, INVALID_SPAN_CONTEXT if span is None else span.get_span_context())

    def _record_slow(self, value: float, context: Context | None) -> None:
        """Checks the value, then binds the series or records through the SDK."""
        number = value
        if value.__class__ not in _NUMBER_TYPES or not self._from <= value < self._below:
            finite = finite_number(value)
            if finite is None or finite < self._minimum:
                self._owner.refuse("not_finite" if finite is None else "negative", value)
                return
            number = finite
        if not alone(self._is_busy, self._record_checked, number, context):
            defer(partial(self._record_deferred, number, current_context() if context is None else context))
        elif deferred:
            run_deferred()

    def _record_deferred(self, number: float, context: Context) -> bool:
        """Records a checked number that found a lock taken; returns False where it still is."""
        try:
            return alone(self._is_busy, self._record_checked, number, context, looks=1)
        except Exception as error:
            self.record_failure(error)
            return True

    def _record_checked(self, number: float, context: Context | None) -> None:
        """Binds the series, and records a checked number; through the SDK where its aggregations cannot be fed."""
        source = self._owner.source
        seen, aggregations, feed = self._bound
        if not source.is_current(seen):
            seen, aggregations, feed = self._bind(source)
            if not source.is_current(seen):  # the meter is off, or readers change
                aggregations = None
        if aggregations is None or not (context is None or context is _NO_SPAN):
            self._record_via_sdk(addend(number), context)
            return
        if self._below == LARGEST_ADDEND:
            number = addend(number)
        reference = None
        if context is None:
            context = current_context()
            if context or not source.trace_based:
                reference = self._sample(number, context)
        feed_all(aggregations, feed, number, reference, context)

    def _is_busy(self) -> bool:
        """Returns whether a lock of the SDK that the series needs is taken, maybe by this thread."""
        source = self._owner.source
        storages = source.storages
        seen, locks = self._locks
        if seen is not storages:
            locks, complete = source.locks(self.attributes)
            if complete:
                self._locks = (storages, locks)
        return any(locked() for locked in locks)

    def _bind(self, source: InstrumentSource) -> tuple[object, Aggregations | None, Feed]:
        self.values = self._owner.rebind(self.values)
        seen = source.storages  # before the aggregations: if readers change meanwhile, the binding is out of date at once
        aggregations = source.aggregations(self.attributes)
        self._bound = bound = (seen, aggregations, feed_of(aggregations or ()))
        return bound

    def start(self) -> None:
        """Makes the series exist at 0, so that ``rate`` sees its first event."""
        BoundInstrument.record_with_exemplar(self, 0, None)

    def _record_via_sdk(self, value: float, context: Context | None) -> None:
        self._owner.source.instrument.add(value, self.attributes, context)

    def record_failure(self, error: Exception) -> None:
        """Counts and logs a measurement that was lost because recording failed."""
        self._owner.refuse("failed", error)


class BoundCounter(BoundInstrument):
    """One series of a counter."""

    __slots__ = ()

    def inc(self, amount: float = 1, exemplar: object = None) -> None:
        """Adds to the counter.

        Args:
            amount: What to add, finite and not negative; other values are counted as dropped.
            exemplar: Accepted for prometheus_client's signature and ignored: exemplars come from the current span.
        """
        self._record(amount)

    def count_exceptions(
        self, exception: type[BaseException] | tuple[type[BaseException], ...] = Exception
    ) -> ExceptionCounter:
        """Returns a context manager and decorator that adds 1 when an ``exception`` leaves the block; it is raised unchanged.

        Raises:
            TypeError: ``exception`` is neither an exception class nor a tuple of them.
        """
        return ExceptionCounter(self, exception)


class BoundGauge(BoundInstrument):
    """One series of an up-down counter."""

    __slots__ = ()
    _minimum = -LARGEST
    _plain = (-LARGEST_ADDEND, LARGEST_ADDEND)

    def inc(self, amount: float = 1) -> None:
        """Adds ``amount``, which is finite."""
        self._record(amount)

    def dec(self, amount: float = 1) -> None:
        """Subtracts ``amount``, which is finite."""
        try:
            number = amount if amount.__class__ in _NUMBER_TYPES else finite_number(amount)
        except Exception as error:
            self.record_failure(error)
            return
        self._record(nan if number is None else -number)

    def set(self, value: float) -> None:
        """Not supported by an up-down counter.

        Raises:
            TypeError: Always.
        """
        raise TypeError(
            f"{self._owner.metric.prometheus_name} is an up-down counter: it is the sum of what was added, "
            "so that it can be summed over workers; use inc() and dec(), or define it with gauge() to set it"
        )

    def track_inprogress(self) -> InprogressTracker:
        """Returns a context manager and decorator: plus 1 at the start, minus 1 at the end, also after an exception."""
        return InprogressTracker(self)


class BoundHistogram(BoundInstrument):
    """One series of a histogram."""

    __slots__ = ()
    _plain = (0.0, float(INT64))  # the sum is a double in every format

    observe = observe  # feeds the SDK's aggregation itself, so it is in telemetry/_sdk

    def time(self) -> Timer:
        """Returns a context manager and decorator that observes how long the block takes, in the metric's unit.

        It opens no span; ``telemetry.RequestTimer`` does.

        Raises:
            ValueError: The metric's unit is no unit of time.
        """
        return Timer(self, self._owner.clock, units_per_second(self._owner.metric))

    def start(self) -> None:
        """Makes the series exist without an observation, where the SDK's aggregations can be fed directly."""
        if not self._bind_if_free():
            try:
                defer(self._bind_if_free)
            except Exception as error:
                self.record_failure(error)

    def _bind_if_free(self) -> bool:
        try:
            return alone(self._is_busy, self._bind_now)
        except Exception as error:
            self.record_failure(error)
            return True

    def _bind_now(self) -> None:
        self._bind(self._owner.source)

    def aggregations(self) -> Aggregations | None:
        """Returns the SDK's aggregations of this series; None where only ``record()`` reaches them."""
        found = self._owner.source.aggregations(self.attributes)
        return None if found and any(isinstance(each, ResettingSeries) for each in found) else found

    def _record_via_sdk(self, value: float, context: Context | None) -> None:
        self._owner.source.instrument.record(value, self.attributes, context)


class InprogressTracker(CallBlock):
    """Counts the blocks that are running, which may overlap; see ``BoundGauge.track_inprogress``."""

    def __init__(self, gauge: InprogressGauge) -> None:
        self._gauge = gauge

    def __enter__(self) -> Self:
        self._gauge.inc()
        return self

    def __exit__(self, *_: object) -> None:
        self._gauge.dec()

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorates a function or generator, sync or async, so that its calls are counted while they run."""
        return decorated(function, lambda: self)


class ExceptionCounter(CallBlock):
    """Counts exceptions that leave blocks, which may overlap; see ``BoundCounter.count_exceptions``."""

    def __init__(self, counter: BoundCounter, exception: type[BaseException] | tuple[type[BaseException], ...]) -> None:
        issubclass(Exception, exception)  # raises TypeError here, where the mistake is, and not when an exception comes
        self._counter = counter
        self._exception = exception

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if isinstance(error, self._exception):
            self._counter.inc()

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorates a function or generator, sync or async, so that the exceptions of its calls are counted."""
        return decorated(function, lambda: self)


class Timer(CallBlock):
    """Observes how long a block takes; see ``BoundHistogram.time``.

    A timer times one block after the other. As a decorator it times each call by itself.
    """

    def __init__(self, histogram: BoundHistogram, clock: Callable[[], float], units_per_second: float) -> None:
        self._histogram = histogram
        self._clock = clock
        self._units_per_second = units_per_second
        self._running = False

    def __enter__(self) -> Self:
        """Starts the timer.

        Raises:
            RuntimeError: It runs already: its exit could not tell the two blocks apart.
        """
        if self._running:
            raise RuntimeError("This timer runs already: make a new one with time() for each block, or use it as a decorator.")
        self._running = True
        self._start = self._clock()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        amount = (self._clock() - self._start) * self._units_per_second
        self._running = False
        self._histogram.observe(amount)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorates a function or generator, sync or async, so that each call is timed."""
        return decorated(function, lambda: Timer(self._histogram, self._clock, self._units_per_second))


class OverflowCounting(BoundInstrument):
    """Series of label values that were wrong or over a limit: each measurement is counted in the diagnostics as well.

    The counts are looked up once: in a flood of labels every measurement comes here.
    """

    _increments: tuple[Callable[[], int], ...]

    def count_problems_in(self, diagnostics: Diagnostics, problems: LabelProblems) -> None:
        """Counts each measurement from now on under these keys of ``diagnostics``."""
        self._increments = tuple([diagnostics.counter_of(key).increment for key in problems])

    def record_with_exemplar(self, value: float, reference: bytes | None) -> None:
        """See ``BoundInstrument.record_with_exemplar``."""
        BoundInstrument.record_with_exemplar(self, value, reference)
        if self._accepts(value):
            for increment in self._increments:
                increment()

    def record_in_context(self, value: float, context: Context) -> None:
        """See ``BoundInstrument.record_in_context``."""
        BoundInstrument.record_in_context(self, value, context)
        if self._accepts(value):
            for increment in self._increments:
                increment()

    def _record(self, value: float) -> None:
        BoundInstrument._record(self, value)
        if self._accepts(value):
            for increment in self._increments:
                increment()

    def _accepts(self, value: float) -> bool:
        """Returns whether the value is recorded: a refused one is counted as dropped only."""
        try:
            if value.__class__ in _NUMBER_TYPES and self._from <= value < self._below:
                return True
            number = finite_number(value)
        except Exception:  # not a number
            return False
        return number is not None and number >= self._minimum


class OverflowCountingInstrument(OverflowCounting):
    """Series of a kind that adds no methods."""


class OverflowCountingCounter(OverflowCounting, BoundCounter):
    """Series of a counter."""


class OverflowCountingGauge(OverflowCounting, BoundGauge):
    """Series of an up-down counter."""


class OverflowCountingHistogram(OverflowCounting, BoundHistogram):
    """Series of a histogram."""

    def observe(self, amount: float, exemplar: object = None) -> None:
        """See ``BoundHistogram.observe``."""
        self._record(amount)
