"""The SDK's public ``MetricsData``, as ``MetricReader.collect`` delivers it, as streams."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Gauge,
    Histogram,
    Metric,
    MetricsData,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from telemetry.metricdata.stream import MAX_SIZE, ZERO_THRESHOLD, ExemplarPoint, ExponentialState, Stream, StreamKind

__all__ = ["DeltaError", "MetricsDataConverter", "exemplar_point", "exponential_state", "keep_newest"]

_MAX_EXPONENTIAL_EXEMPLARS = 40


class DeltaError(ValueError):
    """A point has delta temporality: Prometheus needs totals since the start, and these are differences."""

    def __init__(self, metric: str) -> None:
        super().__init__(f"{metric} has delta temporality; a Prometheus reader needs cumulative points")


def exemplar_point(exemplar: Exemplar) -> ExemplarPoint:
    """Returns the SDK's exemplar without the attributes that its series has."""
    return ExemplarPoint(
        exemplar.value, exemplar.time_unix_nano, exemplar.trace_id, exemplar.span_id, exemplar.filtered_attributes or None
    )


def exponential_state(point: ExponentialHistogramDataPoint) -> ExponentialState:
    """Returns the point's state. Minimum and maximum are left out: Prometheus has no samples for them.

    The SDK's points do not say how far their zero bucket reaches and how many others there may be; those of
    ``telemetry._sdk.native`` do.
    """
    return ExponentialState(
        point.scale,
        point.sum,
        point.zero_count,
        point.positive.offset,
        tuple(point.positive.bucket_counts),
        point.negative.offset,
        tuple(point.negative.bucket_counts),
        getattr(point, "zero_threshold", ZERO_THRESHOLD),
        getattr(point, "max_size", MAX_SIZE),
    )


def keep_newest(stream: Stream, index: int, points: Iterable[ExemplarPoint]) -> None:
    """Puts exemplars of a series into its buckets, each until a newer one replaces it. Gauges keep none.

    Args:
        stream: The stream whose ``exemplars`` change.
        index: Position of the series in the stream.
        points: The new exemplars, in any order.
    """
    if stream.kind is StreamKind.GAUGE:
        return
    if stream.kind is StreamKind.EXPONENTIAL:
        every = (*(point for point in stream.exemplars.get(index, ()) if point is not None), *points)
        once = {point._replace(attributes=None): point for point in every}  # attributes have no hash
        known = sorted(once.values(), key=lambda point: point.time_unix_nano)
        stream.exemplars[index] = known[-_MAX_EXPONENTIAL_EXEMPLARS:]
        return
    kept = list(stream.exemplars.get(index) or [None] * (len(stream.bounds) + 1))
    for point in points:
        bucket = bisect_left(stream.bounds, point.value) if stream.kind is StreamKind.HISTOGRAM else 0
        before = kept[bucket]
        if before is None or before.time_unix_nano <= point.time_unix_nano:
            kept[bucket] = point
    stream.exemplars[index] = kept


