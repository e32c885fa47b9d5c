"""Counters of what went wrong in the telemetry itself, and a log that says each thing once.

The counters are plain integers: counting trouble must work when recording does not. ``pipeline.py`` puts them on /metrics
(and into every other reader) through observable counters, as soon as they are above 0.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable
from itertools import count
from threading import Lock

from telemetry._base.fork import in_child

__all__ = ["Tally", "Trouble"]

_LOG_KEYS = 1000


class Tally:
    """A count that threads share. Hold on to ``one`` where finding it again would cost more than counting."""

    __slots__ = ("_before", "_lock", "one")

    one: Callable[[], int]
    """Counts one. A step of ``itertools.count`` is a single one for all threads, so it needs no lock; only reading does."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._before = 0
        self.one = count().__next__

    @property
    def number(self) -> int:
        """How many were counted. Each reading is a step as well, and so is taken off again."""
        with self._lock:
            self._before += 1
            return self.one() + 1 - self._before

    def reset(self) -> None:
        """Begin at 0, with a lock that nobody holds."""
        self._lock = Lock()
        self._before = self.one() + 1


class Trouble:
    """Counts by catalogue row and label values. Label values come from the catalogue, so the counters are bounded by it."""

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._logger = logger or logging.getLogger("telemetry")
        self._tallies: dict[tuple[str, ...], Tally] = {}  # by row, label values ...
        self._reset()
        in_child(self._reset)

    def _reset(self) -> None:
        self._lock = Lock()
        self._logged: set[Hashable] = set()
        for tally in self._tallies.values():
            tally.reset()

    def tally(self, key: tuple[str, ...]) -> Tally:
        """The counter of a catalogue row, named as in OpenTelemetry, and label values in the row's order."""
        found = self._tallies.get(key)
        if found is None:
            with self._lock:
                found = self._tallies.setdefault(key, Tally())
        return found

    def count(self, metric_name: str, *label_values: str) -> None:
        """Add one to the counter of the catalogue row ``metric_name`` (its OpenTelemetry name), labels in the row's order."""
        self.tally((metric_name, *label_values)).one()

    def log_once(self, key: Hashable, message: str, *args: object) -> None:
        """Log a warning the first time ``key`` is seen. After a thousand keys nothing new is logged: counters go on."""
        with self._lock:
            if key in self._logged or len(self._logged) >= _LOG_KEYS:
                return
            self._logged.add(key)
        self._logger.warning(message, *args)

    def values(self, metric_name: str) -> dict[tuple[str, ...], int]:
        """The counts above 0 of one row so far, by label values."""
        with self._lock:
            tallies = list(self._tallies.items())
        return {key[1:]: number for key, tally in tallies if key[0] == metric_name and (number := tally.number)}
