"""Feeding the SDK's own aggregations directly.

``record()`` cleans and hashes the same attributes for every measurement; that is two thirds of its price. A bound series
does it once: ``aggregations()`` returns the objects that ``record()`` would have found, and ``feed_*`` updates them as
``record()`` would have done. The bound series calls ``record()`` instead where

- a reader has delta temporality, and the aggregation is one with native buckets, or its reservoir is not ours
  (``_sdk/resetting.py`` feeds the others);
- a View makes an aggregation of another class, or keeps fewer label keys than the series has;
- the series is in the SDK's overflow series;
- the SDK is disabled or another one, or has other private names.
"""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from operator import attrgetter
from types import SimpleNamespace
from typing import Any, Protocol

from opentelemetry.context import Context
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, AlwaysOnExemplarFilter, TraceBasedExemplarFilter
from opentelemetry.sdk.version import __version__ as sdk_version

from telemetry._base.reentry import defer, deferred, do_if_free, is_released, put_off, run_deferred
from telemetry._sdk.compatibility import find_aggregation, meter_config, peek_aggregations, resets_on_collect
from telemetry._sdk.context import SPAN_KEY, current_context
from telemetry._sdk.locks import lock_for
from telemetry._sdk.native import NativeAggregation, TwofoldAggregation
from telemetry._sdk.reservoir import LatestExemplarReservoir, reference_time
from telemetry._sdk.resetting import (
    ResettingHistogram,
    ResettingSum,
    feed_resetting_histogram,
    feed_resetting_sum,
    keeps_exemplars,
)
from telemetry.metricdata.convert import exponential_state

__all__ = [
    "Aggregations",
    "Feed",
    "InstrumentSource",
    "PublicSource",
    "add_buckets",
    "add_exponential",
    "feed_all",
    "feed_histogram",
    "feed_of",
    "feed_one_of_pair",
    "feed_sum",
    "feed_twofold",
    "observe",
    "offer",
    "source_of",
]

try:
    from opentelemetry.sdk.metrics._internal.aggregation import (
        _DropAggregation,
        _ExplicitBucketHistogramAggregation,
        _SumAggregation,
    )

    _HISTOGRAM = ("_lock", "_value", "_sum", "_min", "_max", "_record_min_max", "_boundaries", "_reservoir")
    _STATE: dict[type, Callable[[Any], object]] = {
        _SumAggregation: attrgetter("_lock", "_value", "_reservoir"),
        _ExplicitBucketHistogramAggregation: attrgetter(*_HISTOGRAM),
        TwofoldAggregation: attrgetter(*_HISTOGRAM, "native"),
        NativeAggregation: attrgetter("_lock", "_sum", "_min", "_max", "_reservoir", "native"),
    }
    """Reads, by class of aggregation, every name that ``feed_*`` uses, and raises ``AttributeError`` where one is gone."""
except ImportError:  # another SDK: record() for everything
    _STATE = {}

Aggregations = tuple[Any, ...]
Feed = Callable[[Any, float, bytes | None], bool]
"""Feeds one aggregation: ``feed_histogram`` and its like."""
_INT64 = 2.0**63
"""Numbers below it are fed as they are; OTLP cannot carry larger integers."""
_NO_READERS = SimpleNamespace(_reader_storages=object())
"""A measurement consumer whose readers are those of no series, so that ``observe`` takes the slow path."""
_logger = logging.getLogger(__name__)


