"""The circuit breaker of one provider: what keeps requests from waiting for one that is down."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Breaker"]


class Breaker:
    """Opens after ``failures`` failures in a row. After ``pause`` seconds one call is let through: half-open. If it succeeds
    the breaker closes, if it fails it is open for another pause.

    The caller that was allowed must say how it ended: ``succeeded``, ``failed``, or ``released`` where that says
    nothing about the provider, and the ``generation`` in which it was allowed. The end of a call of an earlier generation
    is ignored. ``changed`` is told each new state: ``closed``, ``half_open`` or ``open``.
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
        """Whether the provider may be asked now."""
        if self.state == "open" and self._clock() - self._opened_at >= self._pause:
            self._become("half_open")
        if self.state == "closed":
            return True
        if self.state == "open" or self._trying:
            return False
        self._trying = True
        return True

    def succeeded(self, generation: int | None = None) -> None:
        """The call answered."""
        if generation not in (None, self.generation):
            return
        self._failures = 0
        self._trying = False
        if self.state != "closed":
            self._become("closed")

    def failed(self, generation: int | None = None) -> None:
        """The call failed, and that is the provider's doing."""
        if generation not in (None, self.generation):
            return
        self._failures += 1
        self._trying = False
        if self.state == "half_open" or (self.state == "closed" and 0 < self._limit <= self._failures):
            self._opened_at = self._clock()
            self._become("open")

    def released(self, generation: int | None = None) -> None:
        """The call ended without saying anything about the provider."""
        if generation in (None, self.generation):
            self._trying = False

    def _become(self, state: str) -> None:
        self.state = state
        self.generation += 1
        self._changed(state)
