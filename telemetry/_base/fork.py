"""What has to happen in a forked child, for objects that do not outlive their owners because of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any
from weakref import WeakMethod

__all__ = ["in_child"]


def in_child(method: Callable[[], Any]) -> None:
    """Call this bound method in every child that is forked from now on, while its object lives; in the order of these calls."""
    alive = WeakMethod(method)

    def call() -> None:
        if (found := alive()) is not None:
            found()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=call)
