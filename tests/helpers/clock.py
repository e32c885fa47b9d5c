"""A clock that only the test moves."""

from __future__ import annotations


class Clock:
    """Returns ``now`` and counts its ``reads``. The test moves it by setting ``now``, in seconds."""

    def __init__(self) -> None:
        self.now = 100.0
        self.reads = 0

    def __call__(self) -> float:
        self.reads += 1
        return self.now
