"""Instruments of a catalogue: OpenTelemetry's ``record`` and ``add`` beside prometheus_client's ``labels``."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from opentelemetry.context import Context
from opentelemetry.trace import Tracer

from telemetry._base.diagnostics import Diagnostics
from telemetry._base.printable import printable
from telemetry._sdk.aggregation import source_of
from telemetry.instruments.bound import (
    BoundCounter,
    BoundGauge,
    BoundHistogram,
    BoundInstrument,
    ExceptionCounter,
    InprogressTracker,
    OverflowCounting,
    OverflowCountingCounter,
    OverflowCountingGauge,
    OverflowCountingHistogram,
    OverflowCountingInstrument,
    Timer,
)
from telemetry.metric import telemetry_metrics
from telemetry.metric.definition import Metric
from telemetry.metric.label_values import Domains, LabelProblems

__all__ = ["Counter", "Histogram", "Instrument", "Runtime", "UpDownCounter", "refuse"]

B = TypeVar("B", bound=BoundInstrument)


class Runtime:
    """What all instruments of one telemetry share.

    Attributes:
        domains: Bounds the label values.
        diagnostics: Counts what is refused or over a limit.
        tracer: Opens the spans of ``RequestTimer``.
        clock: Reads the time in seconds, for durations.
    """

    __slots__ = ("clock", "diagnostics", "domains", "tracer")

    def __init__(
        self, domains: Domains, diagnostics: Diagnostics, tracer: Tracer, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.domains = domains
        self.diagnostics = diagnostics
        self.tracer = tracer
        self.clock = clock


def refuse(metric: Metric, diagnostics: Diagnostics, reason: str, what: object) -> None:
    """Does what ``Instrument.refuse`` does, where there is no instrument yet."""
    name = metric.prometheus_name
    diagnostics.count(telemetry_metrics.DROPPED.name, name, reason)
    diagnostics.log_once((metric.name, reason), "%s: a measurement was refused (%s): %s", name, reason, _Shown(what))


class _Shown:
    """The repr of any object as a log line shows it; made when the line is written, not for each measurement."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __str__(self) -> str:
        try:
            text = repr(self._value)
        except Exception:  # a number of more digits than Python spells out, or an object without a repr
            text = f"a {type(self._value).__name__}"
        return printable(text, 200)


class Instrument(Generic[B]):
    """One metric of the catalogue, ready to record. ``labels()`` returns the bound series of a label set.

    Args:
        metric: The metric's definition.
        otel: The OpenTelemetry instrument that it is recorded by.
        runtime: What it shares with the telemetry's other instruments.
    """

    _bound_class: type[B]
    _overflow_class: type[OverflowCounting] = OverflowCountingInstrument

    def __init__(self, metric: Metric, otel: Any, runtime: Runtime) -> None:
        self.metric = metric
        self.source = source_of(otel)
        self.runtime = runtime
        self._bound: dict[tuple[str, ...], B] = {}
        self._overflowing: dict[tuple[tuple[str, ...], LabelProblems], Any] = {}
        self._retargeted = False

    @property
    def clock(self) -> Callable[[], float]:
        """The runtime's clock, in seconds."""
        return self.runtime.clock

    def labels(self, *values: object, **labels: object) -> B:
        """Returns the bound series of a label set. The same values give the same object.

        Args:
            *values: Label values in the metric's key order.
            **labels: Label values by key, for those that are not given by position.

        Returns:
            The series of the bounded values (``metric.label_values.Domains``). Where a value was wrong or over a limit, the
            returned series also counts each measurement in the diagnostics.

        Raises:
            LabelError: A label is missing, unknown or outside its domain, and the telemetry is strict.
        """
        metric = self.metric
        try:
            raw = values or tuple([labels[key] for key in metric.keys])
            if len(raw) == len(metric.keys) and len(labels) == (0 if values else len(raw)):
                bound = self._bound.get(raw)  # type: ignore[arg-type]  # anything hashable may be looked up
                return bound if bound is not None else self._series(*self.runtime.domains.resolve_values(metric, raw))
        except KeyError:
            pass
        except TypeError:  # a value that cannot be hashed
            return self._series(*self.runtime.domains.resolve_values(metric, raw))
        keys = (*metric.keys, *(f"#{n}" for n in range(len(metric.keys), len(values))))
        return self._series(*self.runtime.domains.resolve(metric, dict(zip(keys, values, strict=False)) | labels))

    def _series(self, values: tuple[str, ...], problems: LabelProblems) -> B:
        bound: Any = self._overflowing.get((values, problems)) if problems else self._bound.get(values)
        if bound is None:
            # No lock: setdefault() is atomic, and a signal handler may come in between.
            bound = self._bound.setdefault(values, self._bound_class(self, values))
            if problems:
                counting = self._overflow_class(self, values)
                runtime = self.runtime
                counting.count_problems_in(runtime.diagnostics, problems)
                bound = self._overflowing.setdefault((values, problems), counting)
                if runtime is not self.runtime:  # retarget() may have come before the series was there
                    bound.count_problems_in(self.runtime.diagnostics, problems)
        return bound  # type: ignore[no-any-return]  # _overflow_class is a subclass of _bound_class

    def series(self) -> list[B]:
        """Returns all bound series so far."""
        return list(self._bound.values())

    def reset_after_fork(self) -> None:
        """Starts the known series at 0 in a forked child."""
        for bound in list(self._bound.values()):
            bound.start()

    def measure(self, value: float, attributes: Mapping[str, object] | None, context: Context | None) -> None:
        """Records as OpenTelemetry's ``add`` and ``record`` do; with a ``context``, through the SDK."""
        bound = self.labels(**attributes or {})
        if context is None:
            bound._record(value)
        else:
            bound.record_in_context(value, context)

    def refuse(self, reason: str, what: object) -> None:
        """Counts a measurement that was not recorded, and logs the first one of each reason.

        Args:
            reason: ``negative``, ``not_finite`` or ``failed``.
            what: The value or the exception, for the log.
        """
        refuse(self.metric, self.runtime.diagnostics, reason, what)

    def retarget(self, to: Instrument[B]) -> None:
        """Makes every bound series of this instrument record into ``to`` from now on."""
        self.runtime = to.runtime
        self._retargeted = True
        self.source = to.source
        for (_, problems), counting in list(self._overflowing.items()):
            counting.count_problems_in(to.runtime.diagnostics, problems)

    def rebind(self, values: tuple[str, ...]) -> tuple[str, ...]:
        """Returns the label values that a series binds to: after ``retarget``, bounded by the other telemetry's domains."""
        if not self._retargeted:
            return values
        return self.runtime.domains.admit(self.metric, dict(zip(self.metric.keys, values, strict=True)))