class InstrumentSource:
    """An SDK instrument as bound series see it: its aggregations, and what its exemplar filter takes.

    Args:
        instrument: The SDK's instrument.

    Attributes:
        trace_based: The exemplar filter takes measurements of sampled spans.
        takes_sampled: The exemplar filter takes these, and possibly others.
        needs_filter: The exemplar filter is a custom one and has to be asked for each measurement.

    Raises:
        AttributeError: A private name of the SDK is gone.
    """

    __slots__ = ("_config", "_consumer", "_filter", "instrument", "needs_filter", "takes_sampled", "trace_based")

    def __init__(self, instrument: Any) -> None:
        self.instrument = instrument
        self._consumer = instrument._measurement_consumer
        self._config = meter_config(instrument)
        self._filter = self._consumer._sdk_config.exemplar_filter
        self.trace_based = type(self._filter) is TraceBasedExemplarFilter
        self.takes_sampled = self.trace_based or type(self._filter) is AlwaysOnExemplarFilter
        self.needs_filter = not self.takes_sampled and type(self._filter) is not AlwaysOffExemplarFilter
        self.is_current(self.storages)  # raises AttributeError where a name is gone

    @property
    def storages(self) -> object:
        """Identifies the set of readers: the SDK replaces this object when a reader is added or removed."""
        return self._consumer._reader_storages

    def is_current(self, seen: object) -> bool:
        """Returns whether ``storages`` is still ``seen`` and the meter is enabled: checked before every measurement."""
        return self._consumer._reader_storages is seen and self._config._config.is_enabled

    def aggregations(self, attributes: Mapping[str, str]) -> Aggregations | None:
        """Returns every aggregation that ``record()`` would feed for these attributes; None where ``record()`` is needed."""
        try:
            return self._find(attributes)
        except (AttributeError, TypeError) as error:
            _log_public_path(self.instrument, error)
            return None

    def _find(self, attributes: Mapping[str, str]) -> Aggregations | None:
        found: list[Any] = []
        resetting = []
        lock = lock_for(self._consumer, attributes)
        for storage in self._consumer._reader_storages.values():
            for match in storage._get_or_init_view_instrument_match(self.instrument):
                kind = type(match._aggregation)
                if kind is _DropAggregation:
                    continue
                if kind not in _STATE:
                    return None
                keys = match._view._attribute_keys
                if keys is not None and not keys.issuperset(attributes):
                    return None
                if resets_on_collect(match):
                    resetting.append(match)
                    continue
                aggregation = find_aggregation(match, attributes, lock)
                if aggregation._attributes != attributes:
                    return None  # the overflow series
                _STATE[kind](aggregation)
                found.append(aggregation)
        for match in resetting:
            example = match._aggregation
            if type(example) not in _RESETTING or not keeps_exemplars(example):
                return None
            _STATE[type(example)](example)
            beside = next((each for each in found if _are_fed_together(each, example, lock)), None)
            if beside is not None:
                found.remove(beside)
            found.append(_RESETTING[type(example)](match, attributes, lock, beside))
        return tuple(found)

    def locks(self, attributes: Mapping[str, str]) -> tuple[tuple[Callable[[], bool], ...], bool]:
        """Returns ``locked()`` of each lock that ``aggregations()`` or ``record()`` takes for these attributes.

        Returns:
            The functions, and whether they are all and stay so: one that the first measurement makes, after a collect of
            deltas too, has its lock later.
        """
        complete = True
        try:
            # A bound series makes its aggregations with this lock, which the series of another metric may hold in this thread.
            found: list[Callable[[], bool]] = [lock_for(self._consumer, attributes).locked]
            for storage in self._consumer._reader_storages.values():
                for match in storage._instrument_view_instrument_matches.get(self.instrument, ()):
                    found.append(match._lock.locked)
                    aggregations = peek_aggregations(match, attributes)
                    found += [locked for aggregation in aggregations for locked in _locks_of(aggregation)]
                    complete = complete and bool(aggregations) and not resets_on_collect(match)
        except (AttributeError, TypeError):  # other private names: not known
            return (), True
        return tuple(found), complete and len(found) > 1

    def wants_exemplar(self, value: float, time_unix_nano: int, attributes: Any, context: Context) -> bool:
        """Returns the decision of the provider's exemplar filter."""
        return bool(self._filter.should_sample(value, time_unix_nano, attributes, context))


class PublicSource(InstrumentSource):
    """An instrument of a disabled or another SDK, or of one with other private names: ``record()`` for everything."""

    __slots__ = ()

    def __init__(self, instrument: Any) -> None:
        self.instrument = instrument
        self._consumer = _NO_READERS
        self.trace_based = self.takes_sampled = False
        self.needs_filter = True

    @property
    def storages(self) -> object:
        """None: the readers are not known."""
        return None

    def is_current(self, seen: object) -> bool:
        """Returns False: nothing is fed directly."""
        return False

    def aggregations(self, attributes: Mapping[str, str]) -> Aggregations | None:
        """Returns None: ``record()`` is needed."""
        return None

    def locks(self, attributes: Mapping[str, str]) -> tuple[tuple[Callable[[], bool], ...], bool]:
        """Returns none: the locks are not known."""
        return (), True


def source_of(instrument: Any) -> InstrumentSource:
    """Returns the instrument's source: one that feeds aggregations directly where the SDK is as expected."""
    try:
        if not _STATE or SPAN_KEY == "":
            raise AttributeError("the aggregations' classes" if SPAN_KEY else "the context's key of the span")
        return InstrumentSource(instrument)
    except AttributeError as error:
        _log_public_path(instrument, error)
        return PublicSource(instrument)


