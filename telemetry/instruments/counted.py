"""Handles of label sets that were wrong or over a limit: each measurement that they keep is counted as trouble, too."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from opentelemetry.context import Context

from telemetry._base.diagnostics import Trouble
from telemetry.instruments.bound import BoundCounter, BoundGauge, BoundHistogram, Handle
from telemetry.metric.label_values import Troubles

__all__ = ["Counted", "CountedCounter", "CountedGauge", "CountedHandle", "CountedHistogram"]


class Counted(Handle):
    """What the kinds share. The tallies are found once: in a flood of labels every measurement comes here."""

    _count: tuple[Callable[[], int], ...]

    def count_in(self, trouble: Trouble, troubles: Troubles) -> None:
        """Count each measurement from now on under these keys of ``trouble``."""
        self._count = tuple([trouble.tally(key).one for key in troubles])

    def put(self, value: float, ids: bytes | None) -> None:
        """See ``Handle.put``."""
        Handle.put(self, value, ids)
        if self._keeps(value):
            for one in self._count:
                one()

    def record_in(self, value: float, context: Context) -> None:
        """See ``Handle.record_in``."""
        Handle.record_in(self, value, context)
        if self._keeps(value):
            for one in self._count:
                one()

    def _record(self, value: float) -> None:
        Handle._record(self, value)
        if self._keeps(value):
            for one in self._count:
                one()

    def _keeps(self, value: float) -> bool:
        """What is refused is kept nowhere, and so counted as that only."""
        try:
            return self._least <= value < inf
        except TypeError:  # no number
            return False


class CountedHandle(Counted):
    """Of an instrument without words of its own."""


class CountedCounter(Counted, BoundCounter):
    """Of a counter."""


class CountedGauge(Counted, BoundGauge):
    """Of an up-down counter."""


class CountedHistogram(Counted, BoundHistogram):
    """Of a histogram."""
