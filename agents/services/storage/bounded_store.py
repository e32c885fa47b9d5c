"""A store in memory with limits: entries, bytes and age."""

from __future__ import annotations

import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["BoundedStore"]

_ENTRY_BYTES = 200
"""What an entry takes beside its key and value: the objects around them, and its place in the table."""


@dataclass(slots=True)
class _Entry:
    value: bytes
    size: int
    ends: float


class BoundedStore:
    """Keeps the newest values, each for ``ttl`` seconds. The oldest are evicted first.

    The newest value stays even if it alone has more than ``max_bytes``: a caller that must not store such a value checks it.

    Args:
        max_entries: Entries at most.
        max_bytes: Bytes at most, of keys, values and the objects around them.
        ttl: Seconds from the time a value is put until it ends.
        clock: Seconds on a monotonic clock.
    """

    def __init__(self, max_entries: int, max_bytes: int, ttl: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_entries = max_entries
        self.max_bytes = max_bytes
        self._ttl = ttl
        self._clock = clock
        # From the oldest to the newest, which is the order in which they end.
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self.bytes = 0
        """What all entries take now."""

    def __len__(self) -> int:
        return len(self._entries)

    @staticmethod
    def size_of(key: str, value: bytes) -> int:
        """Returns the bytes that this entry takes."""
        return sys.getsizeof(key) + sys.getsizeof(value) + _ENTRY_BYTES

    def put(self, key: str, value: bytes) -> None:
        """Stores a value as the newest one, in place of the key's earlier one."""
        self.remove(key)
        now = self._clock()
        entry = self._entries[key] = _Entry(value, self.size_of(key, value), now + self._ttl)
        self.bytes += entry.size
        self._evict(now)

    def get(self, key: str) -> bytes | None:
        """Returns the key's value, ``None`` if there is none or its time is over."""
        entry = self._entries.get(key)
        if entry is None or entry.ends <= self._clock():
            return None
        return entry.value

    def remove(self, key: str) -> None:
        """Removes the key's value, if there is one."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.bytes -= entry.size

    def live_keys(self) -> list[str]:
        """Returns the keys whose time is not over, from the oldest to the newest."""
        now = self._clock()
        return [key for key, entry in self._entries.items() if entry.ends > now]

    def _evict(self, now: float) -> None:
        while len(self._entries) > 1:
            oldest = next(iter(self._entries.values()))
            if oldest.ends > now and len(self._entries) <= self._max_entries and self.bytes <= self.max_bytes:
                return
            self.bytes -= self._entries.popitem(last=False)[1].size
