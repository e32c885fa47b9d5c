"""The lock that the series of one event share.

A lock is the dearest part of a measurement. The SDK gives each series a lock of its own. Here the series of one provider whose
first label has the same value share one, so that an event (a duration, a count and a size of one agent, for every reader) takes
a single lock. An aggregation has it before another thread can find the aggregation: no lock is replaced while it is used.

Aggregations that ``record()`` makes keep the lock that the SDK gives them: they get whatever attributes the host has, and those
of deltas are made anew after each collect, so that the locks kept for them would grow without bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

from telemetry._base.fork import register_after_fork

__all__ = ["lock_for"]

_locks: WeakKeyDictionary[Any, dict[tuple[str, str], Any]] = WeakKeyDictionary()
"""The locks of each provider's measurement consumer by the first label. They are as bounded as that label's values."""

register_after_fork(lambda: _locks.clear())  # a thread of the parent may have held one


def lock_for(consumer: Any, attributes: Mapping[str, str]) -> Any:
    """Returns the lock for a series of a provider; one of its own where it has no labels."""
    for label in attributes.items():
        return _locks.setdefault(consumer, {}).setdefault(label, Lock())
    return Lock()
