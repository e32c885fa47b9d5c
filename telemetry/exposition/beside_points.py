"""Families of ``prometheus_client`` as points: the samples of one label set at one time together.

OpenMetrics 2.0 and protobuf, which that library does not write, have one line or message for each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from math import inf, isfinite, isnan, nan

from prometheus_client.core import Metric
from prometheus_client.samples import BucketSpan, Exemplar, NativeHistogram, Sample, Timestamp

from telemetry.exposition.labels import label_text
from telemetry.metricdata.native import MAX_SCHEMA, MIN_SCHEMA, Spans
from telemetry.metricdata.native import NativeHistogram as NativeBuckets

__all__ = ["Point", "points_of", "sample_name", "time_text"]

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
_COUNTS, _OFFSETS = 1 << 63, 1 << 31
"""Counts and offsets of native buckets are below these: Prometheus keeps them as integers of 64 and 32 bits."""


def sample_name(metric: Metric) -> str:
    """Returns the name of the family, which is that of its lines: with ``_total`` or ``_info`` where its samples have it."""
    suffix = {"counter": "_total", "info": "_info"}.get(metric.type, "")
    names = {sample.name for sample in metric.samples}
    return metric.name if metric.name + suffix not in names and metric.name in names else metric.name + suffix


@dataclass(slots=True)
class Point:
    """The samples of one label set at one time."""

    labels: Mapping[str, str]
    time: str = ""
    """A space and the time of its samples, in seconds; empty where they have none."""
    values: dict[str, float] = field(default_factory=dict)
    """Value by the suffix of the sample's name."""
    steps: list[tuple[float, float]] = field(default_factory=list)
    """Bound and count of each bucket, or each quantile with its value."""
    exemplars: list[Exemplar] = field(default_factory=list)
    """Those that have a time."""
    marks: dict[float | None, Exemplar] = field(default_factory=dict)
    """All exemplars, by the bound of their bucket."""
    native: NativeHistogram | None = None

    def value(self, *suffixes: str) -> float:
        """Returns the value of the sample with one of the suffixes."""
        for suffix in suffixes:
            if suffix in self.values:
                return self.values[suffix]
        raise self.error(f"no sample {suffixes[0] or 'of the name of the family'}")

    def error(self, what: str) -> ValueError:
        return ValueError(f"the series {{{label_text(sorted(self.labels.items()))}}} has {what}")

    def rising(self) -> list[tuple[float, float]]:
        """The buckets or quantiles in rising order."""
        steps = sorted(self.steps, key=lambda step: step[0])
        if any(isnan(number) for number, _ in steps) or not all(lower[0] < upper[0] for lower, upper in pairwise(steps)):
            raise self.error("a bucket or quantile twice")
        return steps

    def native_form(self, given: NativeHistogram, count: float) -> NativeBuckets:
        """The native buckets; their counts are differences in ``prometheus_client``, and absolute in the format."""
        negative, positive = _side(self, given.neg_spans, given.neg_deltas), _side(self, given.pos_spans, given.pos_deltas)
        found = NativeBuckets(given.schema, given.zero_threshold, _whole(given.zero_count), negative, positive)
        if found.schema not in range(MIN_SCHEMA, MAX_SCHEMA + 1) or not 0 <= found.zero_threshold < inf:
            raise self.error(f"no native buckets of schema {found.schema} and zero threshold {found.zero_threshold}")
        if found.zero_count < 0 or found.measurements != count or count >= _COUNTS:
            raise self.error(f"{found.measurements} measurements in native buckets, and the count {count}")
        return found


def points_of(metric: Metric) -> Iterator[Point]:
    """Yields the points of each label set behind one another, in the order of their first samples."""
    found: dict[tuple[tuple[str, str], ...], dict[str, Point]] = {}
    created: dict[tuple[tuple[str, str], ...], float] = {}
    for sample in metric.samples:
        suffix = sample.name.removeprefix(metric.name)
        labels, step = _without_step(metric, sample, suffix)
        identity = tuple(sorted(item for item in labels.items() if item[1]))
        if suffix == "_created" and metric.type in _STARTED:
            created[identity] = sample.value
            continue
        time = "" if sample.timestamp is None else f" {time_text(sample.timestamp)}"
        point = found.setdefault(identity, {}).setdefault(time, Point(labels, time))
        if sample.native_histogram:
            point.native = sample.native_histogram
        elif step is not None:
            point.steps.append((float(step), sample.value))
        elif suffix in point.values or suffix not in _SUFFIXES.get(metric.type, ("",)):
            raise point.error(f"a sample {sample.name} that has no place in it")
        else:
            point.values[suffix] = sample.value
        if sample.exemplar is not None:
            point.marks[None if step is None else float(step)] = sample.exemplar
            if sample.exemplar.timestamp is not None:
                point.exemplars.append(sample.exemplar)
    for identity, points in found.items():
        for point in points.values():
            if identity in created:
                point.values["_created"] = created[identity]
            if metric.type == "histogram":
                _complete(point)
            yield point


def _complete(point: Point) -> None:
    """Adds what ``prometheus_client`` leaves out of a histogram whose bounds reach below 0: its sum, as NaN, and its count.

    Both formats demand a sum, and Prometheus reads 0 where protobuf has none.
    """
    steps = dict(point.steps)
    if inf in steps and min(steps) < 0 and "_sum" not in point.values and point.native is None:
        point.values = {"_count": steps[inf], **point.values, "_sum": nan}


def _without_step(metric: Metric, sample: Sample, suffix: str) -> tuple[Mapping[str, str], str | None]:
    """The labels of the series, and the bound or quantile of the sample."""
    steps, key = _STEPS.get(metric.type, (None, ""))
    if suffix != steps or sample.native_histogram:
        return sample.labels, None
    if key not in sample.labels:
        raise ValueError(f"{sample.name} has no label {key}")
    return {name: value for name, value in sample.labels.items() if name != key}, sample.labels[key]


def _side(point: Point, spans: Sequence[BucketSpan] | None, deltas: Sequence[int] | None) -> Spans:
    side = Spans([(_whole(offset), _whole(length)) for offset, length in spans or ()], _absolute(deltas or ()))
    lengths = [length for _, length in side.spans]
    if sum(lengths) != len(side.counts) or min(lengths, default=0) < 0 or min(side.counts, default=0) < 0:
        raise point.error(f"native buckets {list(side.counts)} in the spans {side.spans}")
    if any(offset < 0 for offset, _ in side.spans[1:]) or any(abs(offset) >= _OFFSETS for offset, _ in side.spans):
        raise point.error(f"spans that overlap, or lie too far apart: {side.spans}")
    return side


def _absolute(deltas: Iterable[int]) -> list[int]:
    return list(accumulate(map(_whole, deltas)))


def _whole(number: float) -> int:
    if number != int(number):
        raise ValueError(f"{number} is no integer")
    return int(number)


def time_text(seconds: float | Timestamp | None) -> str:
    """Unix time in seconds."""
    if isinstance(seconds, Timestamp) and seconds.sec >= 0:
        return str(seconds)
    number = float(seconds)  # type: ignore[arg-type]  # a Timestamp has __float__; None never comes here
    if not isfinite(number):
        raise ValueError(f"{number} is no time")
    return repr(number)
