"""A clock for the tests that moves only when a test moves it."""

from __future__ import annotations


class Clock:
    """A clock that stands still until a test sets ``now``; ``reads`` counts how often it was read."""

    def __init__(self) -> None:
        self.now = 100.0
        self.reads = 0

    def __call__(self) -> float:
        self.reads += 1
        return self.now