class MetricsDataConverter:
    """Keeps the streams of one source of ``MetricsData`` from one collect to the next. The caller serializes the calls.

    Attributes:
        resource: The resource of the last data.
        streams: All streams so far: those of the last data in their order, then the others.
    """

    def __init__(self) -> None:
        self.resource: Resource | None = None
        self.streams: list[Stream] = []
        self._by_identity: dict[tuple[Any, ...], Stream] = {}
        self._positions: dict[Stream, dict[Any, int]] = {}
        self._latest = 0

    def update(self, data: MetricsData | None, exemplars: bool = True) -> list[Stream]:
        """Takes over the states of newer data. A series that the data do not have has no state until it comes back.

        Args:
            data: What the SDK collected. Data older than the last are ignored, so that no counter falls.
            exemplars: Whether to take over exemplars.

        Returns:
            ``streams``.

        Raises:
            DeltaError: A point has delta temporality.
        """
        metrics = list(_metrics(data))
        time = max((point.time_unix_nano for _, metric in metrics for point in metric.data.data_points), default=self._latest)
        if time < self._latest:
            return self.streams
        for _, metric in metrics:
            _kind(metric)  # data that cannot be shown change nothing
        self._latest = time
        for stream in self.streams:
            stream.values = [None] * len(stream.attributes)
        if data is not None and data.resource_metrics:
            self.resource = data.resource_metrics[0].resource
        seen: dict[tuple[Any, ...], int] = {}
        order = [self._take(scope, metric, exemplars, seen) for scope, metric in metrics]
        present = set(order)
        self.streams = order + [stream for stream in self.streams if stream not in present]
        return self.streams

    def _take(self, scope: InstrumentationScope, metric: Metric, exemplars: bool, seen: dict[tuple[Any, ...], int]) -> Stream:
        kind = _kind(metric)
        points = metric.data.data_points
        bounds = tuple(points[0].explicit_bounds) if kind is StreamKind.HISTOGRAM and points else ()  # type: ignore[union-attr]
        key = (scope, metric.name, metric.description, metric.unit, kind, bounds)
        # Two Views may make two streams with the same key: the n-th of them is the n-th in the next data as well.
        seen[key] = seen.get(key, 0) + 1
        stream = self._by_identity.get((*key, seen[key]))
        if stream is None:
            stream = Stream(scope, metric.name, metric.description or "", metric.unit or "", kind, bounds)
            self._by_identity[(*key, seen[key])] = stream
        positions = self._positions.setdefault(stream, {})
        for point in points:
            index = _position(stream, positions, point)
            stream.values[index] = _state(point, kind)
            if exemplars and point.exemplars:
                keep_newest(stream, index, [exemplar_point(e) for e in point.exemplars])
        return stream


def _metrics(data: MetricsData | None) -> Iterable[tuple[InstrumentationScope, Metric]]:
    for resource_metrics in data.resource_metrics if data is not None else ():
        for scope_metrics in resource_metrics.scope_metrics:
            for metric in scope_metrics.metrics:
                yield scope_metrics.scope, metric


def _kind(metric: Metric) -> StreamKind:
    data = metric.data
    if isinstance(data, Gauge):
        return StreamKind.GAUGE
    if data.aggregation_temporality is not AggregationTemporality.CUMULATIVE:
        raise DeltaError(metric.name)
    if isinstance(data, Sum):
        return StreamKind.COUNTER if data.is_monotonic else StreamKind.GAUGE
    if isinstance(data, (Histogram, ExponentialHistogram)):
        return StreamKind.HISTOGRAM if isinstance(data, Histogram) else StreamKind.EXPONENTIAL
    raise TypeError(f"{metric.name}: points of {type(data).__name__} have no form in Prometheus")


def _state(point: Any, kind: StreamKind) -> Any:
    if kind is StreamKind.HISTOGRAM:
        return point.bucket_counts, point.sum
    return exponential_state(point) if kind is StreamKind.EXPONENTIAL else point.value


def _position(stream: Stream, positions: dict[Any, int], point: Any) -> int:
    """Returns the position of the point's series in the stream; adds the series if it is new.

    The SDK delivers the same attributes object each time; other producers need not.
    """
    attributes: Mapping[str, Any] = point.attributes or {}
    index = positions.get(id(attributes))
    if index is not None and stream.attributes[index] is attributes:
        return index
    key = _identity(attributes)
    index = positions.get(key)
    if index is None:
        index = positions[key] = positions[id(attributes)] = len(stream.attributes)
        stream.attributes.append(attributes)
        stream.starts.append(point.start_time_unix_nano)
        stream.values.append(None)
    return index


def _identity(value: Any) -> Any:
    """Returns a key that is equal for equal attributes only: ``1``, ``1.0`` and ``True`` differ."""
    if isinstance(value, Mapping):
        return tuple(sorted((str(key), _identity(item)) for key, item in value.items()))
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return "sequence", tuple(_identity(item) for item in value)
    return type(value).__name__, repr(value)