@cache
def _log_once(reason: str) -> None:
    _logger.warning("opentelemetry-sdk %s: measurements take the public path and cost more: %s", sdk_version, reason)


def _log_public_path(instrument: Any, error: Exception) -> None:
    """Logs, once a process, that a private name is gone. Disabled and other SDKs have none: they are left out."""
    if type(instrument).__module__.startswith("opentelemetry.sdk.") and not _log_once.cache_info().currsize:
        _log_once(str(error))


def feed_histogram(aggregation: Any, value: float, reference: bytes | None) -> bool:
    """Does what ``_ExplicitBucketHistogramAggregation.aggregate`` does with a measurement; later, where its lock is taken.

    Args:
        aggregation: The SDK's aggregation.
        value: The measurement.
        reference: The sampled span that becomes the exemplar (``pack_span_reference``); None for no exemplar.

    Returns:
        False where the aggregation's reservoir is not ours: the caller has to ``offer`` the measurement to it.
    """
    index = bisect_left(aggregation._boundaries, value)
    lock = aggregation._lock
    if lock.locked() and put_off(lock, feed_histogram, aggregation, value, reference):
        return True
    with lock:
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
    if deferred:
        run_deferred()
    if reference is None:
        return True
    reservoir = aggregation._reservoir
    if reservoir.__class__ is not LatestExemplarReservoir:
        return False
    reservoir.keep(index, value, reference)
    return True


def feed_twofold(aggregation: Any, value: float, reference: bytes | None) -> bool:
    """Does what ``TwofoldAggregation.aggregate`` does with a measurement. Arguments and result as in ``feed_histogram``."""
    index = bisect_left(aggregation._boundaries, value)
    lock = aggregation._lock
    if lock.locked() and put_off(lock, feed_twofold, aggregation, value, reference):
        return True
    with lock:
        counts = aggregation._value
        if counts is None:
            counts = aggregation._value = [0] * (len(aggregation._boundaries) + 1)
        native = aggregation.native
        cells = native.cells
        place = bisect_left(native.window, value)
        if cells[place] is None:
            place = native.place(value)
            cells = native.cells
        counts[index] += 1  # no call between the two: a signal handler that raises there would leave one of them out
        cells[place] += 1
        aggregation._sum += value
        if value < aggregation._min:
            aggregation._min = value
        if value > aggregation._max:
            aggregation._max = value
    if deferred:
        run_deferred()
    if reference is None:
        return True
    reservoir = aggregation._reservoir
    if reservoir.__class__ is not LatestExemplarReservoir:
        return False
    reservoir.keep(index, value, reference)
    return True


def feed_native(aggregation: Any, value: float, reference: bytes | None) -> bool:
    """Does what ``NativeAggregation.aggregate`` does with a measurement. Arguments and result as in ``feed_histogram``."""
    lock = aggregation._lock
    if lock.locked() and put_off(lock, feed_native, aggregation, value, reference):
        return True
    with lock:
        native = aggregation.native
        place = bisect_left(native.window, value)
        if native.cells[place] is None:
            place = native.place(value)
        native.cells[place] += 1
        aggregation._sum += value
        if value < aggregation._min:
            aggregation._min = value
        if value > aggregation._max:
            aggregation._max = value
    if deferred:
        run_deferred()
    if reference is None:
        return True
    reservoir = aggregation._reservoir
    if reservoir.__class__ is not LatestExemplarReservoir:
        return False
    reservoir.keep(reservoir.place(value), value, reference)
    return True


def feed_sum(aggregation: Any, value: float, reference: bytes | None) -> bool:
    """Does what ``_SumAggregation.aggregate`` does with a measurement. Arguments and result as in ``feed_histogram``."""
    lock = aggregation._lock
    if lock.locked() and put_off(lock, feed_sum, aggregation, value, reference):
        return True
    with lock:
        before = aggregation._value
        aggregation._value = (0 if before is None else before) + value  # not -0.0 alone
    if deferred:
        run_deferred()
    if reference is None:
        return True
    reservoir = aggregation._reservoir
    if reservoir.__class__ is not LatestExemplarReservoir:
        return False
    reservoir.keep(0, value, reference)
    return True


_FEEDS: dict[type, Feed] = {
    TwofoldAggregation: feed_twofold,
    NativeAggregation: feed_native,
    ResettingHistogram: feed_resetting_histogram,
    ResettingSum: feed_resetting_sum,
}
_RESETTING: dict[type, type[ResettingHistogram] | type[ResettingSum]] = {}
if _STATE:
    _FEEDS |= {_SumAggregation: feed_sum, _ExplicitBucketHistogramAggregation: feed_histogram}
    _RESETTING |= {_SumAggregation: ResettingSum, _ExplicitBucketHistogramAggregation: ResettingHistogram}


