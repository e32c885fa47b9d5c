"""Counters of what went wrong in the telemetry itself, and a log that says each thing once.

The counters are plain integers: counting trouble must work when recording does not. ``pipeline.py`` puts them on /metrics
(and into every other reader) through observable counters, as soon as they are above 0.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable
from threading import Lock

from telemetry.forks import in_child

__all__ = ["Trouble"]

_LOG_KEYS = 1000


class Trouble:
    """Counts by catalogue row and label values. Label values come from the catalogue, so the counters are bounded by it."""

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._logger = logger or logging.getLogger("telemetry")
        self._reset()
        in_child(self._reset)

    def _reset(self) -> None:
        self._lock = Lock()
        self._counts: dict[tuple[str, ...], int] = {}  # (row, label values ...) -> count
        self._logged: set[Hashable] = set()

    def count(self, metric_name: str, *label_values: str, amount: int = 1) -> None:
        """Add to the counter of the catalogue row ``metric_name`` (its OpenTelemetry name), labels in the row's order."""
        with self._lock:
            key = (metric_name, *label_values)
            self._counts[key] = self._counts.get(key, 0) + amount

    def bump(self, key: tuple[str, ...]) -> None:
        """``count`` by 1 for a caller that keeps ``(metric_name, *label_values)`` ready."""
        with self._lock:
            self._counts[key] = self._counts.get(key, 0) + 1

    def log_once(self, key: Hashable, message: str, *args: object) -> None:
        """Log a warning the first time ``key`` is seen. After a thousand keys nothing new is logged: counters go on."""
        with self._lock:
            if key in self._logged or len(self._logged) >= _LOG_KEYS:
                return
            self._logged.add(key)
        self._logger.warning(message, *args)

    def values(self, metric_name: str) -> dict[tuple[str, ...], int]:
        """The counts of one row so far, by label values."""
        with self._lock:
            return {key[1:]: n for key, n in self._counts.items() if key[0] == metric_name}
