"""Families of ``prometheus_client`` -> lines of OpenMetrics 2.0, which that library does not write.

The samples of one label set become one line: its value, or the composite of its count, its sum and its buckets or quantiles.
The sample ``_created`` becomes the start of the line. What cannot be put together so is refused, as one wrong line would cost
the whole scrape: see ``telemetry.exposition.openmetrics2`` for what Prometheus' parser demands.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from math import inf, isfinite, isnan

from prometheus_client.core import Metric
from prometheus_client.samples import BucketSpan, Exemplar, NativeHistogram, Sample, Timestamp

from telemetry.exposition.encoding import heads
from telemetry.exposition.labels import label_text, value_text
from telemetry.exposition.numbers import number_text
from telemetry.exposition.openmetrics2 import bucket_text, metadata_text, native_text
from telemetry.metricdata import native

__all__ = ["family_text", "sample_name"]

_UNIT = re.compile(r"[a-zA-Z0-9_:]*")
_STEPS = {"histogram": ("_bucket", "le"), "gaugehistogram": ("_bucket", "le"), "summary": ("", "quantile")}
"""By type, the suffix of the samples of which a series has several, and the label that tells them apart."""
_SUFFIXES = {
    "counter": ("_total", ""),
    "info": ("_info", ""),
    "summary": ("_count", "_sum"),
    "histogram": ("_count", "_sum"),
    "gaugehistogram": ("_gcount", "_gsum"),
}
"""By type, the suffixes of the other samples that make a line; of other types none."""
_STARTED = ("counter", "histogram", "summary")
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
    for point in _points(metric):
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


def sample_name(metric: Metric) -> str:
    """Returns the name of the family, which is that of its lines: with ``_total`` or ``_info`` where its samples have it."""
    suffix = {"counter": "_total", "info": "_info"}.get(metric.type, "")
    names = {sample.name for sample in metric.samples}
    return metric.name if metric.name + suffix not in names and metric.name in names else metric.name + suffix


@dataclass(slots=True)
class _Point:
    """The samples of one label set at one time."""

    labels: Mapping[str, str]
    time: str = ""
    values: dict[str, float] = field(default_factory=dict)
    """Value by the suffix of the sample's name."""
    steps: list[tuple[float, float]] = field(default_factory=list)
    """Bound and count of each bucket, or each quantile with its value."""
    exemplars: list[Exemplar] = field(default_factory=list)
    native: NativeHistogram | None = None

    def value(self, *suffixes: str) -> float:
        """Returns the value of the sample with one of the suffixes."""
        for suffix in suffixes:
            if suffix in self.values:
                return self.values[suffix]
        raise self.error(f"no sample {suffixes[0] or 'of the name of the family'}")

    def error(self, what: str) -> ValueError:
        return ValueError(f"the series {{{label_text(sorted(self.labels.items()))}}} has {what}")


def _points(metric: Metric) -> Iterator[_Point]:
    """Yields the points of each label set behind one another, in the order of their first samples."""
    found: dict[tuple[tuple[str, str], ...], dict[str, _Point]] = {}
    created: dict[tuple[tuple[str, str], ...], float] = {}
    for sample in metric.samples:
        suffix = sample.name.removeprefix(metric.name)
        labels, step = _without_step(metric, sample, suffix)
        identity = tuple(sorted(item for item in labels.items() if item[1]))
        if suffix == "_created" and metric.type in _STARTED:
            created[identity] = sample.value
            continue
        time = "" if sample.timestamp is None else f" {_time(sample.timestamp)}"
        point = found.setdefault(identity, {}).setdefault(time, _Point(labels, time))
        if sample.native_histogram:
            point.native = sample.native_histogram
        elif step is not None:
            point.steps.append((float(step), sample.value))
        elif suffix in point.values or suffix not in _SUFFIXES.get(metric.type, ("",)):
            raise point.error(f"a sample {sample.name} that has no place in it")
        else:
            point.values[suffix] = sample.value
        if sample.exemplar is not None and sample.exemplar.timestamp is not None:
            point.exemplars.append(sample.exemplar)
    for identity, points in found.items():
        for point in points.values():
            if identity in created:
                point.values["_created"] = created[identity]
            yield point


def _without_step(metric: Metric, sample: Sample, suffix: str) -> tuple[Mapping[str, str], str | None]:
    """The labels of the series, and the bound or quantile of the sample."""
    steps, key = _STEPS.get(metric.type, (None, ""))
    if suffix != steps or sample.native_histogram:
        return sample.labels, None
    if key not in sample.labels:
        raise ValueError(f"{sample.name} has no label {key}")
    return {name: value for name, value in sample.labels.items() if name != key}, sample.labels[key]


def _rest(point: _Point) -> str:
    """What follows the value: its time, the start of the measurements, the exemplars."""
    start = point.values.get("_created")
    parts = [point.time, f" st@{_time(start)}" if start else ""]
    for labels, value, time in point.exemplars:
        pairs = label_text(sorted((key, value_text(each)) for key, each in labels.items()))
        parts.append(f" # {{{pairs}}} {number_text(value)} {_time(time)}")
    return "".join(parts)


def _number(metric: Metric, point: _Point) -> str:
    """A gauge, or a metric of unknown type."""
    point.exemplars = []
    return number_text(point.value(""))


def _counter(metric: Metric, point: _Point) -> str:
    text = number_text(point.value("_total", ""))
    if text == "NaN":
        raise point.error("the value NaN")
    return text


