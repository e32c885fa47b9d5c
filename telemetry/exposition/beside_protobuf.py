"""Families of ``prometheus_client`` -> messages of ``io.prometheus.client.MetricFamily``, which that library does not write."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from math import inf

from prometheus_client.core import Metric
from prometheus_client.samples import Exemplar

from telemetry.exposition.beside_points import Point, points_of, sample_name, time_text
from telemetry.exposition.labels import value_text
from telemetry.exposition.protobuf import native_fields
from telemetry.exposition.protobuf_fields import double, exemplar, label_pairs, message, text, timestamp, varint

__all__ = ["family_message"]

_TYPES = {"counter": 0, "gauge": 1, "info": 1, "stateset": 1, "summary": 2, "histogram": 4, "gaugehistogram": 5}
_UNTYPED = 3


def family_message(metric: Metric) -> bytes:
    """Returns the family's message behind its length; nothing for a family without samples. Infos and states are gauges.

    Raises:
        ValueError: The samples of a series make no message.
    """
    value_of = _VALUES.get(metric.type, _untyped)
    parts = []
    for point in points_of(metric):
        time = b"\x30" + varint(_nanoseconds(point.time) // 1_000_000) if point.time else b""
        parts.append(message(0x22, label_pairs(sorted(point.labels.items())) + value_of(point) + time))
    if not parts:
        return b""
    head = [text(0x0A, sample_name(metric)), text(0x12, metric.documentation) if metric.documentation else b""]
    head.append(bytes((0x18, _TYPES.get(metric.type, _UNTYPED))))
    unit = metric.unit if metric.unit and metric.name.endswith(f"_{metric.unit}") else ""
    body = b"".join([*head, *parts, text(0x2A, unit) if unit else b""])
    return varint(len(body)) + body


def _nanoseconds(seconds: str) -> int:
    return int(Decimal(seconds.strip()) * 1_000_000_000)


def _start(tag: int, point: Point) -> bytes:
    start = point.values.get("_created")
    return message(tag, timestamp(_nanoseconds(time_text(start)))) if start else b""


def _exemplar(tag: int, given: Exemplar | None) -> bytes:
    if given is None:
        return b""
    labels, value, time = given
    pairs = sorted((key, value_text(each)) for key, each in labels.items())
    return message(tag, exemplar(pairs, value, None if time is None else _nanoseconds(time_text(time))))


def _counter(point: Point) -> bytes:
    value = b"\x09" + double(point.value("_total", ""))
    return message(0x1A, value + _exemplar(0x12, point.marks.get(None)) + _start(0x1A, point))


def _gauge(point: Point) -> bytes:
    return message(0x12, b"\x09" + double(point.value("", "_info")))


def _untyped(point: Point) -> bytes:
    return message(0x2A, b"\x09" + double(point.value("")))


def _summary(point: Point) -> bytes:
    count = point.value("_count")
    if not _is_whole(count):
        raise point.error(f"the count {count}, which is no whole number")
    parts = [b"\x08", varint(int(count)), b"\x11", double(point.value("_sum"))]
    parts += [message(0x1A, b"\x09%b\x11%b" % (double(quantile), double(value))) for quantile, value in point.rising()]
    return message(0x22, b"".join([*parts, _start(0x22, point)]))


def _histogram(point: Point) -> bytes:
    """A histogram, or gauge histogram. Without a sample of its count the bucket ``+Inf`` has it."""
    steps, given, values = point.rising(), point.native, dict(point.values)
    if given is not None:
        values = {"_count": given.count_value, "_sum": given.sum_value, **values}
    if steps and steps[-1][0] == inf:
        values.setdefault("_count", steps[-1][1])
    count = values.get("_gcount", values.get("_count"))
    total = values.get("_gsum", values.get("_sum"))
    if count is None:
        raise point.error("no sample _count and no bucket +Inf")
    parts = [_count(0x08, 0x21, count), b"" if total is None else b"\x11" + double(total)]
    for bound, number in steps:
        mark = _exemplar(0x1A, point.marks.get(bound))
        if bound != inf or mark:
            parts.append(message(0x1A, _count(0x08, 0x21, number) + b"\x11" + double(bound) + mark))
    if given is not None:
        parts.append(native_fields(point.native_form(given, count)))
        if not point.marks:  # of two sets, the one of the classic buckets is shown
            parts += [_exemplar(0x82, each) for each in given.nh_exemplars or () if each.timestamp is not None]
    return message(0x3A, b"".join([*parts, _start(0x7A, point)]))


def _count(tag: int, float_tag: int, count: float) -> bytes:
    """A count as an integer where it is one."""
    return bytes((tag,)) + varint(int(count)) if _is_whole(count) else bytes((float_tag,)) + double(count)


def _is_whole(count: float) -> bool:
    return float(count).is_integer() and count >= 0


_VALUES: dict[str, Callable[[Point], bytes]] = {
    "counter": _counter,
    "gauge": _gauge,
    "info": _gauge,
    "stateset": _gauge,
    "summary": _summary,
    "histogram": _histogram,
    "gaugehistogram": _histogram,
}
