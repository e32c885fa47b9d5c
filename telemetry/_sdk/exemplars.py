"""Reading exemplar reservoirs, where that can be done without emptying them.

A reservoir that keeps the newest measurement of each bucket is left as it is: its exemplar stays until a newer one
comes. Others are emptied by their public ``collect``, and what they held is kept with the series.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.sdk.metrics import AlignedHistogramBucketExemplarReservoir, SimpleFixedSizeExemplarReservoir

from telemetry._sdk.reservoir import LatestExemplarReservoir
from telemetry.metricdata.convert import exemplar_point, keep_newest
from telemetry.metricdata.stream import ExemplarPoint, Stream

__all__ = ["peek"]

_point = tuple.__new__  # a named tuple's own constructor takes three times as long
Found = dict[int, Sequence[ExemplarPoint | None]]


def peek(stream: Stream, aggregations: Sequence[Any], start: int) -> Mapping[int, Sequence[ExemplarPoint | None]]:
    """The newest exemplars of these series, by the series' position; ``start`` is the first one's."""
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
            marks = [None if entry is None else _of_entry(entry, known) for entry in entries]
            found[index] = _with_kept(stream, index, marks)
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
        known = aggregation._attributes
        marks: list[ExemplarPoint | None] = [None] * size
        with reservoir._lock:
            for bucket, entry in reservoir._reservoir_storage.items():
                if entry._ExemplarBucket__offered:
                    attributes = entry._ExemplarBucket__attributes
                    point = (
                        entry._ExemplarBucket__value,
                        entry._ExemplarBucket__time_unix_nano,
                        entry._ExemplarBucket__trace_id,
                        entry._ExemplarBucket__span_id,
                        None if attributes == known else _filtered(attributes, known),
                    )
                    marks[bucket] = _point(ExemplarPoint, point)
        if any(marks) or index in stream.exemplars:
            found[index] = _with_kept(stream, index, marks)
    return found


def _filtered(attributes: Any, known: Any) -> Mapping[str, Any] | None:
    """What the measurement has and the series has not."""
    if not attributes or attributes == known:
        return None
    return {key: value for key, value in attributes.items() if key not in known} or None


def _with_kept(stream: Stream, index: int, marks: list[ExemplarPoint | None]) -> list[ExemplarPoint | None]:
    """Where a bucket has nothing new: what somebody else's collect took out of the reservoir before."""
    kept = stream.exemplars.get(index)
    return marks if kept is None else [mark or old for mark, old in zip(marks, kept, strict=True)]
