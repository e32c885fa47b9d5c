"""Families of ``prometheus_client`` -> lines of OpenMetrics 2.0, which that library does not write.

The samples of one label set become one line: its value, or the composite of its count, its sum and its buckets or quantiles.
The sample ``_created`` becomes the start of the line. What cannot be put together so is refused, as one wrong line would cost
the whole scrape: see ``telemetry.exposition.openmetrics2`` for what Prometheus' parser demands.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from math import inf

from prometheus_client.core import Metric

from telemetry.exposition.beside_points import Point, points_of, sample_name, time_text
from telemetry.exposition.encoding import heads
from telemetry.exposition.labels import label_text, value_text
from telemetry.exposition.numbers import number_text
from telemetry.exposition.openmetrics2 import bucket_text, metadata_text, native_text

__all__ = ["family_text"]

_UNIT = re.compile(r"[a-zA-Z0-9_:]*")
_LARGEST_COUNT = 1 << 63


def family_text(metric: Metric) -> str:
    """Returns the family's lines; nothing for a family without samples.

    Raises:
        ValueError: The samples make no line, or one that the parser would refuse.
    """
    value_of = _VALUES.get(metric.type, _number)
    name = sample_name(metric)
    head, bare = heads(name)
    lines = []
    for point in points_of(metric):
        value = value_of(metric, point)
        text = label_text(sorted(point.labels.items()))
        lines.append(f"{f'{head}{text}}}' if text else bare} {value}{_rest(point)}\n")
    if not lines:
        return ""
    unit = metric.unit if metric.type not in ("info", "stateset") and _UNIT.fullmatch(metric.unit) else ""
    body = metadata_text(name, metric.type, unit, metric.documentation) + "".join(lines)
    if "\0" in body:
        raise ValueError("a name has a null character")
    return body


def _rest(point: Point) -> str:
    """What follows the value: its time, the start of the measurements, the exemplars."""
    start = point.values.get("_created")
    parts = [point.time, f" st@{time_text(start)}" if start else ""]
    for labels, value, time in point.exemplars:
        pairs = label_text(sorted((key, value_text(each)) for key, each in labels.items()))
        parts.append(f" # {{{pairs}}} {number_text(value)} {time_text(time)}")
    return "".join(parts)


def _number(metric: Metric, point: Point) -> str:
    """A gauge, or a metric of unknown type."""
    point.exemplars = []
    return number_text(point.value(""))


def _counter(metric: Metric, point: Point) -> str:
    text = number_text(point.value("_total", ""))
    if text == "NaN":
        raise point.error("the value NaN")
    return text


def _info(metric: Metric, point: Point) -> str:
    point.exemplars = []
    if point.value("_info", "") != 1 or not sample_name(metric).endswith("_info"):
        raise point.error(f"no value 1, or its name {sample_name(metric)} does not end in _info")
    return "1"


def _state(metric: Metric, point: Point) -> str:
    point.exemplars = []
    value = point.value("")
    if value not in (0, 1) or metric.name not in point.labels:
        raise point.error(f"no state in the label {metric.name}, or a value that is neither 0 nor 1")
    return str(int(value))


def _summary(metric: Metric, point: Point) -> str:
    quantiles = point.rising()
    if quantiles and not 0 <= quantiles[0][0] <= quantiles[-1][0] <= 1:
        raise point.error("a quantile that is not between 0 and 1")
    text = ",".join(f"{number_text(quantile)}:{number_text(value)}" for quantile, value in quantiles)
    return f"{{count:{_count(point.value('_count'))},sum:{number_text(point.value('_sum'))},quantile:[{text}]}}"


def _histogram(metric: Metric, point: Point) -> str:
    gauge = "g" if metric.type == "gaugehistogram" else ""
    fields = []
    if point.native is not None:
        point.values.setdefault(f"_{gauge}count", point.native.count_value)
        point.values.setdefault(f"_{gauge}sum", point.native.sum_value)
        if not point.exemplars:  # of two sets, the one of the classic buckets is shown
            point.exemplars = [each for each in point.native.nh_exemplars or () if each.timestamp is not None]
    count, total = point.value(f"_{gauge}count"), point.value(f"_{gauge}sum")
    if point.native is not None:
        fields.append(native_text(point.native_form(point.native, count)))
    if point.steps or point.native is None:
        fields.append(_buckets(point, count, gauge=bool(gauge)))
    return f"{{{gauge}count:{_count(count)},{gauge}sum:{number_text(total)},{','.join(fields)}}}"


_VALUES: dict[str, Callable[[Metric, Point], str]] = {
    "counter": _counter,
    "info": _info,
    "stateset": _state,
    "summary": _summary,
    "histogram": _histogram,
    "gaugehistogram": _histogram,
}


def _buckets(point: Point, count: float, *, gauge: bool) -> str:
    steps = point.rising()
    counts = [each for _, each in steps]
    if not steps or steps[-1] != (inf, count):
        raise point.error(f"no bucket +Inf of its count {count}")
    if not gauge and not all(lower <= upper for lower, upper in pairwise((0, *counts))):
        raise point.error("buckets that are not cumulative")
    return bucket_text([bound for bound, _ in steps[:-1]], [_count(each) for each in counts])


def _count(value: float) -> str:
    """A count without a point: the parser takes a native histogram whose buckets have one for another kind."""
    number = float(value)
    return str(int(number)) if number.is_integer() and abs(number) < _LARGEST_COUNT else number_text(number)
