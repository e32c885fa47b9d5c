"""Numbers that are kept here and read when collected: levels that are set, and sums that are exact."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from threading import Lock

from telemetry._base.fork import register_after_fork
from telemetry.instruments.observable import Observed

__all__ = ["ObservableValues"]


class ObservableValues:
    """The numbers of an observable metric, one a series, as ``Decimal``. Each becomes a float once: when it is read."""

    def __init__(self, instrument: Observed) -> None:
        self._bound = instrument.runtime.domains.bound_values
        self._metric = instrument.metric
        self._lock = Lock()
        self._numbers: dict[tuple[str, ...], Decimal] = {}
        instrument.watch(self._read)
        register_after_fork(self._reset_after_fork)

    def _reset_after_fork(self) -> None:
        """A forked child goes on with its parent's levels, but its sums are its own."""
        self._lock = Lock()
        if self._metric.is_counter:
            self._numbers = {}

    def set(self, number: int, *values: str) -> None:
        """Make ``number`` the level of the series of these label values, in key order."""
        series = self._bound(self._metric, values)
        with self._lock:
            self._numbers[series] = Decimal(number)

    def add(self, number: Decimal | int, *values: str) -> None:
        """Add ``number`` to the series of these label values, in key order."""
        series = self._bound(self._metric, values)
        with self._lock:
            self._numbers[series] = self._numbers.get(series, Decimal(0)) + number

    def _read(self) -> Mapping[tuple[str, ...], float]:
        with self._lock:
            return {series: float(number) for series, number in self._numbers.items()}
