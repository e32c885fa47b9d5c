"""Exemplars: their labels, their text, and which of them a bucket shows."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from telemetry.exposition.labels import label_text, value_text
from telemetry.exposition.numbers import number_text, seconds_text
from telemetry.metric.naming import label_key
from telemetry.metricdata.stream import ExemplarPoint

__all__ = ["OPENMETRICS_1_LIMIT", "exemplar_labels", "exemplar_texts", "newest_by_bucket"]

OPENMETRICS_1_LIMIT = 128
"""Characters that keys and values of one exemplar may have together in OpenMetrics 1.0."""
_SECOND = 1_000_000_000


def exemplar_labels(point: ExemplarPoint, limit: int | None = OPENMETRICS_1_LIMIT) -> list[tuple[str, str]]:
    """Returns trace and span, then the filtered attributes by key.

    Args:
        point: The exemplar.
        limit: Characters that keys and values may have together: attributes beyond it are left out. None: no limit.

    https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md#exemplars
    """
    pairs = []
    if point.trace_id:
        pairs.append(("trace_id", f"{point.trace_id:032x}"))
    if point.span_id:
        pairs.append(("span_id", f"{point.span_id:016x}"))
    if point.attributes:
        used = sum(len(key) + len(value) for key, value in pairs)
        taken = {key for key, _ in pairs}
        for original in sorted(point.attributes):
            key, value = label_key(original), value_text(point.attributes[original])
            size = len(key) + len(value)
            if key not in taken and (limit is None or used + size <= limit):
                taken.add(key)
                used += size
                pairs.append((key, value))
    return pairs


def exemplar_texts(points: Iterable[ExemplarPoint | None], limit: int | None = OPENMETRICS_1_LIMIT) -> list[str]:
    """Returns the text after each sample's value: `` # {trace_id="...",span_id="..."} value time``, or nothing."""
    texts = []
    for point in points:
        if point is None:
            texts.append("")
            continue
        value, time, trace_id, span_id, attributes = point
        if trace_id and span_id and not attributes and time > _SECOND:  # the usual case, for every bucket of every series
            shown = repr(value) if type(value) is float else number_text(value)  # recorded floats are finite
            nanos = str(time)
            trace, span = trace_id.to_bytes(16, "big").hex(), span_id.to_bytes(8, "big").hex()
            texts.append(f' # {{trace_id="{trace}",span_id="{span}"}} {shown} {nanos[:-9]}.{nanos[-9:]}')
        else:
            labels = label_text(exemplar_labels(point, limit))
            texts.append(f" # {{{labels}}} {number_text(value)} {seconds_text(time)}")
    return texts


def newest_by_bucket(points: Iterable[ExemplarPoint | None], bounds: Sequence[float]) -> list[ExemplarPoint | None]:
    """Returns each bucket's newest exemplar: its value is above the previous bound and not above the bucket's own."""
    newest: list[ExemplarPoint | None] = [None] * (len(bounds) + 1)
    for point in points:
        if point is None:
            continue
        bucket = bisect_left(bounds, point.value)
        known = newest[bucket]
        if known is None or known.time_unix_nano <= point.time_unix_nano:
            newest[bucket] = point
    return newest
