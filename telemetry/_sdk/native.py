"""The SDK's histograms with native buckets: beside the explicit ones, from the same measurement, or alone.

``TwofoldAggregation`` is the SDK's histogram with one more count for each measurement, under the same lock: both forms always
have the same number of measurements. The SDK's ``collect``, and so OTLP, sees its explicit buckets.

``NativeAggregation`` stands for the SDK's exponential histogram, whose logarithms misplace measurements near bounds, and whose
scale falls to 0 when the first measurement after a collect is a zero.

Where the SDK has other private names, ``histogram_aggregation`` returns the SDK's own aggregations.
"""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import cache
from math import inf
from types import SimpleNamespace
from typing import Any

from opentelemetry.sdk.metrics.export import AggregationTemporality
from opentelemetry.sdk.metrics.view import (
    Aggregation,
    ExplicitBucketHistogramAggregation,
    ExponentialBucketHistogramAggregation,
)
from opentelemetry.sdk.version import __version__ as sdk_version

from telemetry._sdk.reservoir import reservoir_for
from telemetry.metric.definition import Native
from telemetry.metricdata.buckets import ExponentialBuckets

__all__ = ["NativeAggregation", "TwofoldAggregation", "histogram_aggregation"]

_Aggregation: Any = object
_Classic: Any = object
_Exponential: Any = object
try:
    from opentelemetry.sdk.metrics._internal import aggregation as _kinds

    _Aggregation = _kinds._Aggregation
    _Classic = _kinds._ExplicitBucketHistogramAggregation
    _Exponential = _kinds._ExponentialBucketHistogramAggregation
except (ImportError, AttributeError):  # another SDK: its own aggregations
    pass

_logger = logging.getLogger(__name__)
_CUMULATIVE, _DELTA = AggregationTemporality.CUMULATIVE, AggregationTemporality.DELTA
_EXEMPLARS = 20
"""How many exemplars a series with native buckets alone has, as in the SDK."""


class TwofoldAggregation(_Classic):  # type: ignore[misc]  # the SDK's class, or object
    """The SDK's explicit buckets, and native ones beside them.

    Attributes:
        native: The native buckets, under the aggregation's lock. They are never reset: only cumulative readers show them.
    """

    _value: Any
    _min: float
    _max: float

    def __init__(self, native: Native, **options: Any) -> None:
        super().__init__(**options)
        self.native = ExponentialBuckets(native.max_scale, native.max_size, native.zero_threshold)

    def aggregate(self, measurement: Any, should_sample_exemplar: bool = True) -> None:
        """Counts a measurement in both forms."""
        value = measurement.value
        with self._lock:
            if self._value is None:
                self._value = self._get_empty_bucket_counts()
            bucket, place = bisect_left(self._boundaries, value), self.native.place(value)
            self._value[bucket] += 1  # no call between the two: a signal handler may raise there
            self.native.cells[place] += 1
            self._sum += value
            if self._record_min_max:
                self._min = min(self._min, value)
                self._max = max(self._max, value)
        self._sample_exemplar(measurement, should_sample_exemplar)


class NativeAggregation(_Exponential):  # type: ignore[misc]  # the SDK's class, or object
    """Native buckets alone, collected as the SDK's exponential histogram.

    Attributes:
        native: The buckets, under the aggregation's lock.
    """

    def __init__(self, native: Native, start_time_unix_nano: int, **options: Any) -> None:
        _Aggregation.__init__(self, **options)  # not that of the exponential histogram: it makes buckets of its own
        self._definition = native
        self._start_time_unix_nano = start_time_unix_nano
        self._reset()

    def _reset(self) -> None:
        native = self._definition
        self.native = ExponentialBuckets(native.max_scale, native.max_size, native.zero_threshold)
        self._sum = 0
        self._min, self._max = inf, -inf

    def aggregate(self, measurement: Any, should_sample_exemplar: bool = True) -> None:
        """Counts a measurement."""
        value = measurement.value
        with self._lock:
            self.native.add(value)
            self._sum += value
            self._min = min(self._min, value)
            self._max = max(self._max, value)
        self._sample_exemplar(measurement, should_sample_exemplar)

    def collect(self, collection_aggregation_temporality: AggregationTemporality, collection_start_nano: int) -> Any:
        """Returns a point with the measurements since the start, or since the last collect of deltas; None without deltas."""
        is_delta = collection_aggregation_temporality is _DELTA
        with self._lock:
            state, least, most = self.native.state(self._sum), self._min, self._max
            start = self._start_time_unix_nano
            if is_delta:
                self._reset()
                self._start_time_unix_nano = collection_start_nano
            exemplars = self._reservoir.collect(self._attributes)
        count = state.zero_count + sum(state.positive)
        if is_delta and not count:
            return None
        from telemetry._sdk.native_point import native_point  # loaded before, by _works()

        times = (start, collection_start_nano)
        return native_point(state, (self._attributes, *times, count), (least, most), exemplars)


