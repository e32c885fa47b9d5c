"""Exact sums of decimals: what an observable metric shows that is added to elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from math import isfinite

from telemetry._base.fork import register_after_fork
from telemetry._base.reentry import Serial
from telemetry.instruments.observable import Observed

__all__ = ["EXACT", "ObservableValues"]

EXACT = Context(prec=200, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation])
"""For sums of decimals, whatever the caller's own context rounds to."""


class ObservableValues:
    """Values of an observable metric that are set or added to here, and read at each collect.

    A value is a ``Decimal`` and becomes a float only when it is read, so that sums are exact.

    Args:
        instrument: The observable instrument that shows the values.
    """

    def __init__(self, instrument: Observed) -> None:
        self._domains = instrument.runtime.domains
        self._metric = instrument.metric
        self._instrument = instrument
        self._values: dict[tuple[str, ...], Decimal] = {}
        self._change = Serial(self._apply)
        instrument.watch(self._read)
        register_after_fork(self._reset_after_fork)

    def _reset_after_fork(self) -> None:
        """A forked child keeps its parent's levels, and starts its own sums."""
        self._change.reset()
        if self._metric.is_counter:
            self._values = {}

    def set(self, value: int, *label_values: str) -> None:
        """Sets the series of these label values, in key order, to ``value``."""
        self._change(self._domains.admit_values(self._metric, label_values), lambda _: Decimal(value))

    def add(self, value: Decimal | int, *label_values: str) -> None:
        """Adds ``value`` to the series of these label values, in key order.

        A value that is no exact number, not finite, or negative in a counter is counted as dropped: it would stay in the sum.
        """
        if refused := self._refusal_of(value):
            return self._instrument.refuse(refused, value)
        self._change(self._domains.admit_values(self._metric, label_values), lambda before: EXACT.add(before, value))
        return None

    def _refusal_of(self, value: object) -> str:
        """Returns why a value is not added; empty if it is."""
        if not isinstance(value, Decimal | int):
            return "failed"
        try:
            finite = isfinite(value)  # as the float that is shown
        except (OverflowError, ValueError):  # a large integer, a signalling NaN
            finite = False
        if not finite:
            return "not_finite"
        return "negative" if value < 0 and self._metric.is_counter else ""

    def _apply(self, series: tuple[str, ...], change: Callable[[Decimal], Decimal]) -> None:
        self._values[series] = change(self._values.get(series, Decimal(0)))

    def _read(self) -> Mapping[tuple[str, ...], float]:
        self._change.settle()
        return {series: float(value) for series, value in list(self._values.items())}
