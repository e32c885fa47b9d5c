"""Instruments whose values are read when the reader collects: facts of an info, and callbacks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from opentelemetry.metrics import CallbackOptions, Observation

from telemetry.instruments.bound import BoundInstrument
from telemetry.instruments.instrument import Instrument, Runtime, refuse
from telemetry.instruments.number import INT64, finite_number
from telemetry.metric.definition import Metric, MultiprocessMode
from telemetry.metric.label import INVALID
from telemetry.metric.label_values import text_of

__all__ = ["Info", "ObservableCallback", "Observed", "ObservedCallbacks"]

ObservableCallback = Callable[[], float | Mapping[Any, float]]
"""Called at each collect. Returns a number for a metric without labels; otherwise numbers by tuples of label values in key
order, or by plain label values where the metric has one label."""

_NO_COUNTS: Callable[[], Mapping[tuple[str, ...], int]] = dict


class Info(Instrument[BoundInstrument]):
    """Facts about the service: one series of value 1, whose labels are the facts."""

    _bound_class = BoundInstrument

    def __init__(self, metric: Metric, otel: Any, runtime: Runtime, facts: dict[str, str]) -> None:
        super().__init__(metric, otel, runtime)
        self._facts = facts

    def info(self, facts: Mapping[str, object]) -> None:
        """Replaces the facts.

        Args:
            facts: One fact for each of the metric's label keys. No limit applies: new facts replace the old ones.

        Raises:
            LabelError: A key is missing or unknown, and the telemetry is strict.
        """
        for problem in self.runtime.domains.check_keys(self.metric, facts):
            self.runtime.diagnostics.counter_of(problem).increment()
        # One update, so that a scrape never sees half of it.
        self._facts.update({key: text_of(facts.get(key)) or INVALID for key in self.metric.keys})

    @property
    def facts(self) -> Mapping[str, str]:
        """The current facts; empty before the first ``info()``."""
        return dict(self._facts)


class ObservedCallbacks:
    """Reads the callbacks of one metric: bounds the label values, and refuses values that the metric cannot have.

    Values that come to one series (``other``, ``invalid``, or the same labels by two callbacks) are added up, for gauges as for
    counters; those of a gauge whose workers are merged by ``max``, ``min`` or ``first`` are merged in the same way.

    Args:
        metric: The metric's definition.
        runtime: Has the label rules and the diagnostics.
        counts: Returns the diagnostics' counts of this metric, which are bounded already.
    """

    def __init__(
        self, metric: Metric, runtime: Runtime, counts: Callable[[], Mapping[tuple[str, ...], int]] = _NO_COUNTS
    ) -> None:
        self._metric = metric
        self._runtime = runtime
        self._counts = counts
        self._callbacks: list[ObservableCallback] = []

    def add(self, callback: ObservableCallback) -> None:
        """Adds a callback."""
        self._callbacks.append(callback)

    def observe(self, _: CallbackOptions) -> Iterator[Observation]:
        """Yields one observation a series.

        Raises:
            Exception: What the first failing callback raised, after the values of the others.
            LabelError: A label value is wrong, and the telemetry is strict.
            TypeError: A callback returned another shape, and the telemetry is strict.
        """
        values: dict[tuple[str, ...], float] = {}
        failure: Exception | None = None
        for callback in tuple(self._callbacks):
            try:
                for labels, number in self._pairs(callback()):
                    self._merge(values, labels, number)
            except Exception as error:
                failure = failure or error
        for series, number in (*self._counts().items(), *values.items()):
            yield Observation(number, self._metric.attributes(series))
        if failure is not None:
            raise failure

    def _pairs(self, returned: Any) -> Iterator[tuple[tuple[object, ...], Any]]:
        """Yields label values and number of each value that a callback returned in an allowed shape."""
        count = len(self._metric.keys)
        if not isinstance(returned, Mapping):
            returned = {(): returned}
        for key, number in returned.items():
            labels = key if isinstance(key, tuple) else (key,)
            if len(labels) != count or not (hasattr(number, "__float__") or hasattr(number, "__index__")):
                self._refuse_shape(returned if labels else number)
            else:
                yield labels, number

    def _merge(self, values: dict[tuple[str, ...], float], labels: tuple[object, ...], number: Any) -> None:
        """Adds a number to its series, or counts it as dropped."""
        try:
            finite = finite_number(number)
        except Exception as error:
            return self._refuse("failed", error)
        if finite is None:
            return self._refuse("not_finite", number)
        number = finite
        if number < 0 and self._metric.is_counter:
            return self._refuse("negative", number)
        series = self._runtime.domains.admit_values(self._metric, labels)
        if series not in values:
            values[series] = number
        elif self._metric.multiprocess_mode is MultiprocessMode.MAX:
            values[series] = max(values[series], number)
        elif self._metric.multiprocess_mode is MultiprocessMode.MIN:
            values[series] = min(values[series], number)
        elif self._metric.multiprocess_mode is MultiprocessMode.SUM:
            total = values[series] + number
            values[series] = total if -INT64 <= total < INT64 else float(total)
        return None

    def _refuse_shape(self, returned: Any) -> None:
        keys = self._metric.keys
        expected = (
            f"a mapping of numbers by {keys[0]}" if len(keys) == 1 else f"a mapping of numbers by tuples ({', '.join(keys)})"
        )
        expected = expected if keys else "a number"
        message = f"a callback returns {expected}, this one returned {returned!r:.100}"
        if self._runtime.domains.strict:
            raise TypeError(f"{self._metric.prometheus_name}: {message}")
        self._refuse("failed", message)

    def _refuse(self, reason: str, what: object) -> None:
        refuse(self._metric, self._runtime.diagnostics, reason, what)


class Observed(Instrument[BoundInstrument]):
    """Values that callbacks return at each collect."""

    _bound_class = BoundInstrument

    def __init__(self, metric: Metric, otel: Any, runtime: Runtime, callbacks: ObservedCallbacks) -> None:
        super().__init__(metric, otel, runtime)
        self._callbacks = callbacks

    def watch(self, callback: ObservableCallback) -> None:
        """Adds a callback that returns values of this metric.

        Label values follow the rules of recorded ones: over a limit they are ``other``, wrong ones ``invalid``; where the
        telemetry is strict, a wrong one is an error of the callback, which is counted and logged. Values that are not finite,
        negative in a counter, or integers of more than 64 bits are counted as dropped.

        Args:
            callback: Returns a number (a metric without labels), or numbers by label value (one label) or by tuple of label
                values.

        Raises:
            TypeError: ``callback`` cannot be called.
        """
        if not callable(callback):
            raise TypeError(
                f"{self.metric.prometheus_name}: watch() takes a function that returns values, not {callback!r:.100}"
            )
        self._callbacks.add(callback)
