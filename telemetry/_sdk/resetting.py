"""Feeding the streams that the SDK resets at each collect: those of readers with delta temporality.

At a collect the SDK gives the stream a new, empty dictionary of aggregations. Then it calls ``collect`` of each old one,
which takes the aggregation's lock. So under the lock of an aggregation whose dictionary is still the stream's, it is certain
that the collect is yet to come and will see the measurement. ``record()`` holds the stream's lock instead, and finds the
aggregation anew for each measurement.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from telemetry._base.reentry import alone, defer, deferred, put_off, run_deferred
from telemetry._sdk.compatibility import aggregation_in, peek_aggregations
from telemetry._sdk.reservoir import LatestExemplarReservoir, NoExemplarReservoir

__all__ = [
    "ResettingHistogram",
    "ResettingSeries",
    "ResettingSum",
    "feed_resetting_histogram",
    "feed_resetting_sum",
    "keeps_exemplars",
]


class _Resets:
    """The resets of one stream that its series have noticed.

    The series hold a number, and not the dictionary: a series without measurements would keep all others of its time alive.
    """

    __slots__ = ("aggregations", "number")

    def __init__(self) -> None:
        self.aggregations: object = None
        self.number = 0

    def notice(self, aggregations: object) -> int:
        """Returns the number of the stream's present state. The caller holds the stream's lock."""
        if aggregations is not self.aggregations:
            self.number += 1  # first: a series of the former state must not find its number beside the new dictionary
            self.aggregations = aggregations
        return self.number


_resets: WeakKeyDictionary[Any, _Resets] = WeakKeyDictionary()


class ResettingSeries:
    """One series of a stream with delta temporality, in place of its aggregation.

    Args:
        match: The SDK's stream.
        attributes: The series' attributes.
        lock: The lock of the series' aggregations.
        beside: Another reader's aggregation of the series that has this lock and is fed with it; None for none.
    """

    __slots__ = ("_attributes", "aggregation", "beside", "lock", "match", "number", "resets")

    def __init__(self, match: Any, attributes: Mapping[str, str], lock: Any, beside: Any = None) -> None:
        self.match = match
        self.lock = lock
        self.beside = beside
        self._attributes = attributes
        self.resets = _resets.setdefault(match, _Resets())
        self.aggregation = match._aggregation  # the SDK's example: the series exists from its first measurement on
        self.number = 0

    def update(self, aggregation: Any, value: float) -> None:
        """Updates an aggregation, whose lock the caller holds."""
        raise NotImplementedError

    def feed_anew(self, value: float, reference: bytes | None) -> None:
        """Feeds the aggregation that ``record()`` would find or make, under the stream's lock as ``record()`` does."""
        match, attributes = self.match, self._attributes
        with match._lock:
            aggregation = aggregation_in(match, attributes, self.lock)
            is_overflow = aggregation._attributes != attributes
            with aggregation._lock:
                self.update(aggregation, value)
                _keep(aggregation, value, reference, attributes if is_overflow else None)
            # The overflow series is left when a reset makes room, and what record() has made has another lock.
            if not is_overflow and aggregation._lock is self.lock:
                number = self.resets.notice(match._attributes_aggregation)
                self.number = 0  # no thread may find the new aggregation with the old number, nor the other way round
                self.aggregation = aggregation
                self.number = number

    def feed_deferred(self, value: float, reference: bytes | None) -> bool:
        """Feeds a measurement that found the stream's lock taken; returns False where it still is."""
        return alone(self.is_busy, self.feed_anew, value, reference, looks=1)

    def is_busy(self) -> bool:
        """Returns whether a lock that ``feed_anew`` takes is taken, maybe by this thread."""
        if self.match._lock.locked() or self.lock.locked():
            return True
        return any(each._lock.locked() for each in peek_aggregations(self.match, self._attributes))

    def finish(self, is_fed: bool, value: float, reference: bytes | None) -> None:
        """Feeds a measurement for which the stream turned out to be reset, and does what was deferred."""
        if not is_fed and not alone(self.is_busy, self.feed_anew, value, reference):
            defer(partial(self.feed_deferred, value, reference))
        elif deferred:
            run_deferred()


