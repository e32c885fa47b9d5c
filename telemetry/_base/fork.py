"""What a forked child resets, registered by objects that this does not keep alive."""

from __future__ import annotations

import os
from collections.abc import Callable
from inspect import ismethod
from typing import Any
from weakref import WeakMethod

__all__ = ["register_after_fork", "register_around_fork"]


def register_after_fork(method: Callable[[], Any]) -> None:
    """Calls a bound method in every child that is forked from now on, while its object lives; in the order of registration.

    A function of a module is called in every child.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_while_alive(method))


def register_around_fork(before: Callable[[], Any], after: Callable[[], Any]) -> None:
    """Calls bound methods in the process that forks, while their object lives: ``before`` each fork and ``after`` it.

    The fork waits for both. They do not run in the child.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_while_alive(before), after_in_parent=_while_alive(after))


def _while_alive(method: Callable[[], Any]) -> Callable[[], None]:
    alive: Callable[[], Callable[[], Any] | None] = WeakMethod(method) if ismethod(method) else lambda: method

    def call() -> None:
        if (found := alive()) is not None:
            found()

    return call
