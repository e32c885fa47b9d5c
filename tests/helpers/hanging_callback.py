"""A callback that blocks until the test releases it."""

from __future__ import annotations

from threading import Event

from opentelemetry.metrics import CallbackOptions, Observation


class HangingCallback:
    """Blocks until the test sets ``go``, and counts its calls."""

    def __init__(self) -> None:
        self.calls = 0
        self.entered = Event()
        self.go = Event()

    def __call__(self, _: CallbackOptions) -> list[Observation]:
        self.calls += 1
        self.entered.set()
        assert self.go.wait(30)
        return [Observation(self.calls)]