def feed_of(aggregations: Aggregations) -> Feed:
    """Returns the function that feeds these aggregations, which ``InstrumentSource.aggregations`` has returned.

    It is ``feed_histogram`` for one histogram, and ``feed_one_of_pair`` for two with the same bounds and one lock. These keep
    the least and the largest measurement; other histograms are fed one by one.
    """
    feeds = {_FEEDS[type(aggregation)] for aggregation in aggregations}
    feed = feeds.pop() if len(feeds) == 1 else _feed_any
    if feed is not feed_histogram:
        return feed
    if len(aggregations) > 2 or not all(aggregation._record_min_max for aggregation in aggregations):
        return _feed_any
    first, last = aggregations[0], aggregations[-1]
    if first is last:
        return feed
    return feed_one_of_pair if first._lock is last._lock and first._boundaries == last._boundaries else _feed_any


def feed_one_of_pair(aggregation: Any, value: float, reference: bytes | None) -> bool:
    """Does what ``feed_histogram`` does.

    ``feed_of`` returns it as a mark: callers that see it feed both aggregations of the pair at once, under their one lock.
    """
    return feed_histogram(aggregation, value, reference)


def feed_all(
    aggregations: Aggregations, feed: Feed, value: float, reference: bytes | None, context: Context | None = None
) -> None:
    """Feeds all aggregations of a series.

    Args:
        aggregations: The aggregations.
        feed: What ``feed_of`` returns for them.
        value: The measurement.
        reference: The sampled span that becomes the exemplar; None for no exemplar.
        context: The context that the measurement is made in; None for the current one.
    """
    if feed is feed_one_of_pair:
        first, second = aggregations
        _feed_pair(first, second, value, reference, context)
        return
    for aggregation in aggregations:
        if not feed(aggregation, value, reference):
            offer(aggregation, value, reference, context)  # type: ignore[arg-type]  # False only with a reference


def _feed_pair(first: Any, second: Any, value: float, reference: bytes | None, context: Context | None) -> None:
    """Does what ``feed_histogram`` does, for the aggregations of two readers that share a lock (``_sdk/locks.py``)."""
    index = bisect_left(first._boundaries, value)
    lock = first._lock
    if lock.locked() and not is_released(lock):
        for each in (first, second):
            defer(partial(do_if_free, lock, feed_histogram, each, value, reference))
        return
    with lock:  # no loop: at its jump back the interpreter could suspend the thread with the lock
        counts = first._value
        if counts is None:
            counts = first._value = [0] * (len(first._boundaries) + 1)
        counts[index] += 1
        first._sum += value
        if value < first._min:
            first._min = value
        if value > first._max:
            first._max = value
        counts = second._value
        if counts is None:
            counts = second._value = [0] * (len(second._boundaries) + 1)
        counts[index] += 1
        second._sum += value
        if value < second._min:
            second._min = value
        if value > second._max:
            second._max = value
    if deferred:
        run_deferred()
    if reference is not None:
        _keep_exemplar(first, index, value, reference, context)
        _keep_exemplar(second, index, value, reference, context)


def _keep_exemplar(aggregation: Any, index: int, value: float, reference: bytes, context: Context | None) -> None:
    """Keeps the exemplar of bucket ``index``, or offers it to a reservoir that is not ours."""
    reservoir = aggregation._reservoir
    if reservoir.__class__ is LatestExemplarReservoir:
        reservoir.keep(index, value, reference)
    else:
        offer(aggregation, value, reference, context)


def _feed_any(aggregation: Any, value: float, reference: bytes | None) -> bool:
    """Feeds an aggregation of any kind: readers may have Views of their own."""
    return _FEEDS[type(aggregation)](aggregation, value, reference)


def _are_fed_together(aggregation: Any, example: Any, lock: Any) -> bool:
    """Returns whether an aggregation is fed with those of a resetting stream like ``example``, under one lock."""
    return (
        type(aggregation) is type(example)
        and aggregation._lock is lock
        and getattr(aggregation, "_boundaries", None) == getattr(example, "_boundaries", None)
        and keeps_exemplars(aggregation)
    )