class Counter(Instrument[BoundCounter]):
    """A monotonic sum."""

    _bound_class = BoundCounter
    _overflow_class = OverflowCountingCounter

    def add(self, amount: float, attributes: Mapping[str, object] | None = None, context: Context | None = None) -> None:
        """Adds ``amount`` to the series of ``attributes``; see ``opentelemetry.metrics.Counter.add``."""
        self.measure(amount, attributes, context)

    def inc(self, amount: float = 1, exemplar: object = None) -> None:
        """Adds to a counter without labels; see ``BoundCounter.inc``."""
        self.labels().inc(amount)

    def count_exceptions(
        self, exception: type[BaseException] | tuple[type[BaseException], ...] = Exception
    ) -> ExceptionCounter:
        """Counts exceptions in a counter without labels; see ``BoundCounter.count_exceptions``."""
        return self.labels().count_exceptions(exception)


class UpDownCounter(Instrument[BoundGauge]):
    """A sum that goes up and down."""

    _bound_class = BoundGauge
    _overflow_class = OverflowCountingGauge

    def add(self, amount: float, attributes: Mapping[str, object] | None = None, context: Context | None = None) -> None:
        """Adds ``amount``, which may be negative; see ``opentelemetry.metrics.UpDownCounter.add``."""
        self.measure(amount, attributes, context)

    def inc(self, amount: float = 1) -> None:
        """Adds to an up-down counter without labels."""
        self.labels().inc(amount)

    def dec(self, amount: float = 1) -> None:
        """Subtracts from an up-down counter without labels."""
        self.labels().dec(amount)

    def set(self, value: float) -> None:
        """Not supported; see ``BoundGauge.set``.

        Raises:
            TypeError: Always.
        """
        BoundGauge(self, ()).set(value)

    def track_inprogress(self) -> InprogressTracker:
        """Tracks blocks in an up-down counter without labels; see ``BoundGauge.track_inprogress``."""
        return self.labels().track_inprogress()


class Histogram(Instrument[BoundHistogram]):
    """A histogram with the catalogue's bounds."""

    _bound_class = BoundHistogram
    _overflow_class = OverflowCountingHistogram

    def __init__(self, metric: Metric, otel: Any, runtime: Runtime) -> None:
        super().__init__(metric, otel, runtime)
        self.timers: dict[tuple[object, ...], Any] = {}
        """What ``RequestTimer`` prepares once for each label set; as bounded as the labels."""

    def record(self, amount: float, attributes: Mapping[str, object] | None = None, context: Context | None = None) -> None:
        """Records ``amount`` in the series of ``attributes``; see ``opentelemetry.metrics.Histogram.record``."""
        self.measure(amount, attributes, context)

    def observe(self, amount: float, exemplar: object = None) -> None:
        """Records in a histogram without labels; see ``BoundHistogram.observe``."""
        self.labels().observe(amount)

    def time(self) -> Timer:
        """Times blocks in a histogram without labels; see ``BoundHistogram.time``."""
        return self.labels().time()
