"""An event loop that runs its timers only when the test says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.helpers.clock import Clock

__all__ = ["ManualLoop"]


class _Timer:
    def __init__(self, due: float, callback: Callable[[], object], context: Any) -> None:
        self.due = due
        self.callback = callback
        self.context = context
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class ManualLoop:
    """Keeps timers until ``run``.

    Args:
        clock: The loop's time, which only the test moves.

    Attributes:
        running: What ``is_running`` returns.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._timers: list[_Timer] = []
        self.running = True

    def call_later(self, delay: float, callback: Callable[[], object], *, context: Any = None) -> _Timer:
        timer = _Timer(self._clock.now + delay, callback, context)
        self._timers.append(timer)
        return timer

    def is_running(self) -> bool:
        return self.running

    def timers(self) -> int:
        """Returns how many timers wait."""
        return sum(not timer.cancelled for timer in self._timers)

    def close(self) -> None:
        """Drops all timers, as a loop does."""
        self.running = False
        self._timers.clear()

    def run(self, late: float = 0.0) -> None:
        """Lets the next timer's time come, and ``late`` seconds more, and runs it."""
        timer = self._timers.pop(0)
        self._clock.now = timer.due + late
        if not timer.cancelled:
            timer.context.run(timer.callback)
