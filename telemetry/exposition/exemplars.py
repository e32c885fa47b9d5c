"""Exemplars as OpenMetrics writes them: `` # {trace_id="...",span_id="..."} value time``.

https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md#exemplars
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from telemetry.exposition.labels import label_text, value_text
from telemetry.exposition.numbers import number, seconds
from telemetry.metric.naming import label_key
from telemetry.metricdata.stream import ExemplarPoint

__all__ = ["LONGEST", "exemplar_labels", "exemplar_texts", "newest_by_bucket"]

_PLAIN = (float, int)
_A_SECOND = 1_000_000_000

LONGEST = 128
"""Characters that keys and values of one exemplar may have together."""


def exemplar_labels(point: ExemplarPoint) -> list[tuple[str, str]]:
    """Trace and span, then filtered attributes by key, each for as long as the whole set stays within ``LONGEST``."""
    pairs = []
    if point.trace_id:
        pairs.append(("trace_id", f"{point.trace_id:032x}"))
    if point.span_id:
        pairs.append(("span_id", f"{point.span_id:016x}"))
    if point.attributes:
        left = LONGEST - sum(len(key) + len(value) for key, value in pairs)
        taken = {key for key, _ in pairs}
        for original in sorted(point.attributes):
            key, value = label_key(original, utf8=False), value_text(point.attributes[original])
            if key not in taken and len(key) + len(value) <= left:
                taken.add(key)
                left -= len(key) + len(value)
                pairs.append((key, value))
    return pairs


def exemplar_texts(points: Iterable[ExemplarPoint | None]) -> list[str]:
    """What follows each sample's value; nothing where there is no exemplar."""
    texts = []
    for point in points:
        if point is None:
            texts.append("")
            continue
        value, time, trace_id, span_id, attributes = point
        if trace_id and span_id and not attributes and type(value) in _PLAIN and time > _A_SECOND:
            # The usual case, on the way of every bucket of every series: recorded values are finite.
            nanos = str(time)
            trace, span = trace_id.to_bytes(16, "big").hex(), span_id.to_bytes(8, "big").hex()
            texts.append(f' # {{trace_id="{trace}",span_id="{span}"}} {value!r} {nanos[:-9]}.{nanos[-9:]}')
        else:
            texts.append(f" # {{{label_text(exemplar_labels(point))}}} {number(value)} {seconds(time)}")
    return texts


def newest_by_bucket(points: Iterable[ExemplarPoint | None], bounds: Sequence[float]) -> list[ExemplarPoint | None]:
    """Each bucket's newest exemplar: it lies above the bound before and not above the bucket's own."""
    newest: list[ExemplarPoint | None] = [None] * (len(bounds) + 1)
    for point in points:
        if point is None:
            continue
        bucket = bisect_left(bounds, point.value)
        known = newest[bucket]
        if known is None or known.time_unix_nano <= point.time_unix_nano:
            newest[bucket] = point
    return newest
