"""The counts of the limiter's windows, in memory and by a clock that nobody sets."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from dataclasses import dataclass

from limits.aio.storage import MemoryStorage

__all__ = ["MonotonicMemoryStorage"]


@dataclass(slots=True)
class _Window:
    """How much was counted, and when it ends on the monotonic clock."""

    count: int
    ends: float


class MonotonicMemoryStorage(MemoryStorage):
    """A storage of ``limits`` for its fixed windows.

    The one it extends goes by the wall clock: set back an hour, that keeps a caller out for an hour. It also looks through
    all windows for each request; here those that are over go as the next request comes.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time) -> None:
        super().__init__()
        self.windows: dict[str, _Window] = {}
        self._ends: list[tuple[float, str]] = []
        self._clock = clock
        self._wall = wall

    async def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        """Counts; a window begins with its first count and lasts ``expiry`` seconds."""
        self._forget()
        window = self.windows.get(key)
        if window is None:
            window = self.windows[key] = _Window(0, self._clock() + expiry)
            heapq.heappush(self._ends, (window.ends, key))
        window.count += amount
        return window.count

    async def get(self, key: str) -> int:
        """What was counted in the key's window."""
        self._forget()
        window = self.windows.get(key)
        return 0 if window is None else window.count

    async def get_expiry(self, key: str) -> float:
        """When the key's window ends, as the wall clock stands now; now, if there is none."""
        self._forget()
        window = self.windows.get(key)
        return self._wall() + (0.0 if window is None else window.ends - self._clock())

    def _forget(self) -> None:
        now = self._clock()
        while self._ends and self._ends[0][0] <= now:
            del self.windows[heapq.heappop(self._ends)[1]]
