"""Instruments whose values are read when the reader collects: facts of an info, callbacks, and values kept here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from threading import Lock
from typing import Any

from telemetry._base.fork import register_after_fork
from telemetry.instruments.bound import BoundInstrument
from telemetry.instruments.instrument import Instrument, Runtime
from telemetry.metric.definition import Metric
from telemetry.metric.label import INVALID
from telemetry.metric.label_values import text_of

__all__ = ["Info", "ObservableCallback", "ObservableValues", "Observed"]

ObservableCallback = Callable[[], Mapping[tuple[str, ...], float]]
"""Returns value by label values in key order; called at each collect."""


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


class Observed(Instrument[BoundInstrument]):
    """Values that callbacks return at each collect."""

    _bound_class = BoundInstrument

    def __init__(self, metric: Metric, otel: Any, runtime: Runtime, callbacks: list[ObservableCallback]) -> None:
        super().__init__(metric, otel, runtime)
        self._callbacks = callbacks

    def watch(self, callback: ObservableCallback) -> None:
        """Adds a callback that returns values of this metric."""
        self._callbacks.append(callback)


class ObservableValues:
    """Values of an observable metric that are set or added to here, and read at each collect.

    A value is a ``Decimal`` and becomes a float only when it is read, so that sums are exact.

    Args:
        instrument: The observable instrument that shows the values.
    """

    def __init__(self, instrument: Observed) -> None:
        self._domains = instrument.runtime.domains
        self._metric = instrument.metric
        self._lock = Lock()
        self._values: dict[tuple[str, ...], Decimal] = {}
        instrument.watch(self._read)
        register_after_fork(self._reset_after_fork)

    def _reset_after_fork(self) -> None:
        """A forked child keeps its parent's levels, and starts its own sums."""
        self._lock = Lock()
        if self._metric.is_counter:
            self._values = {}

    def set(self, value: int, *label_values: str) -> None:
        """Sets the series of these label values, in key order, to ``value``."""
        series = self._domains.admit_values(self._metric, label_values)
        with self._lock:
            self._values[series] = Decimal(value)

    def add(self, value: Decimal | int, *label_values: str) -> None:
        """Adds ``value`` to the series of these label values, in key order."""
        series = self._domains.admit_values(self._metric, label_values)
        with self._lock:
            self._values[series] = self._values.get(series, Decimal(0)) + value

    def _read(self) -> Mapping[tuple[str, ...], float]:
        with self._lock:
            return {series: float(value) for series, value in self._values.items()}
