"""The counts of the limiter's windows, in memory and on the monotonic clock."""

from __future__ import annotations

import hashlib
import heapq
import time
from collections.abc import Callable
from dataclasses import dataclass

from limits.aio.storage import MemoryStorage

__all__ = ["MonotonicMemoryStorage", "bounded_key"]

_LONGEST_KEY = 256
"""Characters of a key that is kept as it is; of a longer one the digest is."""


@dataclass(slots=True)
class _Window:
    """The count of a window, and its end on the monotonic clock."""

    count: int
    ends: float


class MonotonicMemoryStorage(MemoryStorage):
    """A storage for the fixed windows of ``limits``.

    The base class uses the wall clock: when that is set back an hour, a caller stays denied for an hour. It also looks
    through all windows for each request; here a request removes the windows that have ended since the one before.

    Args:
        clock: Seconds on a monotonic clock.
        wall: Unix time in seconds.
        max_windows: Windows at most. One more ends the window that would end first, so that callers who rotate their names
            or addresses take at most 50 MiB.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time, max_windows: int = 100_000
    ) -> None:
        super().__init__()
        self._max_windows = max_windows
        self.windows: dict[str, _Window] = {}
        self._ends: list[tuple[float, str]] = []
        self._clock = clock
        self._wall = wall

    async def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        """Adds to the key's window and returns its count. A window begins with its first count and lasts ``expiry`` seconds."""
        self._remove_ended()
        key = bounded_key(key)
        window = self.windows.get(key)
        if window is None:
            if len(self.windows) >= self._max_windows:
                self._remove_first()
            window = self.windows[key] = _Window(0, self._clock() + expiry)
            heapq.heappush(self._ends, (window.ends, key))
        window.count += amount
        return window.count

    async def get(self, key: str) -> int:
        """Returns the count of the key's window."""
        self._remove_ended()
        window = self.windows.get(bounded_key(key))
        return 0 if window is None else window.count

    async def get_expiry(self, key: str) -> float:
        """Returns when the key's window ends, as wall-clock time; the time now if there is no window."""
        self._remove_ended()
        window = self.windows.get(bounded_key(key))
        return self._wall() + (0.0 if window is None else window.ends - self._clock())

    def _remove_ended(self) -> None:
        now = self._clock()
        while self._ends and self._ends[0][0] <= now:
            self._remove_first()

    def _remove_first(self) -> None:
        del self.windows[heapq.heappop(self._ends)[1]]


def bounded_key(key: str) -> str:
    """Returns the key, or its digest if it is long: a client's name can have as many characters as a header."""
    return key if len(key) <= _LONGEST_KEY else hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
