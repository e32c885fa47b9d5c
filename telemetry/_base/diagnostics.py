"""Counts of what went wrong in the telemetry itself, and a log that says each thing once.

The counts are plain integers, so that a failure is counted when recording itself has failed. Observable counters of the
pipeline show them on /metrics, and to every other reader, once they are above 0. Nothing here takes a lock, since a signal
handler may count too: each change is one atomic step.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable
from itertools import count

from telemetry._base.fork import register_after_fork

__all__ = ["Diagnostics", "EventCount"]

_LOGGED_LIMIT = 1000


class EventCount:
    """A count that threads share. Callers on a hot path keep ``increment`` instead of looking the count up each time."""

    __slots__ = ("_before", "_count", "increment")

    increment: Callable[[], int]
    """Adds one. A step of ``itertools.count`` is atomic, so that neither threads nor signal handlers need a lock."""

    def __init__(self) -> None:
        self._count = count()
        self._before = 0
        self.increment = self._count.__next__

    @property
    def value(self) -> int:
        """How many were counted."""
        return self._steps() - self._before

    def reset(self) -> None:
        """Starts at 0."""
        self._before = self._steps()

    def _steps(self) -> int:
        return int(repr(self._count)[len("count(") : -1])  # the only look at it that is no step itself


class Diagnostics:
    """Counts by metric name and label values, bounded by the catalogue that both come from; and warnings, each logged once.

    Args:
        logger: Takes the warnings; by default the logger ``telemetry``.
    """

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._logger = logger or logging.getLogger("telemetry")
        self._counts: dict[tuple[str, ...], EventCount] = {}  # by metric name, label values ...
        self._reset()
        register_after_fork(self._reset)

    def _reset(self) -> None:
        self._logged: dict[Hashable, object] = {}
        for each in self._counts.values():
            each.reset()

    def counter_of(self, key: tuple[str, ...]) -> EventCount:
        """The count of a metric, by its OpenTelemetry name and its label values in the metric's order."""
        found = self._counts.get(key)
        return self._counts.setdefault(key, EventCount()) if found is None else found

    def count(self, metric_name: str, *label_values: str) -> None:
        """Adds one to the count of ``metric_name`` (its OpenTelemetry name), label values in the metric's order."""
        self.counter_of((metric_name, *label_values)).increment()

    def log_once(self, key: Hashable, message: str, *args: object) -> None:
        """Logs a warning the first time ``key`` is seen. After a thousand keys nothing new is logged; counts go on."""
        this = object()
        if len(self._logged) < _LOGGED_LIMIT and self._logged.setdefault(key, this) is this:
            self._logger.warning(message, *args)

    def values(self, metric_name: str) -> dict[tuple[str, ...], int]:
        """The counts above 0 of one metric so far, by label values."""
        counts = list(self._counts.items())
        return {key[1:]: value for key, each in counts if key[0] == metric_name and (value := each.value)}
