"""Gauges that are set: the values are kept here and read at each collect.

The metric's OpenTelemetry instrument is an observable gauge, so that values that are set and functions that are read when the
reader collects are series of one stream. A synchronous gauge of the SDK cannot read a function. The price: Views and readers
see an observable gauge, and the series have no exemplars.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Observation

from telemetry._base.reentry import Serial
from telemetry.instruments.bound import BoundInstrument, InprogressTracker, OverflowCounting
from telemetry.instruments.instrument import Instrument
from telemetry.instruments.number import LARGEST, finite_number
from telemetry.metric import telemetry_metrics
from telemetry.metric.definition import MultiprocessMode

__all__ = ["BoundSettableGauge", "Gauge", "Level"]


class Level:
    """The value of one series, which threads share: a number, or a function that returns it.

    Args:
        failed: Called with the error of a change that cannot be made.
    """

    __slots__ = ("_change", "_failed", "_state")

    def __init__(self, failed: Callable[[Exception], None]) -> None:
        self._failed = failed
        self._state: _State = (None, None)
        self._change = Serial(self._apply)

    def set(self, value: float) -> None:
        """Sets the number; a function is no longer read."""
        self._change(lambda _: (value, None))

    def add(self, amount: float) -> None:
        """Adds to the number, which starts at 0. While a function is read, this changes nothing that is shown."""
        self._change(lambda state: (_sum((state[0] or 0.0), amount), state[1]))

    def subtract(self, amount: float) -> None:
        """Subtracts from the number; see ``add``."""
        self.add(-amount)

    def set_function(self, function: Callable[[], float]) -> None:
        """Makes ``function`` the value from now on."""
        self._change(lambda state: (state[0], function))

    def read(self) -> Any:
        """Returns the value; None before the first one. Raises what the function raises."""
        self._change.settle()
        value, function = self._state
        if function is None:
            return value
        found = function()
        if found is None:
            raise TypeError("it returned None")
        return found

    def reset_after_fork(self, *, keep: bool) -> None:
        """Starts anew in a forked child, and forgets the number unless it is to be kept. A function stays."""
        self._change.reset()
        if not keep:
            self._state = (None, self._state[1])

    def _apply(self, change: Callable[[_State], _State]) -> None:
        try:
            self._state = change(self._state)
        except OverflowError as error:
            self._failed(error)


_State = tuple[float | None, Callable[[], float] | None]


def _sum(value: float, amount: float) -> float:
    total = value + amount
    if not -LARGEST <= total <= LARGEST:
        raise OverflowError(f"the value would become {total}")
    return total


class BoundSettableGauge(BoundInstrument):
    """One series of a gauge. It is shown once it has a value."""

    __slots__ = ()
    _minimum = -LARGEST
    _owner: Gauge

    def set(self, value: float) -> None:
        """Sets the series to ``value``, in the metric's unit and finite; other values are counted as dropped."""
        self._change(value, Level.set)

    def inc(self, amount: float = 1) -> None:
        """Adds ``amount``, which is finite. A series without a value starts at 0."""
        self._change(amount, Level.add)

    def dec(self, amount: float = 1) -> None:
        """Subtracts ``amount``, which is finite."""
        self._change(amount, Level.subtract)

    def set_to_current_time(self) -> None:
        """Sets the series to the Unix time, in seconds."""
        self.set(time.time())

    def set_function(self, function: Callable[[], float]) -> None:
        """Makes ``function`` the series' value: it is called at each collect, until ``set`` gives a number.

        A function that raises is counted as a callback failure, and the series is left out of that scrape. One that hangs
        holds up the other series of the metric, which are then left out too.
        """
        self._owner.level(self.values).set_function(function)

    def track_inprogress(self) -> InprogressTracker:
        """Returns a context manager and decorator: plus 1 at the start, minus 1 at the end, also after an exception."""
        return InprogressTracker(self)

    def start(self) -> None:
        """Makes the series exist: at 0 where it has no value."""
        self._owner.level(self.values).add(0.0)

    def record_with_exemplar(self, value: float, reference: bytes | None) -> None:
        """Sets the series; a gauge keeps no exemplar."""
        self.set(value)

    def record_in_context(self, value: float, context: Context) -> None:
        """Sets the series; a gauge keeps no exemplar."""
        self.set(value)

    def _record(self, value: float) -> None:
        self.set(value)

    def _change(self, value: float, change: Callable[[Level, float], None]) -> bool:
        """Applies a finite number; returns whether it did."""
        try:
            number = finite_number(value)
            if number is None:
                self._owner.refuse("not_finite", value)
                return False
            change(self._owner.level(self.values), float(number))
        except Exception as error:
            self.record_failure(error)
            return False
        return True


