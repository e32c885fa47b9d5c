"""Numbers that are kept here and read when collected: levels that are set, and sums that are exact."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from threading import Lock
from typing import TYPE_CHECKING

from telemetry._base.fork import in_child
from telemetry.metric.definition import Metric

if TYPE_CHECKING:
    from telemetry.pipeline.telemetry import Telemetry

__all__ = ["Kept"]


class Kept:
    """The numbers of an observable metric, one a series, as ``Decimal``. Each becomes a float once: when it is read."""

    def __init__(self, telemetry: Telemetry, metric: Metric) -> None:
        self._bound = telemetry.domains.bound_values
        self._metric = metric
        self._lock = Lock()
        self._numbers: dict[tuple[str, ...], Decimal] = {}
        telemetry[metric].watch(self._read)
        in_child(self._start_anew)

    def _start_anew(self) -> None:
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
