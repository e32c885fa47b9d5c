"""The circuit breaker of one provider: requests do not wait for a provider that is down."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Breaker"]


class Breaker:
    """A circuit breaker.

    It opens after ``failures`` failures in a row. After ``pause`` seconds it is half-open and lets one call through: if that
    call succeeds the breaker closes, if it fails the breaker is open for another pause.

    A caller that was allowed reports the end of its call: ``succeeded``, ``failed``, or ``released`` if the end says nothing
    about the provider; and with it the ``generation`` in which it was allowed. Ends of calls of an earlier generation are
    ignored.

    Args:
        failures: Failures in a row that open it; 0: it never opens.
        pause: Seconds for which it stays open.
        changed: Called with each new state: ``closed``, ``half_open`` or ``open``.
        clock: Seconds on a monotonic clock.
    """

    def __init__(
        self,
        failures: int,
        pause: float,
        changed: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = failures
        self._pause = pause
        self._changed = changed
        self._clock = clock
        self._failures = 0
        self._opened_at = 0.0
        self._trying = False
        self.state = "closed"
        self.generation = 0
        """Counts the changes of state."""

    def allows(self) -> bool:
        """Whether the provider may be called now."""
        if self.state == "open" and self._clock() - self._opened_at >= self._pause:
            self._become("half_open")
        if self.state == "closed":
            return True
        if self.state == "open" or self._trying:
            return False
        self._trying = True
        return True

    def succeeded(self, generation: int | None = None) -> None:
        """Reports a call that was answered."""
        if generation not in (None, self.generation):
            return
        self._failures = 0
        self._trying = False
        if self.state != "closed":
            self._become("closed")

    def failed(self, generation: int | None = None) -> None:
        """Reports a call that failed by a fault of the provider."""
        if generation not in (None, self.generation):
            return
        self._failures += 1
        self._trying = False
        if self.state == "half_open" or (self.state == "closed" and 0 < self._limit <= self._failures):
            self._opened_at = self._clock()
            self._become("open")

    def released(self, generation: int | None = None) -> None:
        """Reports a call whose end says nothing about the provider."""
        if generation in (None, self.generation):
            self._trying = False

    def _become(self, state: str) -> None:
        self.state = state
        self.generation += 1
        self._changed(state)
