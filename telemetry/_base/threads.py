"""Letting an event loop run while a thread renders a body or encodes a state."""

from __future__ import annotations

import time

__all__ = ["yield_gil"]


def yield_gil() -> None:
    """Releases the interpreter lock for a moment, so that a waiting thread gets it before the switch interval ends."""
    time.sleep(0.00005)
