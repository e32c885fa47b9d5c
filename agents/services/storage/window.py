"""What a limit's count is kept by, in memory and in Redis."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple, Protocol

__all__ = ["Full", "Window", "Windows", "bounded_key"]

_LONGEST_KEY = 256
"""Characters of a key that is kept as it is; of a longer one the digest is."""


class Window(NamedTuple):
    """The window of one limit: it begins with its first request, takes ``amount`` of them, and ends after ``seconds``."""

    key: str
    amount: int
    seconds: int


class Full(NamedTuple):
    """The window that refuses a request: its place among those that were asked for, and the seconds until it ends."""

    place: int
    seconds: float


class Windows(Protocol):
    """Counts of windows. One step checks and counts, so that requests at the same time are never too many."""

    async def take(self, wanted: Sequence[Window]) -> Full | None:
        """Counts a request in all of these windows, or in none if one of them is full.

        Returns:
            Of the full windows the one that ends last, ``None`` where the request was counted.
        """


def bounded_key(key: str) -> str:
    """Returns the key, or its digest if it is long: a client's name can have as many characters as a header."""
    return key if len(key) <= _LONGEST_KEY else hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
