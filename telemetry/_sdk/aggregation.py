"""Feeding the SDK's own aggregations straight.

``record()`` cleans and hashes the same attributes for every measurement; that is two thirds of its price. A bound handle
does it once: ``aggregations()`` gives the objects that ``record()`` would have found. Whatever is not exactly as expected
gives ``None``, which means ``record()``.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, AlwaysOnExemplarFilter, TraceBasedExemplarFilter

from telemetry._sdk.context import SPAN_KEY
from telemetry._sdk.reservoir import LatestExemplarReservoir, reference_time

__all__ = [
    "Aggregations",
    "InstrumentSource",
    "PublicSource",
    "add_buckets",
    "feed_histogram",
    "feed_sum",
    "offer",
    "source_of",
]

try:
    from opentelemetry.sdk.metrics._internal._view_instrument_match import _hash_attributes
    from opentelemetry.sdk.metrics._internal.aggregation import (
        _DropAggregation,
        _ExplicitBucketHistogramAggregation,
        _SumAggregation,
    )

    _STATE: dict[type, Callable[[Any], object]] = {
        _SumAggregation: attrgetter("_lock", "_value", "_reservoir"),
        _ExplicitBucketHistogramAggregation: attrgetter(
            "_lock", "_value", "_sum", "_min", "_max", "_record_min_max", "_boundaries", "_reservoir"
        ),
    }
    """The aggregations that are fed here, and a look at all that ``feed_*`` touches: it fails where a name is gone."""
except ImportError:  # another SDK: everything goes through record()
    _hash_attributes = None  # type: ignore[assignment]

Aggregations = tuple[Any, ...]


class InstrumentSource:
    """One SDK instrument as bound handles see it: where its aggregations are, and whether an exemplar is wanted."""

    __slots__ = ("_config", "_consumer", "_filter", "instrument", "needs_filter", "takes_sampled", "trace_based")

    def __init__(self, instrument: Any) -> None:
        self.instrument = instrument
        self._consumer = instrument._measurement_consumer
        self._config = instrument._meter_config
        self._filter = self._consumer._sdk_config.exemplar_filter
        self.trace_based = type(self._filter) is TraceBasedExemplarFilter
        self.takes_sampled = self.trace_based or type(self._filter) is AlwaysOnExemplarFilter
        self.needs_filter = not self.takes_sampled and type(self._filter) is not AlwaysOffExemplarFilter
        self.direct(self.storages)  # raises AttributeError here where a name is gone

    @property
    def storages(self) -> object:
        """Identity of the set of readers: the SDK replaces this object whenever a reader comes or goes."""
        return self._consumer._reader_storages

    def direct(self, seen: object) -> bool:
        """Whether the readers are those of ``seen`` still, and the meter is enabled: checked before every measurement."""
        return self._consumer._reader_storages is seen and self._config._config.is_enabled

    def aggregations(self, attributes: Mapping[str, str]) -> Aggregations | None:
        """Every aggregation that ``record()`` would feed for these attributes; None where only ``record()`` will do."""
        try:
            return self._find(attributes)
        except (AttributeError, TypeError):
            return None

    def _find(self, attributes: Mapping[str, str]) -> Aggregations | None:
        found = []
        for storage in self._consumer._reader_storages.values():
            for match in storage._get_or_init_view_instrument_match(self.instrument):
                kind = type(match._aggregation)
                if kind is _DropAggregation:
                    continue
                if match._reset_on_collect or kind not in _STATE:
                    return None
                keys = match._view._attribute_keys
                if keys is not None and not keys.issuperset(attributes):
                    return None
                with match._lock:
                    aggregation = match._get_or_create_aggregation(_hash_attributes(attributes), attributes)
                if aggregation._attributes != attributes:
                    return None  # the overflow series
                _STATE[kind](aggregation)
                found.append(aggregation)
        return tuple(found)

    def wants_exemplar(self, value: float, time_unix_nano: int, attributes: Any, context: Context) -> bool:
        """What the provider's exemplar filter says."""
        return bool(self._filter.should_sample(value, time_unix_nano, attributes, context))


class PublicSource(InstrumentSource):
    """An instrument of another SDK, a disabled one, or one whose private names are gone: ``record()`` for everything."""

    __slots__ = ()

    def __init__(self, instrument: Any) -> None:
        self.instrument = instrument
        self.trace_based = self.takes_sampled = False
        self.needs_filter = True

    @property
    def storages(self) -> object:
        """Nothing to identify."""
        return None

    def direct(self, seen: object) -> bool:
        """Never."""
        return False

    def aggregations(self, attributes: Mapping[str, str]) -> Aggregations | None:
        """None known."""
        return None


def source_of(instrument: Any) -> InstrumentSource:
    """The instrument's source: a direct one where the SDK is as expected."""
    if _hash_attributes is None or SPAN_KEY == "":
        return PublicSource(instrument)
    try:
        return InstrumentSource(instrument)
    except AttributeError:
        return PublicSource(instrument)


def feed_histogram(aggregation: Any, value: float, reference: bytes | None) -> bool:
    """What ``_ExplicitBucketHistogramAggregation.aggregate`` does with a measurement.

    ``reference`` (``pack_span_reference``) of a sampled span makes an exemplar. False: the reservoir is another one,
    ``offer`` to it.
    """
    index = bisect_left(aggregation._boundaries, value)
    with aggregation._lock:
        total = aggregation._sum + value
        counts = aggregation._value
        if counts is None:
            counts = aggregation._value = [0] * (len(aggregation._boundaries) + 1)
        counts[index] += 1
        aggregation._sum = total
        if aggregation._record_min_max:
            if value < aggregation._min:
                aggregation._min = value
            if value > aggregation._max:
                aggregation._max = value
    if reference is None:
        return True
    reservoir = aggregation._reservoir
    if reservoir.__class__ is not LatestExemplarReservoir:
        return False
    reservoir.keep(index, value, reference)
    return True


def feed_sum(aggregation: Any, value: float, reference: bytes | None) -> bool:
    """What ``_SumAggregation.aggregate`` does with a measurement; exemplars as in ``feed_histogram``."""
    with aggregation._lock:
        before = aggregation._value
        aggregation._value = value if before is None else before + value
    if reference is None:
        return True
    reservoir = aggregation._reservoir
    if reservoir.__class__ is not LatestExemplarReservoir:
        return False
    reservoir.keep(0, value, reference)
    return True


def offer(aggregation: Any, value: float, reference: bytes, context: Context) -> None:
    """Offer a sampled measurement to a reservoir that is not ours."""
    aggregation._reservoir.offer(value, reference_time(reference), aggregation._attributes, context)


def add_buckets(aggregation: Any, bucket_counts: Sequence[int], total: float, least: float, most: float) -> None:
    """Add another histogram's buckets, of the same bounds, in one go."""
    with aggregation._lock:
        counts = aggregation._value or [0] * len(bucket_counts)
        aggregation._value = [a + b for a, b in zip(counts, bucket_counts, strict=True)]
        aggregation._sum += total
        aggregation._min = min(aggregation._min, least)
        aggregation._max = max(aggregation._max, most)