def _locks_of(aggregation: Any) -> list[Callable[[], bool]]:
    """Returns ``locked()`` of an aggregation's lock, and of its reservoir's where that has one."""
    locks: Any = (getattr(each, "_lock", None) for each in (aggregation, aggregation._reservoir))
    return [lock.locked for lock in locks if hasattr(lock, "locked")]


def offer(aggregation: Any, value: float, reference: bytes, context: Context | None) -> None:
    """Offers a sampled measurement to a reservoir that is not ours; not while its lock is taken, an exemplar is one of many."""
    if not any(locked() for locked in _locks_of(aggregation)):
        context = current_context() if context is None else context
        aggregation._reservoir.offer(value, reference_time(reference), aggregation._attributes, context)


class _Owner(Protocol):
    source: InstrumentSource


class _Series(Protocol):
    """What ``observe`` needs of ``BoundHistogram``, which is in a room above."""

    _bound: tuple[object, Aggregations | None, Feed]

    @property
    def _owner(self) -> _Owner: ...
    def _record(self, value: float) -> None: ...
    def _sample(self, value: float, context: Context) -> bytes | None: ...
    def record_failure(self, error: Exception) -> None: ...


def observe(self: _Series, amount: float, exemplar: object = None) -> None:
    """Records one observation: the method of ``BoundHistogram``, here because it reads private names of the SDK.

    Args:
        amount: The observation in the metric's unit, finite and not negative; other values are counted as dropped.
        exemplar: Accepted for prometheus_client's signature and ignored: exemplars come from the current span.
    """
    # Repeats feed_histogram, and is not split: each call of a function costs a tenth of the measurement.
    try:
        seen, aggregations, feed = self._bound
        source = self._owner.source
        kind = amount.__class__
        if (
            not aggregations
            or (kind is not float and kind is not int)
            or source._consumer._reader_storages is not seen
            or not source._config._config.is_enabled
            or not (amount >= 0.0 and amount < _INT64)  # a chain costs twice as much
        ):
            self._record(amount)
            return
        context = current_context()
        reference = self._sample(amount, context) if context or not source.trace_based else None
        aggregation = aggregations[0]
        if feed is not feed_histogram:
            if feed is feed_one_of_pair:
                _feed_pair(aggregation, aggregations[1], amount, reference, context)
            elif len(aggregations) > 1:
                feed_all(aggregations, feed, amount, reference, context)
            elif not feed(aggregation, amount, reference):
                offer(aggregation, amount, reference, context)  # type: ignore[arg-type]  # False only with a reference
            return
        index = bisect_left(aggregation._boundaries, amount)
        lock = aggregation._lock
        if lock.locked() and put_off(lock, feed_histogram, aggregation, amount, reference):
            return
        with lock:  # no call and no loop, where the interpreter could suspend the thread with the lock
            counts = aggregation._value
            if counts is None:
                counts = aggregation._value = [0] * (len(aggregation._boundaries) + 1)
            counts[index] += 1
            aggregation._sum += amount
            if amount < aggregation._min:
                aggregation._min = amount
            if amount > aggregation._max:
                aggregation._max = amount
        if deferred:
            run_deferred()
        if reference is not None:
            _keep_exemplar(aggregation, index, amount, reference, context)
    except Exception as error:
        self.record_failure(error)


def add_buckets(aggregation: Any, bucket_counts: Sequence[int], total: float, minimum: float, maximum: float) -> None:
    """Adds the state of another histogram with the same bounds.

    Native buckets beside them get the measurements of each bucket at its upper bound, or at the extreme that lies in it: where
    the other histogram had none, that is all that is known.
    """
    with aggregation._lock:
        if type(aggregation) is TwofoldAggregation:
            for bound, count in zip((*aggregation._boundaries, maximum), bucket_counts, strict=True):
                if count:
                    aggregation.native.add(max(min(bound, maximum), minimum), count)
        counts = aggregation._value or [0] * len(bucket_counts)
        aggregation._value = [a + b for a, b in zip(counts, bucket_counts, strict=True)]
        aggregation._sum += total
        aggregation._min = min(aggregation._min, minimum)
        aggregation._max = max(aggregation._max, maximum)


def add_exponential(aggregation: Any, point: Any) -> None:
    """Adds the point of another histogram with native buckets alone, at the coarser of the two scales.

    Other aggregations stay as they are: their buckets do not follow from it.
    """
    if type(aggregation) is not NativeAggregation:
        return
    with aggregation._lock:
        aggregation.native.add_state(exponential_state(point))
        aggregation._sum += point.sum
        aggregation._min = min(aggregation._min, point.min)
        aggregation._max = max(aggregation._max, point.max)
