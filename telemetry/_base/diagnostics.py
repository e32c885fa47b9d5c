"""Counts of what went wrong in the telemetry itself, and a log that says each thing once.

The counts are plain integers, so that a failure is counted when recording itself has failed. Observable counters of the
pipeline show them on /metrics, and to every other reader, once they are above 0.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable
from itertools import count
from threading import Lock

from telemetry._base.fork import register_after_fork

__all__ = ["Diagnostics", "EventCount"]

_LOGGED_LIMIT = 1000


class EventCount:
    """A count that threads share. Callers on a hot path keep ``increment`` instead of looking the count up each time."""

    __slots__ = ("_lock", "_reads", "increment")

    increment: Callable[[], int]
    """Adds one. A step of ``itertools.count`` is atomic, so that it needs no lock; reading does."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._reads = 0
        self.increment = count().__next__

    @property
    def value(self) -> int:
        """How many were counted. Each read is a step as well, and is subtracted again."""
        with self._lock:
            self._reads += 1
            return self.increment() + 1 - self._reads

    def reset(self) -> None:
        """Starts at 0, with a new lock."""
        self._lock = Lock()
        self._reads = self.increment() + 1


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
        self._lock = Lock()
        self._logged: set[Hashable] = set()
        for each in self._counts.values():
            each.reset()

    def counter_of(self, key: tuple[str, ...]) -> EventCount:
        """The count of a metric, by its OpenTelemetry name and its label values in the metric's order."""
        found = self._counts.get(key)
        if found is None:
            with self._lock:
                found = self._counts.setdefault(key, EventCount())
        return found

    def count(self, metric_name: str, *label_values: str) -> None:
        """Adds one to the count of ``metric_name`` (its OpenTelemetry name), label values in the metric's order."""
        self.counter_of((metric_name, *label_values)).increment()

    def log_once(self, key: Hashable, message: str, *args: object) -> None:
        """Logs a warning the first time ``key`` is seen. After a thousand keys nothing new is logged; counts go on."""
        with self._lock:
            if key in self._logged or len(self._logged) >= _LOGGED_LIMIT:
                return
            self._logged.add(key)
        self._logger.warning(message, *args)

    def values(self, metric_name: str) -> dict[tuple[str, ...], int]:
        """The counts above 0 of one metric so far, by label values."""
        with self._lock:
            counts = list(self._counts.items())
        return {key[1:]: value for key, each in counts if key[0] == metric_name and (value := each.value)}
