"""Feeding the aggregations of one event together: a duration, a count of one, and maybe a size.

They share a lock (``_sdk/locks.py``), which is looked at once, and taken once for each reader. Each aggregation gets what
``feed_histogram``, ``feed_twofold`` and ``feed_sum`` would give it. All calls come before the first update of a reader: a
signal handler that raises leaves the event in all series of that reader or in none.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from telemetry._base.reentry import deferred, is_released, run_deferred
from telemetry._sdk.aggregation import (
    Aggregations,
    Feed,
    InstrumentSource,
    feed_histogram,
    feed_one_of_pair,
    feed_sum,
    feed_twofold,
)
from telemetry._sdk.reservoir import LatestExemplarReservoir

__all__ = ["EventFeed", "Part", "event_feed"]

EventFeed = Callable[[float, float | None, bytes | None], bool]
"""Feeds a duration, a size and the reference of a sampled span (``feed_histogram``); returns False where it did nothing."""
Part = tuple[InstrumentSource, object, Aggregations | None, Feed]
"""One series of an event: its source, the readers that it has seen, its aggregations, and what feeds these."""


def event_feed(parts: Sequence[Part]) -> EventFeed | None:
    """Returns what feeds the series of one event together; None where each has to be fed by itself.

    They are fed together where they belong to one meter, every reader has one aggregation of each, the histograms have explicit
    buckets, with native ones beside them or not, and all aggregations share one lock and have reservoirs of ours.

    Args:
        parts: The series of the duration, the count, and maybe the size.
    """
    source, seen, _, feed = parts[0]
    if parts[1][3] is not feed_sum or any(part[3] is not feed for part in parts[2:]) or feed not in _FEEDS:
        return None
    try:
        consumer, config = source._consumer, source._config
        if any(p[0]._consumer is not consumer or p[0]._config is not config or p[1] is not seen for p in parts):
            return None
        readers = list(zip(*[part[2] or () for part in parts], strict=True))
        if not readers or not _are_alike(readers):
            return None
        bounds, size_bounds = readers[0][0]._boundaries, readers[0][2]._boundaries if len(parts) == 3 else ()
        lock = readers[0][0]._lock
    except (AttributeError, ValueError):  # other private names, or other numbers of aggregations
        return None
    sized = readers if len(parts) == 3 else [(*reader, None) for reader in readers]
    plan = (consumer, config, seen, lock, bounds, len(bounds) + 1, size_bounds, len(size_bounds) + 1, sized)
    return partial(_FEEDS[feed], plan)


def _are_alike(readers: Sequence[Sequence[Any]]) -> bool:
    """Returns whether the aggregations share a lock, have our reservoirs, and are of the same bounds for every reader."""
    lock = readers[0][0]._lock
    return all(
        each._lock is lock
        and type(each._reservoir) is LatestExemplarReservoir
        and (each is reader[1] or (each._record_min_max and each._boundaries == first._boundaries))
        for reader in readers
        for first, each in zip(readers[0], reader, strict=True)
    )


def _feed_plain(plan: Any, duration: float, size: float | None, reference: bytes | None) -> bool:
    """Feeds histograms that have explicit buckets alone."""
    consumer, config, seen, lock, bounds, buckets, size_bounds, size_buckets, readers = plan
    if consumer._reader_storages is not seen or not config._config.is_enabled:
        return False
    if lock.locked() and not is_released(lock):
        return False
    place = bisect_left(bounds, duration)
    size_place = 0 if size is None else bisect_left(size_bounds, size)
    for durations, events, sizes in readers:
        with lock:  # no loop inside: at its jump back the interpreter could suspend the thread with the lock
            if (counts := durations._value) is None:
                counts = durations._value = [0] * buckets
            counts[place] += 1
            durations._sum += duration
            if duration < durations._min:
                durations._min = duration
            if duration > durations._max:
                durations._max = duration
            before = events._value
            events._value = 1 if before is None else before + 1
            if size is not None:
                if (counts := sizes._value) is None:
                    counts = sizes._value = [0] * size_buckets
                counts[size_place] += 1
                sizes._sum += size
                if size < sizes._min:
                    sizes._min = size
                if size > sizes._max:
                    sizes._max = size
    if deferred:
        run_deferred()
    if reference is not None:
        _keep(readers, place, duration, size_place, size, reference)
    return True


def _feed_twofold(plan: Any, duration: float, size: float | None, reference: bytes | None) -> bool:
    """Feeds histograms that have native buckets beside the explicit ones. Not split: a call costs too much here."""
    consumer, config, seen, lock, bounds, buckets, size_bounds, size_buckets, readers = plan
    if consumer._reader_storages is not seen or not config._config.is_enabled:
        return False
    if lock.locked() and not is_released(lock):
        return False
    place = bisect_left(bounds, duration)
    size_place = 0 if size is None else bisect_left(size_bounds, size)
    for durations, events, sizes in readers:
        with lock:  # no loop inside: at its jump back the interpreter could suspend the thread with the lock
            native = durations.native
            cell = bisect_left(native.window, duration)
            if native.cells[cell] is None:
                cell = native.place(duration)
            if size is not None:
                size_native = sizes.native
                size_cell = bisect_left(size_native.window, size)
                if size_native.cells[size_cell] is None:
                    size_cell = size_native.place(size)
            if (counts := durations._value) is None:
                counts = durations._value = [0] * buckets
            counts[place] += 1
            native.cells[cell] += 1
            durations._sum += duration
            if duration < durations._min:
                durations._min = duration
            if duration > durations._max:
                durations._max = duration
            before = events._value
            events._value = 1 if before is None else before + 1
            if size is not None:
                if (counts := sizes._value) is None:
                    counts = sizes._value = [0] * size_buckets
                counts[size_place] += 1
                size_native.cells[size_cell] += 1
                sizes._sum += size
                if size < sizes._min:
                    sizes._min = size
                if size > sizes._max:
                    sizes._max = size
    if deferred:
        run_deferred()
    if reference is not None:
        _keep(readers, place, duration, size_place, size, reference)
    return True


_FEEDS: dict[Feed, Callable[[Any, float, float | None, bytes | None], bool]] = {
    feed_histogram: _feed_plain,
    feed_one_of_pair: _feed_plain,
    feed_twofold: _feed_twofold,
}


def _keep(
    readers: Sequence[Sequence[Any]], place: int, duration: float, size_place: int, size: float | None, reference: bytes
) -> None:
    """Keeps the exemplars of an event for every reader.

    Args:
        readers: Duration, events and size of each reader.
        place: The bucket of the duration.
        duration: The duration.
        size_place: The bucket of the size.
        size: The size; None where the event has none.
        reference: The sampled span.
    """
    for durations, events, sizes in readers:
        durations._reservoir.keep(place, duration, reference)
        events._reservoir.keep(0, 1, reference)
        if size is not None:
            sizes._reservoir.keep(size_place, size, reference)
