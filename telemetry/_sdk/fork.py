"""Clearing a forked child's copy of its parent's state."""

from __future__ import annotations

from threading import Lock
from typing import Any

from opentelemetry.sdk.metrics.export import MetricReader

from telemetry._sdk.compatibility import storage_arguments

__all__ = ["start_empty"]


def start_empty(reader: MetricReader) -> bool:
    """Gives all readers of this reader's provider new, empty storages.

    Bound series notice the change as they notice a reader that is added or removed. No lock of the parent's is taken: the
    thread that held it does not exist in the child.

    Returns:
        False where a private name of the SDK is gone, and nothing was changed.
    """
    try:
        collect: Any = reader._collect
        if collect is None:
            return True
        consumer = collect.__self__
        storages = {known: _like(storage) for known, storage in consumer._reader_storages.items()}
        consumer._lock = Lock()
        consumer._reader_storages = storages
    except (AttributeError, TypeError):
        return False
    return True


def _like(storage: Any) -> Any:
    return type(storage)(storage._sdk_config, *storage_arguments(storage))
