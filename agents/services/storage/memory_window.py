"""The counts of the limiter's windows, in memory and on the monotonic clock."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agents.services.storage.window import Full, Window, bounded_key

__all__ = ["MemoryWindows"]


@dataclass(slots=True)
class _Count:
    """The count of a window, and its end on the monotonic clock."""

    count: int
    ends: float


class MemoryWindows:
    """Windows in memory. A request removes those that have ended since the one before.

    The storage of ``limits`` uses the wall clock: when that is set back an hour, a caller stays denied for an hour. It also
    looks through all windows for each request, and decides about one limit at a time.

    Args:
        clock: Seconds on a monotonic clock.
        max_windows: Windows at most. One more ends the window that would end first, so that callers who rotate their names
            or addresses take at most 50 MiB.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, max_windows: int = 100_000) -> None:
        self._max_windows = max_windows
        self.counts: dict[str, _Count] = {}
        self._ends: list[tuple[float, str]] = []
        self._clock = clock

    async def take(self, wanted: Sequence[Window]) -> Full | None:
        """Counts a request in all windows or in none; see ``Windows``. Awaits nothing, so no other request comes between."""
        now = self._clock()
        while self._ends and self._ends[0][0] <= now:
            self._remove_first()
        keys = [bounded_key(window.key) for window in wanted]
        found = [self.counts.get(key) for key in keys]
        full = [
            Full(place, count.ends - now)
            for place, (window, count) in enumerate(zip(wanted, found, strict=True))
            if count is not None and count.count >= window.amount
        ]
        if full:
            return max(full, key=lambda one: one.seconds)
        for window, key, count in zip(wanted, keys, found, strict=True):
            if count is not None:
                count.count += 1
            else:
                self._begin(key, now + window.seconds)
        return None

    def _begin(self, key: str, ends: float) -> None:
        if len(self.counts) >= self._max_windows:
            self._remove_first()
        self.counts[key] = _Count(1, ends)
        heapq.heappush(self._ends, (ends, key))

    def _remove_first(self) -> None:
        del self.counts[heapq.heappop(self._ends)[1]]
