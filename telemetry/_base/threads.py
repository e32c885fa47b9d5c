"""Letting an event loop run while a thread makes a body or a state."""

from __future__ import annotations

import time

__all__ = ["step_aside"]


def step_aside() -> None:
    """Let go of the interpreter lock for a moment: a thread that waits for it gets it now, not after the switch interval."""
    time.sleep(0.00005)