class _OverflowCountingSettableGauge(BoundSettableGauge, OverflowCounting):
    """Series of label values that were wrong or over a limit: each change is counted in the diagnostics as well."""

    def _change(self, value: float, change: Callable[[Level, float], None]) -> bool:
        done = super()._change(value, change)
        if done:
            for increment in self._increments:
                increment()
        return done


class Gauge(Instrument[BoundSettableGauge]):
    """A value that is set."""

    _bound_class = BoundSettableGauge
    _overflow_class = _OverflowCountingSettableGauge

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._levels: dict[tuple[str, ...], Level] = {}
        self._successor: Gauge | None = None

    def set(self, amount: float, attributes: Mapping[str, object] | None = None, context: Context | None = None) -> None:
        """Sets the series of ``attributes``; see OpenTelemetry's synchronous gauge. ``context`` is not used: no exemplars."""
        self.labels(**attributes or {}).set(amount)

    def inc(self, amount: float = 1) -> None:
        """Adds to a gauge without labels."""
        self.labels().inc(amount)

    def dec(self, amount: float = 1) -> None:
        """Subtracts from a gauge without labels."""
        self.labels().dec(amount)

    def set_to_current_time(self) -> None:
        """Sets a gauge without labels to the Unix time, in seconds."""
        self.labels().set_to_current_time()

    def set_function(self, function: Callable[[], float]) -> None:
        """Makes ``function`` the value of a gauge without labels; see ``BoundSettableGauge.set_function``."""
        self.labels().set_function(function)

    def track_inprogress(self) -> InprogressTracker:
        """Tracks blocks in a gauge without labels; see ``BoundSettableGauge.track_inprogress``."""
        return self.labels().track_inprogress()

    def level(self, values: tuple[str, ...]) -> Level:
        """Returns the level of a series by its bounded label values, or of the other telemetry's series after ``retarget``."""
        if self._successor is not None:
            return self._successor.level(self.rebind(values))
        found = self._levels.get(values)
        return found if found is not None else self._levels.setdefault(values, Level(self._failed))

    def _failed(self, error: Exception) -> None:
        self.refuse("failed", error)

    def retarget(self, to: Instrument[BoundSettableGauge]) -> None:
        """Makes every series of this gauge one of ``to``, with its value or function where ``to`` has none."""
        super().retarget(to)
        if isinstance(to, Gauge):
            for values, level in list(self._levels.items()):
                to._levels.setdefault(self.rebind(values), level)
            self._successor = to

    def reset_after_fork(self) -> None:
        """Forgets the numbers in a forked child where workers are summed: the parent's would be counted once more.

        Numbers of a gauge that is merged by ``max``, ``min`` or ``first`` are kept, and functions always: they read their own
        process.
        """
        for level in list(self._levels.values()):
            level.reset_after_fork(keep=self.metric.multiprocess_mode is not MultiprocessMode.SUM)

    def observe(self, _: CallbackOptions) -> Iterator[Observation]:
        """Yields every series that has a value."""
        for values, level in list(self._levels.items()):
            try:
                value = level.read()
                number = None if value is None else finite_number(value)
            except Exception as error:
                self._count_failure(error)
                continue
            if number is not None:
                yield Observation(float(number), self.metric.attributes(values))
            elif value is not None:
                self.refuse("not_finite", value)

    def _count_failure(self, error: Exception) -> None:
        name, diagnostics = self.metric.prometheus_name, self.runtime.diagnostics
        diagnostics.count(telemetry_metrics.CALLBACK_FAILURES.name, name, "raised")
        diagnostics.log_once(
            ("callback", name, "raised"),
            "a function of %s raised %s: %s; its series is left out",
            name,
            type(error).__name__,
            error,
        )