class ResettingHistogram(ResettingSeries):
    """A histogram with explicit buckets."""

    __slots__ = ()

    def update(self, aggregation: Any, value: float) -> None:
        """See ``ResettingSeries.update``."""
        counts = aggregation._value
        if counts is None:
            counts = aggregation._value = [0] * (len(aggregation._boundaries) + 1)
        counts[bisect_left(aggregation._boundaries, value)] += 1
        aggregation._sum += value
        if aggregation._record_min_max:
            aggregation._min = min(aggregation._min, value)
            aggregation._max = max(aggregation._max, value)


class ResettingSum(ResettingSeries):
    """A sum."""

    __slots__ = ()

    def update(self, aggregation: Any, value: float) -> None:
        """See ``ResettingSeries.update``."""
        before = aggregation._value
        aggregation._value = (0 if before is None else before) + value


def feed_resetting_histogram(series: ResettingHistogram, value: float, reference: bytes | None) -> bool:
    """Does what ``record()`` does in a stream with delta temporality, and in that beside; later, where a lock is taken.

    Not split: a call costs too much here.

    Args:
        series: The series.
        value: The measurement.
        reference: The sampled span that becomes the exemplar; None for no exemplar.

    Returns:
        True: every reservoir is ours.
    """
    number, aggregation, beside, resets = series.number, series.aggregation, series.beside, series.resets
    index = bisect_left(aggregation._boundaries, value)
    lock = series.lock
    if lock.locked() and put_off(lock, feed_resetting_histogram, series, value, reference):
        return True
    with lock:
        if beside is not None:
            counts = beside._value
            if counts is None:
                counts = beside._value = [0] * (len(beside._boundaries) + 1)
            counts[index] += 1
            beside._sum += value
            if beside._record_min_max:
                if value < beside._min:
                    beside._min = value
                if value > beside._max:
                    beside._max = value
        is_fed = number == resets.number and series.match._attributes_aggregation is resets.aggregations
        if is_fed:
            counts = aggregation._value
            if counts is None:
                counts = aggregation._value = [0] * (len(aggregation._boundaries) + 1)
            counts[index] += 1
            aggregation._sum += value
            if aggregation._record_min_max:
                if value < aggregation._min:
                    aggregation._min = value
                if value > aggregation._max:
                    aggregation._max = value
        if reference is not None:
            _keep_both(beside, aggregation if is_fed else None, value, reference)
    if not is_fed or deferred:
        series.finish(is_fed, value, reference)
    return True


def feed_resetting_sum(series: ResettingSum, value: float, reference: bytes | None) -> bool:
    """Does what ``feed_resetting_histogram`` does, for a sum."""
    number, aggregation, beside, resets = series.number, series.aggregation, series.beside, series.resets
    lock = series.lock
    if lock.locked() and put_off(lock, feed_resetting_sum, series, value, reference):
        return True
    with lock:
        if beside is not None:
            before = beside._value
            beside._value = (0 if before is None else before) + value
        is_fed = number == resets.number and series.match._attributes_aggregation is resets.aggregations
        if is_fed:
            before = aggregation._value
            aggregation._value = (0 if before is None else before) + value
        if reference is not None:
            _keep_both(beside, aggregation if is_fed else None, value, reference)
    if not is_fed or deferred:
        series.finish(is_fed, value, reference)
    return True


def _keep_both(beside: Any, aggregation: Any, value: float, reference: bytes) -> None:
    if beside is not None:
        _keep(beside, value, reference)
    if aggregation is not None:
        _keep(aggregation, value, reference)


def keeps_exemplars(aggregation: Any) -> bool:
    """Returns whether an aggregation's reservoir is ours: others have locks, and times of their own."""
    return type(aggregation._reservoir) in (LatestExemplarReservoir, NoExemplarReservoir)


def _keep(aggregation: Any, value: float, reference: bytes | None, attributes: Mapping[str, str] | None = None) -> None:
    """Keeps the exemplar of a measurement, under the aggregation's lock, so that it is collected with the measurement.

    Args:
        aggregation: The aggregation.
        value: The measurement.
        reference: The sampled span; None for no exemplar.
        attributes: The measurement's attributes, where the point has others.
    """
    reservoir = aggregation._reservoir
    if reference is None or reservoir.__class__ is not LatestExemplarReservoir:
        return
    if attributes is None:
        reservoir.keep(reservoir.place(value), value, reference)
    else:
        reservoir.keep_beside(reservoir.place(value), (value, reference, attributes))