class _Twofold(ExplicitBucketHistogramAggregation):
    """Makes a ``TwofoldAggregation`` for each series of a View."""

    def __init__(self, bounds: Sequence[float], native: Native) -> None:
        super().__init__(bounds)
        self._bounds = tuple(bounds)
        self._native = native

    def _create_aggregation(self, instrument: Any, attributes: Any, reservoir_factory: Any, start_time_unix_nano: int) -> Any:
        return TwofoldAggregation(
            self._native,
            attributes=attributes,
            instrument_aggregation_temporality=_DELTA,  # as the SDK calls that of every synchronous instrument
            start_time_unix_nano=start_time_unix_nano,
            reservoir_builder=reservoir_factory(_Classic),
            boundaries=self._bounds,
        )


class _NativeOnly(ExponentialBucketHistogramAggregation):
    """Makes a ``NativeAggregation`` for each series of a View."""

    def __init__(self, native: Native) -> None:
        super().__init__(native.max_size, native.max_scale)
        self._native = native

    def _create_aggregation(self, instrument: Any, attributes: Any, reservoir_factory: Any, start_time_unix_nano: int) -> Any:
        def reservoir(**options: Any) -> Any:
            return reservoir_factory(_Exponential)(size=_EXEMPLARS, **options)

        return NativeAggregation(self._native, start_time_unix_nano, attributes=attributes, reservoir_builder=reservoir)


def histogram_aggregation(bounds: Sequence[float], native: Native | None) -> Aggregation:
    """Returns the aggregation of a histogram's View.

    Args:
        bounds: The explicit upper bounds; none for native buckets only.
        native: The native buckets; None for explicit ones only.

    Returns:
        One with both forms where both are given. Where the SDK has other private names, only the explicit ones of these, and of
        native buckets alone the SDK's exponential histogram, whose zero bucket counts zeros only.
    """
    if native is None:
        return ExplicitBucketHistogramAggregation(tuple(bounds))
    if bounds:
        return _Twofold(bounds, native) if _works() else ExplicitBucketHistogramAggregation(tuple(bounds))
    return _NativeOnly(native) if _works() else ExponentialBucketHistogramAggregation(native.max_size, native.max_scale)


@cache
def _works() -> bool:
    """Returns whether the SDK's aggregations are as the classes above expect them; tries, and logs once where they are not."""
    measurement = SimpleNamespace(value=2.0, attributes={}, time_unix_nano=0, context=None)
    makers: tuple[Callable[..., Any], ...] = (
        _Twofold((1.0,), Native())._create_aggregation,
        _NativeOnly(Native())._create_aggregation,
    )
    try:
        for make in makers:
            aggregation = make(None, {}, reservoir_for(False), 0)
            aggregation.aggregate(measurement)
            point = aggregation.collect(_CUMULATIVE, 1)
            if (point.count, point.sum, point.min, point.max) != (1, 2.0, 2.0, 2.0):
                raise AttributeError("its collect")
    except (AttributeError, TypeError) as error:
        _logger.warning("opentelemetry-sdk %s: no native buckets beside explicit ones: %s", sdk_version, error)
        return False
    return True
