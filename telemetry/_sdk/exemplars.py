"""Reading exemplar reservoirs without emptying them, where that is possible.

A reservoir that keeps the newest measurement of each bucket is only read, so that an exemplar stays until a newer one comes.
Others are emptied by their public ``collect``, and their exemplars are kept in the stream.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from opentelemetry.sdk.metrics import AlignedHistogramBucketExemplarReservoir, SimpleFixedSizeExemplarReservoir

from telemetry._sdk.reservoir import LatestExemplarReservoir
from telemetry.metricdata.convert import exemplar_point, keep_newest
from telemetry.metricdata.stream import ExemplarPoint, Stream, StreamKind

__all__ = ["peek"]

_point = tuple.__new__  # the constructor of a named tuple takes three times as long
_HAS_LOCK = any("lock" in name for name in vars(SimpleFixedSizeExemplarReservoir(size=1)))
Found = dict[int, Sequence[ExemplarPoint | None]]


def peek(stream: Stream, aggregations: Sequence[Any], start: int) -> Mapping[int, Sequence[ExemplarPoint | None]]:
    """Returns the newest exemplars of some series of a stream.

    Args:
        stream: The stream, which keeps what a reservoir gives only once.
        aggregations: The SDK's aggregations of the series.
        start: Position of the first of them in the stream.

    Returns:
        One exemplar a bucket, None for an empty one, by the series' position.
    """
    kind = type(aggregations[0]._reservoir) if aggregations else None
    if kind is LatestExemplarReservoir:
        return _peek_latest(stream, aggregations, start)
    if kind is AlignedHistogramBucketExemplarReservoir:
        return _peek_aligned(stream, aggregations, start)
    for index, aggregation in enumerate(aggregations, start):
        reservoir = aggregation._reservoir
        if type(reservoir) is SimpleFixedSizeExemplarReservoir and not reservoir._reservoir_storage:
            continue  # never offered anything
        found = reservoir.collect(aggregation._attributes)
        if found:
            keep_newest(stream, index, [exemplar_point(exemplar) for exemplar in found])
    return stream.exemplars


def _peek_latest(stream: Stream, aggregations: Sequence[Any], start: int) -> Found:
    found: Found = {}
    for index, aggregation in enumerate(aggregations, start):
        entries = aggregation._reservoir.newest()
        if entries is not None:
            known = aggregation._attributes
            points = [None if entry is None else _of_entry(entry, known) for entry in entries]
            found[index] = _with_kept(stream, index, points)
        elif index in stream.exemplars:
            found[index] = stream.exemplars[index]
    return found


def _of_entry(entry: Any, known: Any) -> ExemplarPoint:
    value, time_unix_nano, trace_id, span_id, attributes = entry
    return _point(ExemplarPoint, (value, time_unix_nano, trace_id, span_id, _filtered(attributes, known)))


def _peek_aligned(stream: Stream, aggregations: Sequence[Any], start: int) -> Found:
    size = len(stream.bounds) + 1
    found: Found = {}
    for index, aggregation in enumerate(aggregations, start):
        reservoir = aggregation._reservoir
        if not reservoir._reservoir_storage and index not in stream.exemplars:
            continue  # never offered anything
        known = aggregation._attributes
        points: list[ExemplarPoint | None] = [None] * size
        with _lock_of(reservoir):
            for bucket, entry in list(reservoir._reservoir_storage.items()):
                if entry._ExemplarBucket__offered:
                    attributes = entry._ExemplarBucket__attributes
                    fields = (
                        entry._ExemplarBucket__value,
                        entry._ExemplarBucket__time_unix_nano,
                        entry._ExemplarBucket__trace_id,
                        entry._ExemplarBucket__span_id,
                        None if attributes == known else _filtered(attributes, known),
                    )
                    points[bucket] = _point(ExemplarPoint, fields)
        if any(points) or index in stream.exemplars:
            found[index] = _with_kept(stream, index, points)
    return found


def _lock_of(reservoir: Any) -> AbstractContextManager[Any]:
    """Returns the reservoir's lock; older versions have none, and their ``offer`` is not locked."""
    return reservoir._lock if _HAS_LOCK else nullcontext()


def _filtered(attributes: Any, known: Any) -> Mapping[str, Any] | None:
    """Returns the attributes that the measurement has and the series has not."""
    if not attributes or attributes == known:
        return None
    return {key: value for key, value in attributes.items() if key not in known} or None


def _with_kept(stream: Stream, index: int, points: list[ExemplarPoint | None]) -> list[ExemplarPoint | None]:
    """Fills empty buckets with the exemplars that an earlier ``collect`` of the reader took out of the reservoir.

    Those of an exponential histogram have no buckets of their own: they are added.
    """
    kept = stream.exemplars.get(index)
    if kept is not None and stream.kind is StreamKind.EXPONENTIAL:
        return [*kept, *points]
    return points if kept is None else [point or old for point, old in zip(points, kept, strict=True)]