def _info(metric: Metric, point: _Point) -> str:
    point.exemplars = []
    if point.value("_info", "") != 1 or not sample_name(metric).endswith("_info"):
        raise point.error(f"no value 1, or its name {sample_name(metric)} does not end in _info")
    return "1"


def _state(metric: Metric, point: _Point) -> str:
    point.exemplars = []
    value = point.value("")
    if value not in (0, 1) or metric.name not in point.labels:
        raise point.error(f"no state in the label {metric.name}, or a value that is neither 0 nor 1")
    return str(int(value))


def _summary(metric: Metric, point: _Point) -> str:
    quantiles = _rising(point)
    if quantiles and not 0 <= quantiles[0][0] <= quantiles[-1][0] <= 1:
        raise point.error("a quantile that is not between 0 and 1")
    text = ",".join(f"{number_text(quantile)}:{number_text(value)}" for quantile, value in quantiles)
    return f"{{count:{_count(point.value('_count'))},sum:{number_text(point.value('_sum'))},quantile:[{text}]}}"


def _histogram(metric: Metric, point: _Point) -> str:
    gauge = "g" if metric.type == "gaugehistogram" else ""
    fields = []
    if point.native is not None:
        point.values.setdefault(f"_{gauge}count", point.native.count_value)
        point.values.setdefault(f"_{gauge}sum", point.native.sum_value)
        if not point.exemplars:  # of two sets, the one of the classic buckets is shown
            point.exemplars = [each for each in point.native.nh_exemplars or () if each.timestamp is not None]
    count, total = point.value(f"_{gauge}count"), point.value(f"_{gauge}sum")
    if point.native is not None:
        fields.append(native_text(_native(point, point.native, count)))
    if point.steps or point.native is None:
        fields.append(_buckets(point, count, gauge=bool(gauge)))
    return f"{{{gauge}count:{_count(count)},{gauge}sum:{number_text(total)},{','.join(fields)}}}"


_VALUES: dict[str, Callable[[Metric, _Point], str]] = {
    "counter": _counter,
    "info": _info,
    "stateset": _state,
    "summary": _summary,
    "histogram": _histogram,
    "gaugehistogram": _histogram,
}


def _buckets(point: _Point, count: float, *, gauge: bool) -> str:
    steps = _rising(point)
    counts = [each for _, each in steps]
    if not steps or steps[-1] != (inf, count):
        raise point.error(f"no bucket +Inf of its count {count}")
    if not gauge and not all(lower <= upper for lower, upper in pairwise((0, *counts))):
        raise point.error("buckets that are not cumulative")
    return bucket_text([bound for bound, _ in steps[:-1]], [_count(each) for each in counts])


def _rising(point: _Point) -> list[tuple[float, float]]:
    """The buckets or quantiles in rising order."""
    steps = sorted(point.steps, key=lambda step: step[0])
    if any(isnan(number) for number, _ in steps) or not all(lower[0] < upper[0] for lower, upper in pairwise(steps)):
        raise point.error("a bucket or quantile twice")
    return steps


def _native(point: _Point, given: NativeHistogram, count: float) -> native.NativeHistogram:
    """The native buckets; their counts are differences in ``prometheus_client``, and absolute in the format."""
    negative, positive = _side(point, given.neg_spans, given.neg_deltas), _side(point, given.pos_spans, given.pos_deltas)
    found = native.NativeHistogram(given.schema, given.zero_threshold, _whole(given.zero_count), negative, positive)
    if found.schema not in range(native.MIN_SCHEMA, native.MAX_SCHEMA + 1) or not 0 <= found.zero_threshold < inf:
        raise point.error(f"no native buckets of schema {found.schema} and zero threshold {found.zero_threshold}")
    if found.zero_count < 0 or found.measurements != count:
        raise point.error(f"{found.measurements} measurements in native buckets, and the count {count}")
    return found


def _side(point: _Point, spans: Sequence[BucketSpan] | None, deltas: Sequence[int] | None) -> native.Spans:
    side = native.Spans([(_whole(offset), _whole(length)) for offset, length in spans or ()], _absolute(deltas or ()))
    lengths = [length for _, length in side.spans]
    if sum(lengths) != len(side.counts) or min(lengths, default=0) < 0 or min(side.counts, default=0) < 0:
        raise point.error(f"native buckets {list(side.counts)} in the spans {side.spans}")
    if any(offset < 0 for offset, _ in side.spans[1:]):
        raise point.error(f"spans that overlap: {side.spans}")
    return side


def _absolute(deltas: Iterable[int]) -> list[int]:
    return list(accumulate(map(_whole, deltas)))


def _whole(number: float) -> int:
    if number != int(number):
        raise ValueError(f"{number} is no integer")
    return int(number)


def _count(value: float) -> str:
    """A count without a point: the parser takes a native histogram whose buckets have one for another kind."""
    number = float(value)
    return str(int(number)) if number.is_integer() and abs(number) < _LARGEST_COUNT else number_text(number)


def _time(seconds: float | Timestamp | None) -> str:
    """Unix time in seconds."""
    if isinstance(seconds, Timestamp) and seconds.sec >= 0:
        return str(seconds)
    number = float(seconds)  # type: ignore[arg-type]  # a Timestamp has __float__; None never comes here
    if not isfinite(number):
        raise ValueError(f"{number} is no time")
    return repr(number)
