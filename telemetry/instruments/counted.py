"""Handles of label sets that were wrong or over a limit: each measurement that they keep is counted as trouble, too."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from opentelemetry.context import Context

from telemetry._base.diagnostics import Diagnostics
from telemetry.instruments.bound import BoundCounter, BoundGauge, BoundHistogram, BoundInstrument
from telemetry.metric.label_values import LabelProblems

__all__ = [
    "OverflowCounting",
    "OverflowCountingCounter",
    "OverflowCountingGauge",
    "OverflowCountingHistogram",
    "OverflowCountingInstrument",
]


class OverflowCounting(BoundInstrument):
    """What the kinds share. The tallies are found once: in a flood of labels every measurement comes here."""

    _count: tuple[Callable[[], int], ...]

    def count_problems_in(self, diagnostics: Diagnostics, problems: LabelProblems) -> None:
        """Count each measurement from now on under these keys of ``diagnostics``."""
        self._count = tuple([diagnostics.counter_of(key).increment for key in problems])

    def record_with_exemplar(self, value: float, reference: bytes | None) -> None:
        """See ``BoundInstrument.record_with_exemplar``."""
        BoundInstrument.record_with_exemplar(self, value, reference)
        if self._keeps(value):
            for one in self._count:
                one()

    def record_in(self, value: float, context: Context) -> None:
        """See ``BoundInstrument.record_in``."""
        BoundInstrument.record_in(self, value, context)
        if self._keeps(value):
            for one in self._count:
                one()

    def _record(self, value: float) -> None:
        BoundInstrument._record(self, value)
        if self._keeps(value):
            for one in self._count:
                one()

    def _keeps(self, value: float) -> bool:
        """What is refused is kept nowhere, and so counted as that only."""
        try:
            return self._minimum <= value < inf
        except TypeError:  # no number
            return False


class OverflowCountingInstrument(OverflowCounting):
    """Of an instrument without words of its own."""


class OverflowCountingCounter(OverflowCounting, BoundCounter):
    """Of a counter."""


class OverflowCountingGauge(OverflowCounting, BoundGauge):
    """Of an up-down counter."""


class OverflowCountingHistogram(OverflowCounting, BoundHistogram):
    """Of a histogram."""
