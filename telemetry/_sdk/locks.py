"""The lock that the series of one event share.

A lock is the dearest part of a measurement. The SDK gives each series a lock of its own. Here the series of one provider whose
first label has the same value share one, so that an event (a duration, a count and a size of one agent, for every reader) takes
a single lock. An aggregation has it before another thread can find the aggregation: no lock is replaced while it is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

from telemetry._base.fork import register_after_fork

__all__ = ["lock_for", "share_lock"]

_locks: WeakKeyDictionary[Any, dict[tuple[str, Any], Any]] = WeakKeyDictionary()
"""The locks of each provider's measurement consumer by the first label. They are as bounded as that label's values."""

register_after_fork(lambda: _locks.clear())  # a thread of the parent may have held one


def lock_for(consumer: Any, attributes: Mapping[str, Any] | None) -> Any:
    """Returns the lock for a series of a provider; one of its own where it has no labels."""
    for label in (attributes or {}).items():
        return _locks.setdefault(consumer, {}).setdefault(label, Lock())
    return Lock()


def share_lock(aggregation: Any, instrument: Any, attributes: Mapping[str, Any] | None) -> Any:
    """Returns a new aggregation, with the lock of its series where private names of the SDK are as expected.

    Call this before the SDK knows the aggregation.
    """
    consumer = getattr(instrument, "_measurement_consumer", None)
    if consumer is not None and hasattr(aggregation, "_lock"):
        aggregation._lock = lock_for(consumer, attributes)
    return aggregation
